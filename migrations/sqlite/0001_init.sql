-- The store on SQLite. Times are milliseconds since 1970 (UTC). Ids of events are
-- version 7 UUIDs and sort by time of receipt; ids of runs grow in commit order.

-- Every verified webhook. Small columns stand before the request, so that lists
-- do not read bodies.
create table events (
    seq            integer primary key,
    id             blob    not null unique check (length(id) = 16),
    source         text    not null,
    provider       text    not null,
    kind           text    not null,
    received_ms    integer not null,
    delivery_id    text,
    content_type   text,
    size_bytes     integer not null,          -- of the body
    is_handshake   integer not null check (is_handshake in (0, 1)),
    dedup_conflict integer not null check (dedup_conflict in (0, 1)),
    no_run_reason  text,                      -- why no run was started, else null
    encoding       integer not null check (encoding in (0, 1)), -- 0 plain, 1 lz4
    header_bytes   integer not null,          -- length of the header block in request
    request        blob    not null           -- header block as sent, then the exact body
) strict;
-- Sources with kinds are few: lists by either look at each pair's newest.
create index events_by_stream on events (source, kind, id);

-- What was seen already: one row for each distinct body under a delivery's key.
create table dedup (
    source      text    not null,
    key         blob    not null check (length(key) = 16),
    body_sha256 blob    not null check (length(body_sha256) = 32),
    event_id    blob    not null,
    expires_ms  integer not null,
    primary key (source, key, body_sha256)
) strict, without rowid;
create index dedup_by_expiry on dedup (expires_ms);

-- The registry: what is known of each plugin, whether or not its file is here.
create table plugins (
    plugin_id   integer primary key autoincrement,
    name        text    not null unique,
    file        text    not null,
    digest      text,                         -- active version: sha256 in hex, null before the first
    manifest    text    not null,             -- JSON, of the active or only known version
    triggers    text    not null,             -- JSON, in force now
    loaded_ms   integer,                      -- when the active version became so
    n_succeeded integer not null default 0,   -- finished runs, so that nobody counts history
    n_dead      integer not null default 0,
    n_cancelled integer not null default 0
) strict;

-- Starts of hosts, each renewed while it lives.
create table hosts (
    epoch   integer primary key,              -- random per start
    name    text    not null,
    beat_ms integer not null
) strict;

-- Live work only: a run leaves this table when it finishes.
create table runs (
    run_id        integer primary key autoincrement,
    event_id      blob    not null,
    plugin_id     integer not null,
    state         integer not null default 0 check (state in (0, 1)), -- 0 ready, 1 running
    due_ms        integer not null,
    attempt       integer not null default 0, -- attempts started
    free_attempts integer not null default 0, -- of these, not counted by the retry policy
    lease_no      integer not null default 0, -- claims so far: with owner, the fence
    owner         integer,                    -- epoch of the host that runs it
    created_ms    integer not null,
    check ((state = 1) = (owner is not null))
) strict;
create index runs_ready on runs (plugin_id, due_ms, run_id) where state = 0;
create index runs_running on runs (owner, run_id) where state = 1;
create index runs_by_event on runs (event_id);

-- Finished runs.
create table history (
    run_id        integer primary key,
    event_id      blob    not null,
    plugin_id     integer not null,
    state         text    not null check (state in ('succeeded', 'dead', 'cancelled')),
    attempt       integer not null,
    free_attempts integer not null,
    max_attempts  integer not null,
    lease_no      integer not null,           -- goes on counting if the run is retried
    created_ms    integer not null,
    finished_ms   integer not null,
    outcome       text    not null,
    summary       text,
    data          text,                       -- JSON
    error         text
) strict;
create index history_by_event on history (event_id);
create index history_by_plugin on history (plugin_id, state, run_id);
create index history_failed on history (state, run_id) where state <> 'succeeded';

-- Each try of each run.
create table attempts (
    run_id       integer not null,
    n            integer not null,
    digest       blob,                        -- sha256 of the component
    host         text    not null,
    started_ms   integer not null,
    duration_us  integer not null,
    cpu_us       integer not null,
    memory_bytes integer not null,
    outcome      text    not null,
    error        text,
    logs         text    not null,            -- JSON
    primary key (run_id, n)
) strict, without rowid;

-- Plugins' own state, written only together with the end of a run.
create table kv (
    plugin_id  integer not null,
    key        text    not null,
    value      blob    not null,
    version    integer not null,              -- changes with every write
    updated_ms integer not null,
    primary key (plugin_id, key)
) strict, without rowid;

-- What happened per minute, host start, and source or plugin: for charts.
create table source_minutes (
    minute_ms  integer not null,
    epoch      integer not null,
    source     text    not null,
    received   integer not null,
    duplicates integer not null,
    rejected   integer not null,
    ack        text    not null,              -- JSON: counts per latency bucket
    primary key (minute_ms, epoch, source)
) strict, without rowid;
create table plugin_minutes (
    minute_ms integer not null,
    epoch     integer not null,
    plugin    text    not null,
    succeeded integer not null,
    failed    integer not null,
    dead      integer not null,
    run       text    not null,               -- JSON: counts per latency bucket
    primary key (minute_ms, epoch, plugin)
) strict, without rowid;
