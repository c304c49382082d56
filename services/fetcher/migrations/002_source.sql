-- By which import method a run read the account, and whether that is another than that of the last run before it that
-- saw all subscriptions: what it does not list is then superseded, not gone. Runs of before have none and supersede nothing.
alter table runs add column source text not null default '', add column supersedes boolean not null default false;

create index runs_source on runs (connection, start_time desc) where subscriptions_complete and source <> '' and outcome in (2, 3);

comment on column seen.removal is '0 no, 1 proven absent, 2 Giacom says Cancelled or Deleted, 3 superseded by another import method';
