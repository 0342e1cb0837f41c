-- Deliveries that were seen, in two parts. A key is random: one b-tree of all keys had a
-- page of its own written for each event. Now a delivery is appended to a log, and
-- where its key stands in order is noted much later, many at a time.

-- One row for each distinct body under a delivery's key, in the order of commits.
create table dedup_log (
    seq         integer primary key,
    source      text    not null,
    key         blob    not null check (length(key) = 16),
    body_sha256 blob    not null check (length(body_sha256) = 32),
    event_id    blob    not null,
    expires_ms  integer not null
) strict;
create index dedup_log_by_expiry on dedup_log (expires_ms);

-- Where the log has a key: all up to the mark in `dedup_merged`, some of those after it.
-- A row whose `seq` is not in the log means nothing.
create table dedup_keys (
    head   blob    not null check (length(head) = 8), -- the first half of the key
    source text    not null,
    seq    integer not null,
    primary key (head, source, seq)
) strict, without rowid;

-- One row: up to which `seq` every row of the log stands in `dedup_keys`. No `seq` up to
-- it is given again.
create table dedup_merged (
    seq integer not null
) strict;

insert into dedup_log (source, key, body_sha256, event_id, expires_ms)
    select source, key, body_sha256, event_id, expires_ms from dedup order by expires_ms;
insert into dedup_keys (head, source, seq)
    select substr(key, 1, 8), source, seq from dedup_log order by 1, 2, 3;
insert into dedup_merged (seq) select coalesce(max(seq), 0) from dedup_log;
drop table dedup;
