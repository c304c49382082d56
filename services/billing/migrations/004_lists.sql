-- What lines are listed by besides the other columns of items: their facts, read once when they are written. What
-- convert_from does depends on the encoding of the database, which never changes.
create function json_of(bytea) returns jsonb language sql immutable strict parallel safe as $$ select convert_from($1, 'UTF8')::jsonb $$;
alter table items add column listed jsonb generated always as (json_of(facts)) stored;

-- Each within a connection and by key. The expressions are those of the list's fields.
create index items_of_invoice on items (connection, (coalesce((listed->>'invoice')::bigint, 0)), key);
create index items_client on items (connection, (coalesce((listed->>'client')::bigint, 0)), key);
create index items_licences on items using gin ((listed->'licences'));
