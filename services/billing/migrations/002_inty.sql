-- The migration from Halo's Inty integration, of one connection.
create table inty_migrations (
    connection text  primary key,
    body       jsonb not null -- how far it is; see intyMigration
);

-- Halo's inty_client_mappings as they were saved, or a file's.
create table inty_mappings (
    connection text   not null,
    inty_id    text   not null,
    client_id  bigint not null, -- of Halo
    body       jsonb  not null,
    primary key (connection, inty_id, client_id)
);

-- What people said of customers: are they in the United States?
create table inty_answers (
    connection    text        not null,
    client_id     bigint      not null,
    united_states boolean     not null,
    who           text        not null,
    time          timestamptz not null,
    primary key (connection, client_id)
);

-- Licences in Halo that Inty's integration made, as last read.
create table inty_licences (
    instance  text        not null,
    halo_id   bigint      not null,
    client_id bigint      not null,
    active    boolean     not null,
    body      jsonb       not null,
    read_at   timestamptz not null,
    primary key (instance, halo_id)
);

create index inty_licences_client on inty_licences (instance, client_id);

-- Customers of Halo as last read, with what tells where they are.
create table inty_clients (
    instance   text   not null,
    client_id  bigint not null,
    name       text   not null,
    countries  text[] not null,
    currencies text[] not null,
    primary key (instance, client_id)
);

-- Giacom's customers, as the mapper and the fetcher tell.
create table inty_customers (
    connection        text   not null,
    mex_id            text   not null,
    mapping_revision  bigint not null default 0,
    name              text   not null default '',
    client_id         bigint not null default 0, -- of Halo; 0 unless mapped
    ignored           boolean not null default false,
    customer_revision bigint not null default 0,
    tenants           text[] not null default '{}',
    country           text   not null default '',
    primary key (connection, mex_id)
);

-- Which Giacom licence people chose for one of Inty's; '' leaves it alone.
create table inty_choices (
    connection text        not null,
    halo_id    bigint      not null,
    key        text        not null,
    who        text        not null,
    time       timestamptz not null,
    primary key (connection, halo_id)
);

-- Links of lines that a person had re-pointed, with what they were: undo reads it.
create table inty_moves (
    instance   text        not null,
    invoice_id bigint      not null,
    line_id    bigint      not null,
    licence_id bigint      not null, -- Inty's
    to_id      bigint      not null, -- ours
    connection text        not null,
    back       boolean     not null, -- to be, or being, undone
    deactivate boolean     not null, -- Inty's licence when no line links it any more
    was        jsonb       not null,
    row_was    bytea       not null, -- JSON of the row exactly as Halo sent it
    who        text        not null,
    time       timestamptz not null,
    primary key (instance, invoice_id, line_id, licence_id)
);

create index inty_moves_connection on inty_moves (connection);

create table inty_reports (
    connection text        not null,
    id         bigint      generated always as identity,
    time       timestamptz not null,
    who        text        not null,
    body       bytea       not null, -- seatline.inty.v1.Report
    primary key (connection, id)
);
