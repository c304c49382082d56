-- One row per object of Halo that this service looks after.
create table items (
    connection     text        not null,
    key            text        not null,
    instance       text        not null,
    grp            text        not null default '',
    revision       bigint      not null,
    desired        jsonb,
    applied        jsonb,
    observed       jsonb,
    drifted        text[],
    halo_id        bigint      not null default 0,
    state          smallint    not null check (state between 1 and 7),
    reason_code    text        not null default '',
    reason_text    text        not null default '',
    sticky         boolean     not null default false,
    unclear        boolean     not null default false,
    since          timestamptz,
    attempts       int         not null default 0,
    facts          bytea,
    title          text        not null default '',
    customer       text        not null default '',
    follows        boolean     not null default false,
    monthly_before numeric,
    monthly_after  numeric,
    currency       text        not null default '',
    run            text        not null default '',
    cause          text        not null default '',
    trace          text        not null default '',
    who            text        not null default '',
    priority       smallint    not null default 0,
    mode           smallint    not null default 0,
    -- the verdict of the rules, so that a change of mode or a release can settle the item anew
    verdict        smallint    not null default 2,
    verdict_code   text        not null default '',
    verdict_text   text        not null default '',
    -- when the applier may take it; null: never by itself
    ready_at       timestamptz,
    -- the intent of the claim that is out: who has it and what it set out to write
    claim          text,
    claimed        jsonb,
    updated        timestamptz not null,
    primary key (connection, key)
);

create index items_ready on items (priority, ready_at) where ready_at is not null;
create index items_group on items (instance, grp) where ready_at is not null and grp <> '';
create index items_state on items (connection, state, reason_code);
create index items_halo on items (instance, halo_id) where halo_id <> 0;
create index items_plan on items (connection, key) where state not in (1, 7) or follows;

-- One writer per object of Halo that may have only one.
create table writers (
    instance    text        not null,
    grp         text        not null,
    owner       text        not null,
    lease_until timestamptz not null,
    primary key (instance, grp)
);

-- Append-only: what was written to Halo, or decided, and why.
create table changes (
    id             bigint generated always as identity primary key,
    connection     text        not null,
    key            text        not null,
    outcome        text        not null,
    action         text        not null,
    title          text        not null default '',
    fields         jsonb,
    before         jsonb,
    after          jsonb,
    reason_code    text        not null default '',
    reason_text    text        not null default '',
    run            text        not null default '',
    cause          text        not null default '',
    who            text        not null default '',
    request_id     text        not null default '',
    response       text        not null default '',
    halo_id        bigint      not null default 0,
    monthly_before numeric,
    monthly_after  numeric,
    currency       text        not null default '',
    time           timestamptz not null
);

create index changes_key on changes (connection, key, id);
create index changes_run on changes (run, id);
