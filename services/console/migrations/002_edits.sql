-- What people did to connections, append-only: who, when, and which settings from what to what. Of a
-- secret only its last four characters.
create table edits (
    id     bigint generated always as identity primary key,
    slug   text        not null references connections,
    what   text        not null,
    who    text        not null,
    time   timestamptz not null,
    fields jsonb       not null,
    reason text        not null
);

create index edits_slug on edits (slug, id);

-- Who else was found writing to a Halo instance, by the last look into its settings.
create table findings (
    instance text        not null,
    code     text        not null,
    text     text        not null,
    fix      text        not null,
    since    timestamptz not null,
    primary key (instance, code)
);
