-- What our lines bill and what the seats that they bill cost, per month ex VAT, by the customer that is invoiced. A
-- licence that several lines of a customer bill costs once. Costs are Giacom's, for the seats that Halo counts now.
create view margins as
with line as (
    select i.connection, i.currency, coalesce((f->>'client')::bigint, 0) as client_id, coalesce(f->>'client_name', '') as client_name,
        i.monthly_before as price, coalesce(f->'licences', '[]') as licences
    from items i, lateral (select convert_from(i.facts, 'UTF8')::jsonb as f) x
    where i.state <> 7 and i.key not like 'add/%'
), billed as (
    select distinct l.connection, l.currency, l.client_id, k.key from line l, jsonb_array_elements_text(l.licences) k(key)
), spent as (
    select b.connection, b.currency, b.client_id,
        sum((c.body->>'Cost')::numeric * (c.body->>'Holds')::numeric
            / case (c.body->>'Cycle')::int when 0 then 1 when 1 then 1 when 2 then 12 when 3 then 36 end) as cost
    from billed b join licences c using (connection, key) where c.present
    group by b.connection, b.currency, b.client_id
), earned as (
    select connection, currency, client_id, max(client_name) as client_name, count(*) as lines, sum(price) as price
    from line group by connection, currency, client_id
)
select connection, client_id, client_name, currency, lines, round(coalesce(cost, 0), 2) as cost, round(coalesce(price, 0), 2) as price,
    round(coalesce(price, 0), 2) - round(coalesce(cost, 0), 2) as margin
from earned left join spent using (connection, currency, client_id);
