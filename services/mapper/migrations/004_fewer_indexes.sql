-- Every import writes each subscription twice, and all of its indexes: nobody looks for them in these ways often enough.
drop index subscriptions_client;
drop index subscriptions_name;
drop index subscriptions_updated;
