-- The service's own copy of each connection's settings, from the console's events. No secrets.
create table connections (
    slug     text   primary key,
    revision bigint not null,
    body     bytea  not null
);
