-- Lists are paged by key within a connection, kept to one value of a column. Every write of an item
-- writes all its indexes, so there are no more than people need in order to find things.
drop index items_state;
create index items_state on items (connection, state, key);
create index items_customer on items (connection, customer, key);
-- A person looks for an object of Halo without knowing more of it than its id.
drop index items_halo;
create index items_halo on items (halo_id, instance) where halo_id <> 0;

-- The change log of a connection, the newest first.
create index changes_connection on changes (connection, id);
