-- Each licence is looked for by itself. What was added last would be gone through for each of them, where the index may put
-- off taking it in.
drop index invoices_licences;
create index invoices_licences on invoices using gin (licence_ids) with (fastupdate = off);
