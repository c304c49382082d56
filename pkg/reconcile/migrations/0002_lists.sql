-- Lists are paged by key within a connection, kept to one value of a column, or ordered by it.
drop index items_state;
create index items_state on items (connection, state, key);
create index items_reason on items (connection, reason_code, key);
create index items_customer on items (connection, customer, key);
create index items_updated on items (connection, updated, key);
create index items_halo_id on items (connection, halo_id, key);
-- A person looks for an object of Halo without knowing more of it than its id.
drop index items_halo;
create index items_halo on items (halo_id, instance) where halo_id <> 0;

-- The change log of a connection, the newest first.
create index changes_connection on changes (connection, id);
