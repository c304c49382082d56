-- The latest subscription of each key, as the mapper resolved it.
create table subscriptions (
    connection    text        not null,
    key           text        not null,
    revision      bigint      not null,
    state         smallint    not null,
    client_id     bigint      not null,
    mex_id        text        not null,
    customer_name text        not null,
    name          text        not null,
    sku           text        not null,
    absent        boolean     not null,
    removed       boolean     not null,
    run           text        not null,
    cause         text        not null,
    trace         text        not null,
    first_seen    timestamptz not null,
    body          bytea       not null, -- seatline.subscription.v1.Subscription
    primary key (connection, key)
);

create index subscriptions_client on subscriptions (connection, client_id);

-- What billing tells about lines that link or bill our licences.
create table lines (
    connection   text     not null,
    key          text     not null,
    revision     bigint   not null,
    linked       boolean  not null, -- its quantity comes from the licences it links
    invoice_id   bigint   not null,
    client_id    bigint   not null,
    licence_ids  bigint[] not null, -- that the line in Halo links now
    licence_keys text[]   not null, -- that it bills
    price        numeric,           -- that it wants to take from its licence
    primary key (connection, key)
);

create index lines_ids on lines using gin (licence_ids);
create index lines_keys on lines using gin (licence_keys);

-- Halo's licences as last listed, for adoption and for seeing changes made by hand.
create table halo_licences (
    instance   text    not null,
    halo_id    bigint  not null,
    client_id  bigint  not null,
    type       bigint  not null,
    name       text    not null,
    sku        text    not null,
    active     boolean not null,
    mark       text    not null,
    mark_known boolean not null,
    fields     jsonb   not null,
    listing    bigint  not null, -- the listing that last showed it
    primary key (instance, halo_id)
);

create index halo_licences_client on halo_licences (instance, client_id);
create index halo_licences_mark on halo_licences (instance, mark) where mark <> '';

-- What is known of each Halo instance.
create table instances (
    instance      text primary key,
    listing       bigint not null default 0,
    listed_at     timestamptz, -- when the last complete listing began
    wanted_at     timestamptz, -- somebody waits for a listing that begins later than this
    reading_until timestamptz, -- lease of whoever lists now, or when to try again
    failures      int not null default 0 -- of the present attempt to list
);

-- What people decided about adoption.
create table decisions (
    connection text        not null,
    key        text        not null,
    adopt      bigint      not null, -- take over this licence; 0: create a new one
    who        text        not null,
    time       timestamptz not null,
    primary key (connection, key)
);

-- Items to be decided anew, because something else than their subscription changed.
create table revisits (
    connection text        not null,
    key        text        not null,
    due_at     timestamptz not null,
    primary key (connection, key)
);

create index revisits_due on revisits (due_at);

-- When subscriptions last came in; adoption waits for a pause, so that rivals are seen together.
create table arrivals (
    connection text primary key,
    at         timestamptz not null
);
