-- Licences of Halo's Inty integration that a line billed before it was re-pointed, and that are to be
-- inactive: [{"id", "client", "client_name", "name", "who"}].
alter table lines add column replaced jsonb not null default '[]';

create index lines_replaced on lines (connection) where replaced <> '[]';
