-- A state event is in the history, payload and all: the outbox only says that it is to be sent. What goes to the log stream
-- is nowhere else, and is here whole. Rows from before this are whole too, and their revisions are in the history as well.
alter table outbox alter column id drop not null, alter column type drop not null, alter column run drop not null,
    alter column cause drop not null, alter column source drop not null, alter column time drop not null,
    alter column traceparent drop not null, alter column payload drop not null,
    alter column cause drop default, alter column traceparent drop default,
    add column written timestamptz not null default now(), -- since when it waits
    add constraint outbox_whole check (not log or payload is not null);

-- Below the default max_payload of NATS, as in the outbox and for the same reason.
alter table history add constraint history_payload check (octet_length(payload) <= 1000000);
