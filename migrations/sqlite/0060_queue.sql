-- How many runs were not over at the start of each minute, for a chart; of all hosts.
create table queue_minutes (
    minute_ms integer primary key,
    queued    integer not null
) strict;
