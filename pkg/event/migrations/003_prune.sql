-- What is old is found without reading the rest: rows lie in the order in which they were written.
create index history_recorded on history using brin (recorded_at) with (pages_per_range = 32, autosummarize = on);
