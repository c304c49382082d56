-- When a Halo instance last said who else writes there. What it said is in findings.
create table looks (
    instance text primary key,
    time     timestamptz not null
);
