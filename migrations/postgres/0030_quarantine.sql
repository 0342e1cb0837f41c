-- Requests that were refused and set aside: what failed verification, its schema or
-- JSON.
create table quarantine (
    id           bytea  primary key check (length(id) = 16), -- the request's; sorts by time of receipt
    source       text   not null,
    received_ms  bigint not null,
    code         text   not null,             -- why it was refused, as a code
    message      text   not null,             -- the same in words
    hint         text,                        -- what has probably happened
    remote_addr  text,
    size_bytes   bigint not null,             -- of the body
    weight       bigint not null,             -- what it counts against the bound, in bytes
    method       text   not null,
    target       text   not null,             -- path and query as they came
    encoding     bigint not null check (encoding in (0, 1)), -- 0 plain, 1 lz4
    header_bytes bigint not null,             -- length of the header block in request
    request      bytea  not null              -- header block as sent, then the exact body
);
create index quarantine_by_source on quarantine (source, id);
-- It is compressed already, or does not compress.
alter table quarantine alter column request set storage external;

-- What of the bound is used, by source, and by all of them under the empty name: whoever
-- changes it holds that row first.
create table quarantine_usage (
    source text   primary key,
    bytes  bigint not null
);
insert into quarantine_usage (source, bytes) values ('', 0);

-- Released from quarantine without proof.
alter table events add column is_forced bigint not null default 0;
