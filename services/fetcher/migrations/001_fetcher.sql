-- One poll of one Giacom account. The columns beside body are what SQL needs of it.
create table runs (
    id                     text        primary key,
    connection             text        not null,
    trigger                smallint    not null,
    outcome                smallint    not null,
    start_time             timestamptz not null,
    -- Removals count as seen by the schedule.
    scheduled              boolean     not null,
    -- No scheduled run before this time: Giacom asked for it.
    retry_at               timestamptz,
    trace                  text        not null default '',
    -- Grows with every change of body, for those who watch.
    version                bigint      not null default 1,
    -- The rules in force when the run began: see Guards of seatline.connection.v1.
    confirmations          integer     not null,
    removal_interval       interval    not null,
    -- What the pull proved: whether absence means anything, for each entity.
    customers_complete     boolean     not null default false,
    subscriptions_complete boolean     not null default false,
    -- The run saw every row in which a customer can appear, not only the customers path.
    all_customers          boolean     not null default false,
    -- Rows in its staging table, so that a table emptied by a database crash is noticed.
    staged                 bigint      not null default 0,
    body                   bytea       not null -- seatline.run.v1.Run
);

create index runs_connection on runs (connection, start_time desc);
create index runs_start on runs (start_time desc);
create index runs_open on runs (connection) where outcome in (1, 4); -- running, held

-- The last picture of each account, as published. entity: 1 customer, 2 subscription.
create table seen (
    connection        text        not null,
    entity            smallint    not null,
    key               text        not null collate "C",
    revision          bigint      not null,
    hash              bytea       not null,
    -- Serialised Customer or Subscription of seatline.giacom.v1 as Giacom had it; what we know beside it (absence,
    -- removal) is in the columns below and is appended when it is published: see mark().
    body              bytea       not null,
    mex_id            text        not null,
    name              text        not null,
    status_word       text        not null,
    quantity          text        not null,
    -- Of a customer: seen only in subscription feeds.
    derived           boolean     not null,
    -- Complete pulls that missed it, and the start of the first of them.
    misses            integer     not null default 0,
    absent_since      timestamptz,
    -- 0 no, 1 proven absent, 2 Giacom says Cancelled or Deleted.
    removal           smallint    not null default 0,
    removal_scheduled boolean     not null default false,
    removed_since     timestamptz,
    -- The run that last changed this row.
    last_run          text        not null,
    primary key (connection, entity, key)
);

create index seen_customer on seen (connection, mex_id) where entity = 2;

-- The protobuf encoding of what is appended to a stored payload. Fields of one message may come in any order and from
-- several pieces, so payload || mark is a valid message, and payloads need never be decoded to be published.
create function varint(n bigint) returns bytea language plpgsql immutable strict as $$
declare
    b bytea := '';
begin
    while n > 127 loop
        b := b || set_byte('\x00'::bytea, 0, ((n & 127) | 128)::integer);
        n := n >> 7;
    end loop;
    return b || set_byte('\x00'::bytea, 0, n::integer);
end $$;

-- A google.protobuf.Timestamp of whole seconds.
create function stamp(t timestamptz) returns bytea language plpgsql immutable strict as $$
begin
    return '\x08'::bytea || varint(floor(extract(epoch from t))::bigint);
end $$;

-- Fields 22 (absent_since) and 23 (removal) of seatline.giacom.v1.Subscription.
create function mark(absent timestamptz, removal integer, scheduled boolean, since timestamptz) returns bytea language plpgsql immutable as $$
declare
    b bytea := '';
    inner_message bytea;
begin
    if absent is not null then
        b := '\xb201'::bytea || varint(length(stamp(absent))) || stamp(absent);
    end if;
    if removal <> 0 then
        inner_message := '\x08'::bytea || varint(removal);
        if scheduled then
            inner_message := inner_message || '\x1001'::bytea;
        end if;
        if since is not null then
            inner_message := inner_message || '\x1a'::bytea || varint(length(stamp(since))) || stamp(since);
        end if;
        b := b || '\xba01'::bytea || varint(length(inner_message)) || inner_message;
    end if;
    return b;
end $$;
