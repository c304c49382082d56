-- Local accounts, for where no identity provider is configured.
create table web_accounts (
    name        text primary key check (name ~ '^[a-z0-9._@-]{1,64}$'),
    role        text        not null check (role in ('viewer', 'operator')),
    hash        text        not null, -- argon2id, in the PHC format
    update_time timestamptz not null
);

-- Sessions. Of the id in the browser's cookie only the SHA-256 is here: who reads this table can enter nowhere.
create table web_sessions (
    id          bytea primary key,
    name        text        not null,
    role        text        not null check (role in ('viewer', 'operator')),
    method      text        not null check (method in ('password', 'openid', 'link')),
    address     text        not null,
    create_time timestamptz not null,
    last_time   timestamptz not null,
    expire_time timestamptz not null,
    flash       jsonb
);
create index web_sessions_name on web_sessions (name);
create index web_sessions_expire on web_sessions (expire_time);

-- Attempts to sign in with a password, for all replicas to count. Key: "account …" or "address …".
create table web_attempts (
    id   bigint generated always as identity primary key,
    key  text        not null,
    time timestamptz not null
);
create index web_attempts_key on web_attempts (key, time);

-- Links that sign in once; by SHA-256.
create table web_links (
    id          bytea primary key,
    name        text        not null,
    role        text        not null check (role in ('viewer', 'operator')),
    expire_time timestamptz not null
);

-- Visits to the identity provider that have not come back yet; by SHA-256 of the state.
create table web_flows (
    id          bytea primary key,
    nonce       text        not null,
    verifier    text        not null, -- PKCE
    back        text        not null, -- where to go afterwards
    expire_time timestamptz not null
);
