-- Lines are looked for by licences while many of them change: a list of what the index has yet to take in would be gone
-- through each time.
drop index lines_ids;
drop index lines_keys;
create index lines_ids on lines using gin (licence_ids) with (fastupdate = off);
create index lines_priced on lines using gin (licence_keys) with (fastupdate = off) where price is not null;
