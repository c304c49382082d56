-- Items of an invoice are found by one index, for decisions and for lists: every write of a line writes every index.
drop index items_of_invoice;
drop index items_invoice;
create index items_invoice on items ((case when grp = '' then 0 else grp::bigint end), instance);

-- A function in SQL is started anew for each row that it is called for.
create or replace function json_of(bytea) returns jsonb language plpgsql immutable strict parallel safe as $$ begin return convert_from($1, 'UTF8')::jsonb; end $$;
