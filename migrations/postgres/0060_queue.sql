-- How many runs were not over at the start of each minute, for a chart; of all hosts.
create table queue_minutes (
    minute_ms bigint primary key,
    queued    bigint not null
);
