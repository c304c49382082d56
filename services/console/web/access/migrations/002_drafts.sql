-- What somebody works on over several pages and has not saved. It goes with the session.
create table web_drafts (
    session bytea not null references web_sessions (id) on delete cascade,
    name    text  not null,
    content jsonb not null,
    primary key (session, name)
);
