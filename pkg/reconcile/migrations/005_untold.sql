-- What no event has told of yet, for a moment: it has no revision.
create index items_untold on items (updated) where revision = 0;
