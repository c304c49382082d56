-- What waits to be published. Rows leave when the stream has acknowledged them.
create table outbox (
    seq         bigint generated always as identity primary key,
    id          text not null,
    type        text not null,
    entity      text not null,
    connection  text not null,
    key         text not null check (octet_length(key) between 1 and 400),
    revision    bigint not null,
    run         text not null default '',
    cause       text not null default '',
    source      text not null,
    time        timestamptz not null,
    traceparent text not null default '',
    log         boolean not null default false,
    -- Below the default max_payload of NATS (1 MiB): a row that the server can never take would
    -- block everything behind it, so the transaction that writes it is refused instead.
    payload     bytea not null check (octet_length(payload) <= 1000000)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);

create index outbox_run on outbox (connection, run);

-- Wakes the relay. One notification per statement, and Postgres folds those of one transaction.
create function outbox_notify() returns trigger language plpgsql as $$
begin
    perform pg_notify('seatline_outbox', tg_table_schema);
    return null;
end $$;

create trigger outbox_notify after insert on outbox for each statement execute function outbox_notify();

-- Every revision of every entity this schema owns. time is when the change was true (valid time),
-- recorded_at when it was written here.
create table history (
    entity      text not null,
    connection  text not null,
    key         text not null,
    revision    bigint not null,
    id          text not null,
    type        text not null,
    run         text not null default '',
    cause       text not null default '',
    source      text not null,
    time        timestamptz not null,
    traceparent text not null default '',
    payload     bytea not null,
    recorded_at timestamptz not null default now(),
    primary key (entity, connection, key, revision)
);

-- The stream this schema publishes to: another creation time means that it was made anew and is
-- empty. last_seq is the last sequence acknowledged to this schema.
create table streams (
    name     text primary key,
    created  text not null,
    last_seq bigint not null default 0
);

-- The last stream sequence published for a run.
create table run_marks (
    connection text not null,
    run        text not null,
    last_seq   bigint not null,
    time       timestamptz not null default now(),
    primary key (connection, run)
);

-- One row per entity this schema consumes. The generation is part of the durable's name.
-- stream_created, schema_oid and delivered tell whether durable and schema still belong together:
-- see consumer.go.
create table consumers (
    service        text not null,
    entity         text not null,
    generation     text not null,
    stream_created text not null,
    schema_oid     bigint not null,
    delivered      bigint not null default 0,
    primary key (service, entity)
);

-- Messages that cannot be digested. A redelivered one replaces its row.
create table dead_letters (
    id         uuid primary key default gen_random_uuid(),
    entity     text not null,
    subject    text not null,
    stream_seq bigint not null,
    type       text not null,
    connection text not null,
    key        text not null,
    reason     text not null,
    headers    jsonb not null,
    payload    bytea not null,
    time       timestamptz not null default now(),
    unique (subject, stream_seq)
);
