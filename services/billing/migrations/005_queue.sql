-- Customers of Halo about whose lines has to be decided anew: a queue that is only appended to and
-- taken from, so that nobody who queues waits for the one who decides. A customer may stand in it
-- more than once.
alter table dirty rename to dirty_before;

create table dirty (
    id        bigint      generated always as identity primary key,
    instance  text        not null,
    client_id bigint      not null,
    queued_at timestamptz not null
);

create index dirty_client on dirty (instance, client_id);

insert into dirty (instance, client_id, queued_at) select instance, client_id, due_at from dirty_before;
drop table dirty_before;
