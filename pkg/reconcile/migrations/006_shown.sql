-- What lists show of an item: what its latest event says, see List. Null where that is not kept. A migration that changes what
-- an item says sets it to null.
alter table items add column shown bytea;
