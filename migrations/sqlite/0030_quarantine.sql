-- Requests that were refused and set aside: what failed verification, its schema or
-- JSON. Small columns stand before the request, so that lists do not read bodies.
create table quarantine (
    seq          integer primary key,
    id           blob    not null unique check (length(id) = 16), -- the request's; sorts by time of receipt
    source       text    not null,
    received_ms  integer not null,
    code         text    not null,            -- why it was refused, as a code
    message      text    not null,            -- the same in words
    hint         text,                        -- what has probably happened
    remote_addr  text,
    size_bytes   integer not null,            -- of the body
    weight       integer not null,            -- what it counts against the bound, in bytes
    method       text    not null,
    target       text    not null,            -- path and query as they came
    encoding     integer not null check (encoding in (0, 1)), -- 0 plain, 1 lz4
    header_bytes integer not null,            -- length of the header block in request
    request      blob    not null             -- header block as sent, then the exact body
) strict;
create index quarantine_by_source on quarantine (source, id);

-- What of the bound is used, by source, and by all of them under the empty name.
create table quarantine_usage (
    source text    primary key,
    bytes  integer not null
) strict, without rowid;
insert into quarantine_usage (source, bytes) values ('', 0);

-- Released from quarantine without proof.
alter table events add column is_forced integer not null default 0;
