-- What a licence in Halo is a licence of: giacom.Product.Keys. Empty for those that were listed before this column came.
alter table halo_licences add column products text[] not null default '{}';

-- Whose licences others may take over.
create index subscriptions_leaving on subscriptions (connection, client_id, key) where removed or absent;
