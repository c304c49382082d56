-- What a change did is in its fields, each with what was before and after; the whole documents were read by nobody.
alter table changes drop column before, drop column after;
