-- Giacom customers, what a person decided about them, and which Halo customer they are.
create table customers (
    connection     text not null,
    mex_id         text not null,
    -- as the customer feed has it; revision 0 and no name while only subscriptions name the customer
    revision       bigint not null default 0,
    name           text not null default '',
    in_feed        boolean not null default false,
    -- 0 nothing, 1 mapped, 2 to be created in spite of near matches, 4 ignored: seatline.mapping.v1.State
    decision       smallint not null default 0,
    decided_client bigint not null default 0,
    decided_origin smallint not null default 0,
    decided_reason text not null default '',
    who            text not null default '',
    -- what holds now; state 0: nobody has looked yet
    state          smallint not null default 0,
    client_id      bigint not null default 0,
    client_name    text not null default '',
    origin         smallint not null default 0,
    reason_code    text not null default '',
    reason_text    text not null default '',
    version        bigint not null default 0,
    updated        timestamptz not null default now(),
    run            text not null default '',
    cause          text not null default '',
    trace          text not null default '',
    primary key (connection, mex_id)
);

-- The latest subscription of each key, with the Halo customer it goes to.
create table subscriptions (
    connection      text not null,
    key             text not null,
    mex_id          text not null,
    revision        bigint not null,
    -- seatline.giacom.v1.Subscription, as the fetcher sent it
    body            bytea not null,
    gone            boolean not null,
    customer_name   text not null,
    name            text not null,
    sku             text not null,
    -- 0 nothing, 1 assigned to decided_client, 3 excluded for decided_reason: seatline.subscription.v1.State
    decision        smallint not null default 0,
    decided_client  bigint not null default 0,
    decided_name    text not null default '',
    decided_reason  text not null default '',
    who             text not null default '',
    -- what was last published; state 0: nothing yet
    state           smallint not null default 0,
    client_id       bigint not null default 0,
    client_name     text not null default '',
    reason_code     text not null default '',
    reason_text     text not null default '',
    out_revision    bigint not null default 0,
    run             text not null,
    cause           text not null,
    trace           text not null,
    updated         timestamptz not null,
    primary key (connection, key)
);

create index subscriptions_customer on subscriptions (connection, mex_id, key);

-- Customers of a Halo instance, as last listed. marks holds custom fields where the list shows them.
create table clients (
    instance   text not null,
    id         bigint not null,
    name       text not null,
    inactive   boolean not null,
    marks      jsonb not null default '{}',
    first_seen timestamptz not null,
    primary key (instance, id)
);

-- What ties a Giacom customer to a Halo customer over there: our own links, and those of Halo's native integration.
create table ties (
    instance  text not null,
    native    boolean not null,
    mex_id    text not null,
    client_id bigint not null,
    primary key (instance, native, mex_id, client_id)
);

create table instances (
    instance text primary key,
    read_at  timestamptz not null
);

-- Connections whose mappings are to be decided anew, from at on.
create table due (
    connection text primary key,
    at         timestamptz not null,
    since      timestamptz not null,
    -- Halo's customers are to be read again first
    read_halo  boolean not null,
    failures   int not null default 0
);
