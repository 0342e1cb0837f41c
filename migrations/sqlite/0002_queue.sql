-- Ordering keys, leases, operations. `runs` gets a state, which SQLite can only do
-- by making it anew; its ids go on where they were.
create table runs_new (
    run_id        integer primary key autoincrement,
    event_id      blob    not null,
    plugin_id     integer not null,
    state         integer not null default 0 check (state in (0, 1, 2)), -- 0 ready, 1 running, 2 behind its key
    due_ms        integer not null,
    attempt       integer not null default 0, -- attempts started
    free_attempts integer not null default 0, -- of these, not counted by the retry policy
    lease_no      integer not null default 0, -- claims so far: with owner, the fence
    owner         integer,                    -- epoch of the host that runs it
    deadline_ms   integer,                    -- when its host must be done with it
    deaths        integer not null default 0, -- hosts in a row that died while they held it
    is_executing  integer not null default 0, -- of a run with deaths: its guest has been started
    order_key     blob,                       -- runs of its plugin with this key go one at a time
    created_ms    integer not null,
    check ((state = 1) = (owner is not null))
) strict;
insert into runs_new (run_id, event_id, plugin_id, state, due_ms, attempt, free_attempts, lease_no, owner, created_ms)
    select run_id, event_id, plugin_id, state, due_ms, attempt, free_attempts, lease_no, owner, created_ms from runs;
insert into sqlite_sequence (name, seq)
    select 'runs_new', 0 where not exists (select 1 from sqlite_sequence where name = 'runs_new');
update sqlite_sequence set seq = coalesce((select seq from sqlite_sequence where name = 'runs'), 0)
    where name = 'runs_new';
drop table runs;
alter table runs_new rename to runs;
create index runs_ready on runs (plugin_id, due_ms, run_id) where state = 0;
create index runs_running on runs (owner, run_id) where state = 1;
create index runs_by_event on runs (event_id);
create index runs_in_order on runs (plugin_id, order_key, run_id) where order_key is not null;

alter table history add column order_key blob;

-- Keys that a dead run blocks, until it is retried or cancelled.
create table order_blocks (
    plugin_id integer not null,
    order_key blob    not null,
    run_id    integer not null,
    primary key (plugin_id, order_key, run_id)
) strict, without rowid;

alter table plugins add column is_paused integer not null default 0;
alter table plugins add column blocks_on_dead integer not null default 0;

-- Finished runs per host start, so that nobody counts history and no two hosts
-- write one row.
create table plugin_counts (
    plugin_id   integer not null,
    epoch       integer not null,             -- 0: of starts long past
    n_succeeded integer not null,
    n_dead      integer not null,
    n_cancelled integer not null,
    primary key (plugin_id, epoch)
) strict, without rowid;
insert into plugin_counts select plugin_id, 0, n_succeeded, n_dead, n_cancelled from plugins;
alter table plugins drop column n_succeeded;
alter table plugins drop column n_dead;
alter table plugins drop column n_cancelled;

-- Versions that a plugin has had.
create table digests (
    plugin_id    integer not null,
    digest       text    not null,
    activated_ms integer not null,
    primary key (plugin_id, digest)
) strict, without rowid;
insert into digests select plugin_id, digest, coalesce(loaded_ms, 0) from plugins where digest is not null;

-- When a plugin with a rate may start its next run, in microseconds since 1970.
create table rates (
    plugin_id integer primary key,
    tat_us    integer not null
) strict;

drop table hosts;
create table hosts (
    epoch      integer primary key,           -- random per start
    name       text    not null,
    started_ms integer not null,
    lease_ms   integer not null,              -- until then its runs are its own
    loaded     text    not null               -- JSON: the versions it can run, [[plugin_id, digest]]
) strict;

-- Work over many events or runs, done in slices.
create table operations (
    operation_id    integer primary key autoincrement,
    idempotency_key text    unique,
    what            text    not null,         -- replay, retry, catch_up
    request         text    not null,         -- JSON: filter and plugin
    is_dry_run      integer not null,
    state           text    not null check (state in ('running', 'succeeded', 'cancelled', 'failed')),
    position        text,                     -- where the next slice begins
    done            integer not null default 0,
    total           integer,                  -- once they are counted
    owner           integer,                  -- epoch of the host that works on it
    created_ms      integer not null,
    finished_ms     integer,
    error           text
) strict;
create index operations_running on operations (operation_id) where state = 'running';

alter table attempts add column ended_ms integer not null default 0;
