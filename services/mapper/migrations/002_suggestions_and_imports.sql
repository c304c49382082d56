alter table customers
    -- what tells who the customer is besides its name, as Giacom has it
    add column traits         jsonb not null default '{}',
    -- its name before it was renamed in Giacom, unless a person has decided about it since
    add column previous_name  text not null default '',
    add column renamed        timestamptz,
    add column unmapped_since timestamptz,
    -- who made the last change; empty for a rule
    add column changed_by     text not null default '';

create index customers_unmapped on customers (connection, unmapped_since) where unmapped_since is not null;
create index customers_client on customers (connection, client_id) where client_id <> 0;

alter table subscriptions
    add column tenant   text not null default '',
    -- per month ex VAT, whole subscription, if the price of a longer term is per month, and if it is per
    -- term; null: cannot be said
    add column currency text not null default '',
    add column if_month numeric,
    add column if_term  numeric;

alter table clients add column traits jsonb not null default '{}';

-- Which Halo customers an unmapped customer may be, best first. The columns are the first candidate's.
create table suggestions (
    connection text not null,
    mex_id     text not null,
    client_id  bigint not null,
    score      int not null,
    -- why it does not stand out; empty if it does
    ambiguity  text not null default '',
    candidates jsonb not null,
    primary key (connection, mex_id)
);

-- Connections whose suggestions are to be made anew.
create table suggest_due (
    connection text primary key,
    at         timestamptz not null
);

-- Connections with customers that stay unmapped for too long, and when that was last said aloud.
create table unmapped_alerts (
    connection text primary key,
    customers  int not null,
    warned     timestamptz not null
);

-- Imports of customers by hand.
create table imports (
    id         text primary key,
    connection text not null,
    who        text not null,
    started    timestamptz not null,
    ended      timestamptz,
    unchanged  int not null,
    top_level  bigint not null
);

-- One at a time.
create unique index imports_running on imports (connection) where ended is null;
create index imports_connection on imports (connection, started);

create table import_rows (
    import        text not null references imports (id) on delete cascade,
    mex_id        text not null,
    name          text not null,
    -- seatline.mapping.v1.ImportAction and ImportOutcome
    action        smallint not null,
    outcome       smallint not null,
    client_id     bigint not null default 0,
    client_name   text not null default '',
    reason_code   text not null default '',
    reason_text   text not null default '',
    candidates    jsonb not null default '[]',
    subscriptions int not null default 0,
    primary key (import, mex_id)
);
