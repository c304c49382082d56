-- Price rules that were set before billing told them are told now.
with new as materialized (
    select gen_random_uuid()::text as id, connection, revision, update_time, body from price_rules
), kept as (
    insert into history (id, type, entity, connection, key, revision, source, time, payload)
    select id, 'seatline.price_rules.changed.v1', 'price-rules', connection, 'rules', revision, 'seatline/billing', update_time, body from new
)
insert into outbox (id, type, entity, connection, key, revision, source, time, payload)
select id, 'seatline.price_rules.changed.v1', 'price-rules', connection, 'rules', revision, 'seatline/billing', update_time, body from new;
