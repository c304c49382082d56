-- What subscriptions are listed by, each within a connection and by key.
create index subscriptions_state on subscriptions (connection, state, key);
create index subscriptions_client on subscriptions (connection, client_id, key);
create index subscriptions_customer_name on subscriptions (connection, customer_name, key);
create index subscriptions_name on subscriptions (connection, name, key);
create index subscriptions_updated on subscriptions (connection, updated, key);
