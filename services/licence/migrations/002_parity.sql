-- What billing says of the lines that bill our licences, as far as parity looks at it.
alter table lines
    add column present     boolean  not null default false, -- it is in Halo; else it would have to be added
    add column state       smallint not null default 0,     -- seatline.item.v1.State
    add column reason_code text     not null default '',
    add column reason_text text     not null default '',
    add column differs     text[]   not null default '{}',  -- count, price, cost
    add column billed      numeric,                         -- per month ex VAT, now
    add column wanted      numeric;                         -- and as it should be

-- Lines that came before these columns come again: a consumer without a row begins with a snapshot.
update lines set revision = 0;
delete from consumers where entity = 'invoice-line';

alter table halo_licences add column distributor text not null default '';

-- What a licence is a licence of: its SKU where it has one, else its name without a status in parentheses.
create function product(name text, sku text) returns text language sql immutable parallel safe
return coalesce(nullif(lower(btrim(sku)), ''), lower(btrim(regexp_replace(name, '\s*\([A-Za-z ]+\)\s*$', ''))));

-- How Giacom and Halo stand to each other: one row for each subscription that Giacom has, or that is gone from there and
-- still active in Halo, and one for each licence in Halo that looks like Giacom's and is nobody's. The first class that
-- fits counts.
create view parity as
with billing as (
    select l.connection, k.key,
        array_agg(l.key order by l.key) filter (where l.present) as line_keys,
        bool_or(l.present) as present,
        bool_or(l.present and 'count' = any(l.differs)) as count,
        bool_or(l.present and 'price' = any(l.differs)) as price,
        bool_or(l.present and 'cost' = any(l.differs)) as cost,
        bool_or(l.present and l.state <> 1) as differs,
        -- A line of several licences counts with the first.
        sum(l.billed) filter (where k.n = 1) as billed,
        sum(l.wanted) filter (where k.n = 1) as wanted,
        bool_or(l.reason_code = 'possible_duplicate') as ambiguous,
        bool_or(l.present and l.state in (5, 6) and l.reason_code not in ('observe', 'canary')) as held,
        (array_agg(l.state order by l.present desc, l.key) filter (where l.state not in (0, 1)))[1] as state,
        (array_agg(l.reason_code order by l.present desc, l.key) filter (where l.state not in (0, 1)))[1] as reason_code,
        (array_agg(l.reason_text order by l.present desc, l.key) filter (where l.state not in (0, 1)))[1] as reason_text
    from lines l, unnest(l.licence_keys) with ordinality as k(key, n)
    group by l.connection, k.key
), subscribed as (
    select i.connection, i.key, s.mex_id, i.customer as customer_name, s.name, s.sku, i.halo_id, s.client_id, i.currency,
        case when not s.removed and not s.absent then (i.desired->>'count')::bigint end as seats_giacom,
        case when i.halo_id = 0 then null when (i.applied->>'active')::boolean then (i.applied->>'count')::bigint else 0 end as seats_halo,
        case when s.removed then i.monthly_before else i.monthly_after end as cost,
        b.billed, b.wanted, coalesce(b.line_keys, '{}') as line_keys,
        i.state, i.reason_code, i.reason_text, b.state as line_state, b.reason_code as line_code, b.reason_text as line_text,
        case
            when s.removed then 'gone'
            when s.absent then 'waiting'
            when i.reason_code in ('excluded', 'customer_ignored') then 'excluded'
            when s.state <> 1 then 'unmapped'
            when i.reason_code in ('pending_in_giacom', 'halo_list') then 'waiting'
            when i.reason_code in ('possible_duplicate', 'duplicate_mark', 'may_be_renewal') or b.ambiguous then 'ambiguous'
            when i.state in (5, 6) and i.reason_code not in ('observe', 'canary') or b.held then 'held'
            when i.halo_id = 0 then 'no_licence'
            when i.desired->>'client' is distinct from i.applied->>'client' then 'customer'
            when i.desired->>'count' is distinct from i.applied->>'count' or i.desired->>'active' is distinct from i.applied->>'active' or b.count then 'count'
            when b.present is not true then 'no_line'
            when (i.desired->>'price')::numeric <> coalesce((i.applied->>'price')::numeric, -1) or b.price then 'price'
            when (i.desired->>'cost')::numeric <> coalesce((i.applied->>'cost')::numeric, -1) or b.cost then 'cost'
            when i.state <> 1 or b.differs then 'details'
            else 'agrees'
        end as class
    from items i join subscriptions s using (connection, key) left join billing b using (connection, key)
    where not s.removed or i.halo_id <> 0 and i.state <> 7 and (i.applied->>'active')::boolean
), served as (
    select connection, instance, client_id, max(customer) as customer_name, max(i.currency) as currency, max(s.mex_id) as mex_id
    from items i join subscriptions s using (connection, key) where client_id <> 0 and instance <> ''
    group by connection, instance, client_id
), sold as (
    select distinct connection, product(name, sku) as product from subscriptions
)
select connection, key, mex_id, customer_name, name, sku, halo_id, client_id, currency, seats_giacom, seats_halo, cost, billed, wanted, line_keys, class,
    -- Where the line is why, its reason is told.
    case when class in ('no_line', 'price', 'cost') or class in ('held', 'ambiguous', 'count', 'details') and state = 1 or class = 'held' and reason_code in ('observe', 'canary')
        then coalesce(line_state, state) else state end as state,
    case when class in ('no_line', 'price', 'cost') or class in ('held', 'ambiguous', 'count', 'details') and state = 1 or class = 'held' and reason_code in ('observe', 'canary')
        then coalesce(line_code, reason_code) else reason_code end as reason_code,
    case when class in ('no_line', 'price', 'cost') or class in ('held', 'ambiguous', 'count', 'details') and state = 1 or class = 'held' and reason_code in ('observe', 'canary')
        then coalesce(line_text, reason_text) else reason_text end as reason_text
from subscribed
union all
select v.connection, 'halo/' || h.halo_id, v.mex_id, v.customer_name, h.name, h.sku, h.halo_id, h.client_id, v.currency, null, (h.fields->>'count')::bigint,
    null, null, null, '{}', 'stray', 4, 'stray',
    'An active licence in Halo that no subscription of Giacom''s accounts for. If it should no longer be billed, take it off its line and deactivate it in Halo.'
from halo_licences h join served v on v.instance = h.instance and v.client_id = h.client_id
    left join sold d on d.connection = v.connection and d.product = product(h.name, h.sku)
where h.active and h.type = 1
    and (h.mark like 'giacom:%' or h.distributor ilike '%giacom%' or d.product is not null)
    and not exists (select from items i where i.instance = h.instance and i.halo_id = h.halo_id and i.halo_id <> 0 and i.state <> 7)
    -- One that a subscription may turn out to be is ambiguous there, not astray here.
    and not exists (select from subscriptions s join items i using (connection, key)
        where s.connection = v.connection and s.client_id = h.client_id and not s.removed and i.halo_id = 0 and product(s.name, s.sku) = product(h.name, h.sku));
