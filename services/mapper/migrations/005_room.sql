-- An import writes each subscription twice, the second time with the customer in Halo that its mapping says. Where no index
-- has what changes then, and the page has room, no index is written again.
drop index subscriptions_state;
alter table subscriptions set (fillfactor = 50);
