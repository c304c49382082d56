-- Listed the newest first.
create index dead_letters_time on dead_letters (time, (id::text));
