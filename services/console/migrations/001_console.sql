-- Connections. A row is never deleted: its slug is never used again.
create table connections (
    slug         text primary key check (slug ~ '^[a-z0-9-]{1,40}$'),
    -- revision orders the events of the connection; edition is the etag, and moves only when a person
    -- changes something, so that what validation finds out disturbs nobody's edit.
    revision     bigint      not null,
    edition      bigint      not null,
    display_name text        not null,
    enabled      boolean     not null,
    mode         integer     not null,
    account      text        not null,
    instance     text        not null,
    deleted      boolean     not null default false,
    create_time  timestamptz not null,
    update_time  timestamptz not null,
    body         bytea       not null -- seatline.connection.v1.Connection, secrets by reference
);

-- The marks left in Halo begin with the account: two connections with one account in one Halo would
-- take each other's licences for their own.
create unique index connections_account on connections (account, instance) where not deleted;

-- Secrets, sealed with the keyset of the console. The row outlives the secret, so that versions are never repeated.
create table secrets (
    slug        text        not null references connections,
    field       text        not null check (field in ('giacom_api_key', 'halo_client_secret')),
    version     bigint      not null,
    last_four   text        not null,
    sealed      bytea,
    update_time timestamptz not null,
    primary key (slug, field)
);
