//! New stores on one engine, hosts on them, and rows made by SQL.
//!
//! Rows are copies of those of one real delivery, so that nothing here knows how a request
//! is stored; they differ in their ids. The same statements make them on both engines: by
//! `psql`, or by Python's sqlite3 while no host has the file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::config::Database;
use crate::guests;
use crate::host::Host;
use crate::postgres::{Cluster, Durability};
use crate::sender::Sender;
use crate::workspace::{Profile, Workspace};

/// What runs.
pub(super) const PLUGIN: &str = "github-push";

const WITHIN: Duration = Duration::from_secs(300);
/// Rows made by one statement.
const SLICE: u64 = 500_000;
/// Whatever a statement of the server costs is seen by its extension; a checkpoint in a
/// window would be seen, too.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.max", "10000"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "30min"),
];
/// An id of the same millisecond, with the bits of a version 7 UUID.
const MAKE_ID: &str = "create function bench_id(bytea, bigint) returns bytea immutable language sql \
    as $$ select substring($1, 1, 6) || decode('700080' || lpad(to_hex($2), 14, '0'), 'hex') $$; \
    create function bench_at(bytea, bigint, bigint) returns bytea immutable language sql \
    as $$ select decode(lpad(to_hex($2), 12, '0') || '700080' || lpad(to_hex($3), 14, '0'), 'hex') $$";
const SQLITE: &str = include_str!("sqlite.py");

const EVENTS: &str = "insert into events (id, source, provider, kind, received_ms, delivery_id, \
    content_type, size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request) \
    select bench_id(e.id, s.n), e.source, e.provider, e.kind, e.received_ms, e.delivery_id, \
    e.content_type, e.size_bytes, e.is_handshake, e.dedup_conflict, e.no_run_reason, e.encoding, \
    e.header_bytes, e.request from (select * from events limit 1) e cross join s";
const RUNS: &str = "insert into runs (event_id, plugin_id, due_ms, created_ms) \
    select bench_id(h.event_id, s.n), h.plugin_id, h.created_ms, h.created_ms \
    from (select * from history limit 1) h cross join s";
const HISTORY: &str = "insert into history (run_id, event_id, plugin_id, state, attempt, free_attempts, \
    max_attempts, lease_no, created_ms, finished_ms, outcome, summary, data) \
    select 1000000000 + s.n, bench_id(h.event_id, s.n), h.plugin_id, h.state, h.attempt, h.free_attempts, \
    h.max_attempts, h.lease_no, h.created_ms, h.finished_ms, h.outcome, h.summary, h.data \
    from (select * from history limit 1) h cross join s";
const ATTEMPTS: &str = "insert into attempts (run_id, n, ended_ms, digest, host, started_ms, duration_us, \
    cpu_us, memory_bytes, outcome, logs) \
    select 1000000000 + s.n, a.n, a.ended_ms, a.digest, a.host, a.started_ms, a.duration_us, \
    a.cpu_us, a.memory_bytes, a.outcome, a.logs from (select * from attempts limit 1) a cross join s";

/// The engine.
pub(super) struct Ground<'a> {
    /// The server, on Postgres.
    pub(super) cluster: Option<Cluster>,
    workspace: &'a Workspace,
    profile: Profile,
    n_stores: u32,
}

/// A new store, and its first host.
pub(super) struct Store {
    /// On Postgres.
    pub(super) database_name: String,
    /// The first of its hosts.
    pub(super) host: Host,
    database: Database,
}

impl<'a> Ground<'a> {
    /// Starts a server with fsync, on Postgres.
    pub(super) fn prepare(
        workspace: &'a Workspace,
        profile: Profile,
        is_on_postgres: bool,
    ) -> Result<Self> {
        let start = || Cluster::start(Durability::Real, &SETTINGS);
        Ok(Self {
            cluster: is_on_postgres.then(start).transpose()?,
            workspace,
            profile,
            n_stores: 0,
        })
    }

