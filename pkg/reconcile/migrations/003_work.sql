-- What the applier may take by itself, and what it has taken. An item is wide and has its indexes; a claim, its lease and
-- its end write only here. Whoever writes a row here holds the lock of its item, except for a heartbeat, which extends a
-- lease that is its own.
create table work (
    connection text        not null,
    key        text        not null,
    instance   text        not null,
    grp        text        not null default '',
    customer   text        not null default '',
    priority   smallint    not null default 0,
    -- when it may be taken; while it is claimed, when the claim runs out
    ready_at   timestamptz not null,
    claim      text        not null default '',
    -- when the claim was made, or the one that is unclear, and what it set out to write
    since      timestamptz,
    claimed    jsonb,
    unclear    boolean     not null default false,
    attempts   int         not null default 0,
    primary key (connection, key)
);

insert into work (connection, key, instance, grp, customer, priority, ready_at, claim, since, claimed, unclear, attempts)
select connection, key, instance, grp, customer, priority, ready_at, case when state = 3 then coalesce(claim, '') else '' end, since, claimed, unclear, attempts
from items where ready_at is not null;

create index work_ready on work (priority, ready_at);
create index work_group on work (instance, grp, ready_at) where grp <> '';

-- Whatever is claimed is in the table above, and what Halo showed is what counts as applied from then on.
alter table items drop column ready_at, drop column claim, drop column claimed, drop column since, drop column unclear,
    drop column attempts, drop column observed;

-- What is not in sync is found by its state in the plan; what is, is most of a connection.
drop index items_state;
drop index items_plan;
create index items_plan on items (connection, key, state) where state not in (1, 7) or follows;
