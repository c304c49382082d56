-- When an undo was seen done in Halo, or had nothing left to do: from then on it is no rule any more.
alter table inty_moves add column finished timestamptz;

-- Those that were done before are found done when their customers are decided about.
insert into dirty (instance, client_id, queued_at)
select distinct v.instance, v.client_id, now() from inty_moves m join invoices v on v.instance = m.instance and v.id = m.invoice_id where m.back;