    /// The engine's name, for titles.
    pub(super) fn engine(&self) -> &'static str {
        match self.cluster {
            Some(_) => "Postgres",
            None => "SQLite",
        }
    }

    /// A new, empty store. Its host has the plugin if that is asked for; it does not run yet.
    pub(super) fn store(&mut self, with_plugin: bool) -> Result<Store> {
        self.n_stores += 1;
        let database_name = format!("bench_{}", self.n_stores);
        let database = match &self.cluster {
            None => Database::sqlite(),
            Some(cluster) => {
                cluster.create_database(&database_name)?;
                Database::postgres(cluster.url(&database_name))
            }
        };
        let host = Host::prepare(self.workspace, self.profile, "store-1", &database)?;
        if with_plugin {
            self.place_plugin(&host)?;
        }
        Ok(Store {
            database_name,
            host,
            database,
        })
    }

    /// Another host on a store.
    pub(super) fn second_host(&self, store: &Store) -> Result<Host> {
        let host = Host::prepare(self.workspace, self.profile, "store-2", &store.database)?;
        self.place_plugin(&host)?;
        Ok(host)
    }

    /// A new store with one event that was run; no host runs.
    pub(super) fn store_with_one_event(&mut self) -> Result<Store> {
        let mut store = self.store(true)?;
        store.host.start()?;
        let mut sender = Sender::new(&store.host, &store.host.folder().join("acked"))?;
        let body = json!({ "ref": "refs/heads/main", "repository": { "full_name": "octo/hello" } });
        let delivery = sender.sign(body.to_string().as_bytes());
        let id = sender.take_id();
        sender.deliver(&delivery, &id, "")?;
        store.host.wait_until_drained(PLUGIN, 1, WITHIN)?;
        store.host.kill()?;
        if self.cluster.is_some() {
            self.sql(&store, MAKE_ID)?;
        }
        Ok(store)
    }

    /// A new store with so many ready runs and finished ones; no host runs.
    pub(super) fn filled_store(&mut self, n_ready: u64, n_finished: u64) -> Result<Store> {
        let store = self.store_with_one_event()?;
        self.fill(&store, 0, n_finished, &[EVENTS, HISTORY, ATTEMPTS])?;
        self.fill(&store, n_finished, n_finished + n_ready, &[EVENTS, RUNS])?;
        self.settle(&store)?;
        Ok(store)
    }

    /// What autovacuum would have done while so much came together.
    pub(super) fn settle(&self, store: &Store) -> Result<()> {
        if self.cluster.is_some() {
            self.sql(store, "vacuum (analyze)")?;
            self.sql(store, "checkpoint")?;
        }
        Ok(())
    }

    /// Removes a store and what it holds.
    pub(super) fn remove(&self, mut store: Store) -> Result<()> {
        store.host.kill()?;
        if let Some(cluster) = &self.cluster {
            let drop = format!("drop database {} with (force)", store.database_name);
            cluster.psql(crate::postgres::FIRST_DATABASE, &drop)?;
        }
        store.host.remove()
    }

    /// Runs one statement on a store that no host has open, if it is a file.
    pub(super) fn sql(&self, store: &Store, statement: &str) -> Result<String> {
        match &self.cluster {
            Some(cluster) => cluster.psql(&store.database_name, statement),
            None => python(&["sql", &text(&sqlite_file(store))], statement),
        }
    }

    /// A file for a measurement, beside the hosts' directories.
    pub(super) fn scratch_file(&self, name: &str) -> Result<PathBuf> {
        let folder = self.workspace.target.join("bench");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder.join(name))
    }

    /// Makes rows by statements over numbers behind one and up to another.
    pub(super) fn fill(
        &self,
        store: &Store,
        from: u64,
        to: u64,
        statements: &[&str],
    ) -> Result<()> {
        let mut first = from + 1;
        while first <= to {
            let last = to.min(first + SLICE - 1);
            for statement in statements {
                let series = format!(
                    "with recursive s (n) as (select cast({first} as bigint) union all \
                     select n + 1 from s where n < {last}) {statement}"
                );
                self.sql(store, &series)?;
            }
            first = last + 1;
        }
        Ok(())
    }

    fn place_plugin(&self, host: &Host) -> Result<()> {
        let file = format!("{PLUGIN}.wasm");
        let component = self.workspace.plugin_files().join(&file);
        let bytes =
            fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
        guests::place(&host.plugin_folder(), &file, &bytes)?;
        Ok(())
    }
}

fn sqlite_file(store: &Store) -> PathBuf {
    store.host.folder().join("hookbay.db")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs the script for SQLite with `input`.
pub(super) fn python(arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("python3");
    command.args(["-c", SQLITE]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start python3")?;
    let mut stdin = child.stdin.take().context("python3 has no input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output().context("cannot run python3")?;
    if !output.status.success() {
        bail!("python3 failed with {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
