-- What licences are listed by besides the columns of items, each within a connection and by key.
create index subscriptions_mex_id on subscriptions (connection, mex_id, key);
create index subscriptions_name on subscriptions (connection, name, key);
create index subscriptions_sku on subscriptions (connection, sku, key);
drop index subscriptions_client;
create index subscriptions_client on subscriptions (connection, client_id, key);
