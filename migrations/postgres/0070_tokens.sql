-- Tokens of operators beside the one that the host itself has, and what was changed with
-- either. Times are milliseconds since 1970 (UTC).

create table tokens (
    name         text     primary key,
    scope        bigint   not null check (scope in (0, 1, 2)), -- 0 read, 1 operate, 2 admin
    sha256       bytea    not null unique check (length(sha256) = 32),
    created_ms   bigint   not null,
    created_by   text     not null,           -- the token that it was made with
    expires_ms   bigint,                      -- null never
    last_used_ms bigint                       -- to the minute; null never
);

-- Every change that an operator asked for. A row is there before the change is.
create table audit (
    seq         bigint generated always as identity primary key,
    at_ms       bigint not null,
    token       text   not null,              -- name of the token
    action      text   not null,              -- such as plugins.pause
    target      text,                         -- what of, where the action names one
    remote_addr text,
    status      bigint                        -- of the answer; null: none was given
);
create index audit_by_time on audit (at_ms);
