-- Tokens of operators beside the one that the host itself has, and what was changed with
-- either. Times are milliseconds since 1970 (UTC).

create table tokens (
    name         text    primary key,
    scope        integer not null check (scope in (0, 1, 2)), -- 0 read, 1 operate, 2 admin
    sha256       blob    not null unique check (length(sha256) = 32),
    created_ms   integer not null,
    created_by   text    not null,            -- the token that it was made with
    expires_ms   integer,                     -- null never
    last_used_ms integer                      -- to the minute; null never
) strict, without rowid;

-- Every change that an operator asked for. A row is there before the change is.
create table audit (
    seq         integer primary key autoincrement,
    at_ms       integer not null,
    token       text    not null,             -- name of the token
    action      text    not null,             -- such as plugins.pause
    target      text,                         -- what of, where the action names one
    remote_addr text,
    status      integer                       -- of the answer; null: none was given
) strict;
create index audit_by_time on audit (at_ms);
