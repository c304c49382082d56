-- The latest licence of each key, as the licence service told it.
create table licences (
    connection    text        not null,
    key           text        not null,
    revision      bigint      not null,
    instance      text        not null, -- Halo host and tenant
    halo_id       bigint      not null, -- 0 until it exists in Halo
    client_id     bigint      not null, -- Halo customer it should belong to
    old_client_id bigint      not null, -- the one it still belongs to while it moves, else 0
    present       boolean     not null, -- false: nothing is wanted in Halo and nothing is there
    body          jsonb       not null,
    run           text        not null,
    cause         text        not null,
    trace         text        not null,
    -- The customer it belonged to before, until no line of that customer links it any more; else 0.
    -- The licence service waits for us only if it knew of the line.
    left_client_id bigint     not null default 0,
    primary key (connection, key)
);

create index licences_client on licences (instance, client_id);
create index licences_old_client on licences (instance, old_client_id) where old_client_id <> 0;
create index licences_left_client on licences (instance, left_client_id) where left_client_id <> 0;
create index licences_halo on licences (instance, halo_id) where halo_id <> 0;

-- Halo's recurring invoices as last read.
create table invoices (
    instance    text        not null,
    id          bigint      not null, -- negative
    client_id   bigint      not null,
    licence_ids bigint[]    not null, -- that its lines link
    digest      jsonb       not null, -- what the rules look at
    body        bytea       not null, -- JSON exactly as Halo sent it
    gone        boolean     not null default false,
    read_at     timestamptz not null, -- when the request was sent
    primary key (instance, id)
);

create index invoices_client on invoices (instance, client_id);
create index invoices_licences on invoices using gin (licence_ids);

-- Invoices that had fewer lines after a write than before: a copy to restore from. Nothing more is
-- written to them until a person has said that they looked.
create table invoice_backups (
    instance     text        not null,
    id           bigint      not null,
    lines        bigint[]    not null, -- that are missing
    before       bytea       not null, -- JSON exactly as Halo sent it
    request_id   text        not null,
    time         timestamptz not null,
    acknowledged text        not null default '', -- by whom
    primary key (instance, id, time)
);

-- What is known of each Halo instance.
create table instances (
    instance      text        primary key,
    read_at       timestamptz,          -- when the last complete reading of its invoices began
    due_at        timestamptz not null, -- when they are to be read again
    reader        text        not null default '',
    reading_until timestamptz,          -- lease of whoever reads now
    failures      int         not null default 0,
    items         jsonb       not null default '[]'
);

-- Customers of Halo about whose lines has to be decided anew.
create table dirty (
    instance  text        not null,
    client_id bigint      not null,
    due_at    timestamptz not null,
    primary key (instance, client_id)
);

-- When new licences last came; deciding waits for a pause, so that several of one product are seen together.
create table arrivals (
    instance text        primary key,
    since    timestamptz not null,
    at       timestamptz not null
);

-- Price rules as people set them.
create table price_rules (
    connection  text        primary key,
    revision    bigint      not null,
    body        bytea       not null, -- seatline.pricing.v1.PriceRules
    who         text        not null,
    update_time timestamptz not null
);

-- Items of an invoice, whatever their state.
create index items_invoice on items (instance, grp);
