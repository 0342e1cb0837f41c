//! Where a scenario plays: an empty store, the hosts on it, what was sent to them, and at
//! the end the comparison from outside.
//!
//! On Postgres the stage also looks into the server: for whose runs are under way, and for
//! what hosts leave behind in it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::config::Database;
use crate::guests;
use crate::host::{Host, Load, RunningLoad, acked_count};
use crate::postgres::Cluster;
use crate::workspace::{Profile, Workspace};

/// The plugin of most scenarios: it counts, so that a lost or doubled write shows.
pub(super) const PLUGIN: &str = "github-push";
/// No wait is longer, on however slow a machine.
pub(super) const WITHIN: Duration = Duration::from_secs(300);
/// Loads that are tried for a moment at which acknowledged runs are unfinished.
pub(super) const TRIES: u32 = 10;

const CONCURRENCY: usize = 32;
/// More than the runs that can end between a look and a kill.
const UNFINISHED_MIN: u64 = 10;
/// What a host may open: its pool, its listener, and a connection of its start.
const CONNECTIONS_PER_HOST: u64 = 18;
/// Below the time after which hosts let the server end a transaction that stands still.
const IDLE_WITHIN: Duration = Duration::from_secs(8);
/// The shortest that a host takes is 1 s.
const LEASE: &str = "\"2s\"";

/// What stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// A file of one host.
    Sqlite,
    /// A server for any number of hosts.
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        })
    }
}

/// How long a scenario goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Deliveries of one load.
    pub(super) requests: u64,
    /// Faults, one in each load.
    pub(super) kills: u32,
}

/// The store, and the books.
pub(super) struct Stage<'a> {
    /// How long to go on.
    pub(super) size: Size,
    /// The server, on Postgres.
    pub(super) cluster: Option<&'a mut Cluster>,
    workspace: &'a Workspace,
    profile: Profile,
    name: String,
    database: Database,
    database_name: String,
    n_hosts: u32,
    /// Before the loads that are under way.
    acked_before: u64,
    sent: u64,
}

/// What the comparison demands beside its usual.
#[derive(Default)]
pub(super) struct Demands<'a> {
    /// Another plugin than [`PLUGIN`].
    pub(super) plugin: Option<&'a str>,
    /// The digests on which attempts may have run; none means any.
    pub(super) digests: &'a [String],
    /// More options of `verify-acked`.
    pub(super) options: &'a [&'a str],
}

impl<'a> Stage<'a> {
    /// Makes an empty store: on `cluster`, or in a file where there is none.
    pub(super) fn prepare(
        workspace: &'a Workspace,
        profile: Profile,
        scenario: &str,
        size: Size,
        cluster: Option<&'a mut Cluster>,
    ) -> Result<Self> {
        let engine = if cluster.is_some() {
            "postgres"
        } else {
            "sqlite"
        };
        let database_name = format!("faults_{scenario}");
        let database = match &cluster {
            None => Database::sqlite(),
            Some(cluster) => {
                cluster.create_database(&database_name)?;
                Database::postgres(cluster.url(&database_name))
                    .with("lease", LEASE)
                    // Of the cluster of `cargo xtask test`; here no machine stops.
                    .with("allow_unsafe_database", "true")
            }
        };
        let stage = Self {
            size,
            cluster,
            workspace,
            profile,
            name: format!("faults-{scenario}-{engine}"),
            database,
            database_name,
            n_hosts: 0,
            acked_before: 0,
            sent: 0,
        };
        let folder = stage.folder();
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(stage)
    }

    /// Where everything of the scenario is.
    pub(super) fn folder(&self) -> PathBuf {
        self.workspace.target.join("bench").join(&self.name)
    }

    /// Removes everything.
    pub(super) fn clear(self) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            // What of it still waits to be written would come in the way of the next.
            cluster.drop_database(&self.database_name)?;
        }
        let folder = self.folder();
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// The server.
    pub(super) fn cluster(&mut self) -> Result<&mut Cluster> {
        self.cluster.as_deref_mut().context("there is no server")
    }

    /// The list of what was acknowledged.
    pub(super) fn acked(&self) -> PathBuf {
        self.folder().join("acked")
    }

    /// The database on the server.
    pub(super) fn database_name(&self) -> &str {
        &self.database_name
    }

    /// The plugins, as they were built.
    pub(super) fn plugin_files(&self) -> PathBuf {
        self.workspace.plugin_files()
    }

    /// Prepares a host without plugins; it does not run yet.
    pub(super) fn bare_host(&mut self) -> Result<Host> {
        let name = self.next_name();
        Host::prepare(self.workspace, self.profile, &name, &self.database)
    }

    /// Prepares a host with [`PLUGIN`]; it does not run yet.
    pub(super) fn host(&mut self) -> Result<Host> {
        let host = self.bare_host()?;
        place(&self.workspace.plugin_files(), PLUGIN, &host)?;
        Ok(host)
    }

    /// Prepares a host with a guest of the host's tests.
    pub(super) fn host_with_guest(&mut self, guest: &str, tables: &str) -> Result<Host> {
        let host = self.bare_host()?;
        host.configure(tables)?;
        place(&self.workspace.test_guest_files(), guest, &host)?;
        Ok(host)
    }

    /// Prepares a new host at the addresses of one that is gone.
    pub(super) fn successor(&mut self, gone: &Host) -> Result<Host> {
        let name = self.next_name();
        let host = gone.successor(self.workspace, &name, &self.database)?;
        place(&self.workspace.plugin_files(), PLUGIN, &host)?;
        Ok(host)
    }

    fn next_name(&mut self) -> String {
        self.n_hosts += 1;
        format!("{}/host-{}", self.name, self.n_hosts)
    }

    /// Starts a load; `rate` 0 is as fast as it is answered.
    pub(super) fn load(&mut self, host: &Host, requests: u64, rate: u32) -> Result<RunningLoad> {
        self.sent += requests;
        host.start_load(&Load {
            requests,
            concurrency: CONCURRENCY,
            rate,
            acked: Some(&self.acked()),
            is_forged: false,
        })
    }

    /// Waits for the end of loads; every delivery must have been acknowledged. Gives the
    /// number of connections that failed.
    pub(super) fn finish(&mut self, loads: Vec<RunningLoad>) -> Result<u64> {
        let (mut refused, mut errors) = (0, 0);
        for load in loads {
            let summary = load.finish(WITHIN)?;
            refused += summary.refused;
            errors += summary.connection_errors;
        }
        self.acked_before = acked_count(&self.acked());
        println!("the load saw {refused} refusals and {errors} connection errors");
        match self.sent.saturating_sub(self.acked_before) {
            0 => Ok(errors),
            missing => bail!(
                "{missing} of {} deliveries were never acknowledged",
                self.sent
            ),
        }
    }

    /// Notes that this many acknowledged deliveries are on the list no more.
    pub(super) fn forget(&mut self, deliveries: u64) {
        self.sent -= deliveries;
        self.acked_before -= deliveries;
    }

    /// Notes deliveries that are made otherwise than by a load.
    pub(super) fn expect(&mut self, deliveries: u64) {
        self.sent += deliveries;
    }

    /// Looks at the host until it has acknowledged runs that are unfinished, some of them
    /// claimed, in the middle of the load. False when the load ended without such a look.
    ///
    /// The acknowledged are counted before the succeeded: every run that is missing in the
    /// second number belongs to a delivery that was acknowledged and is unfinished.
    pub(super) fn wait_for_work(&self, host: &Host) -> Result<bool> {
        let mut admin = host.admin()?;
        let load = self.sent - self.acked_before;
        let started = Instant::now();
        while started.elapsed() < WITHIN {
            let acked = acked_count(&self.acked());
            let states = admin.run_states(PLUGIN)?;
            let unfinished = acked.saturating_sub(states.of("succeeded"));
            if acked >= self.acked_before + load / 10
                && unfinished >= UNFINISHED_MIN
                && states.of("running") > 0
            {
                println!("{unfinished} of {acked} acknowledged runs are unfinished ({states})");
                return Ok(true);
            }
            if acked >= self.sent {
                return Ok(false);
            }
        }
        bail!("the load did not end within {} s", WITHIN.as_secs());
    }

    /// Plays `fault` in the middle of a load, as often as the size says; a load that ends
    /// before there was such a middle, or whose fault returns false, is followed by another.
    pub(super) fn repeat(
        &mut self,
        mut fault: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..self.size.kills {
            let mut tries = 1;
            while !fault(self)? {
                if tries == TRIES {
                    bail!("no moment with unfinished acknowledged runs in {TRIES} loads");
                }
                tries += 1;
            }
        }
        Ok(())
    }

    /// Asks the server.
    pub(super) fn sql(&self, statement: &str) -> Result<String> {
        let cluster = self.cluster.as_ref().context("there is no server")?;
        cluster.psql(&self.database_name, statement)
    }

    /// Which start of a host is the newest: whoever started it now knows its name.
    pub(super) fn newest_epoch(&self) -> Result<String> {
        self.sql("select epoch from hosts order by started_ms desc limit 1")
    }

    /// How many runs the host of `epoch` holds.
    pub(super) fn held_by(&self, epoch: &str) -> Result<u64> {
        let answer = self.sql(&format!("select count(*) from runs where owner = {epoch}"))?;
        answer.parse().context("the server did not count")
    }

    /// Waits for the end of every run and compares, from outside. Gives the number of
    /// attempts that were lost with a host.
    pub(super) fn compare(&self, host: &Host, demands: &Demands<'_>) -> Result<u64> {
        let plugin = demands.plugin.unwrap_or(PLUGIN);
        host.wait_until_drained(plugin, acked_count(&self.acked()), WITHIN)?;
        let mut command = Command::new(self.workspace.binary(self.profile, "xtask"));
        command.args(["verify-acked", "--json", "--plugin", plugin]);
        command.arg("--acked").arg(self.acked());
        command.args(["--admin", &format!("http://{}", host.addresses().admin)]);
        command.arg("--token-file").arg(host.token_file());
        for digest in demands.digests {
            command.args(["--digest", digest]);
        }
        command.args(demands.options);
        let output = command.output().context("cannot start the comparison")?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        self.check_server()?;
        let last: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .context("the comparison did not print its counts")?;
        last["host_lost"].as_u64().context("host_lost is missing")
    }

    /// Hosts leave no transaction open, and open no more connections than they may.
    fn check_server(&self) -> Result<()> {
        if self.cluster.is_none() {
            return Ok(());
        }
        let started = Instant::now();
        loop {
            let mine = "from pg_stat_activity where datname = current_database() \
                        and pid <> pg_backend_pid() and backend_type = 'client backend'";
            let idle = self.sql(&format!(
                "select count(*) {mine} and state like 'idle in transaction%'"
            ))?;
            let open = self.sql(&format!("select count(*) {mine}"))?;
            let open: u64 = open.parse().context("the server did not count")?;
            let allowed = CONNECTIONS_PER_HOST * u64::from(self.n_hosts);
            if open > allowed {
                bail!("{open} connections are open, {allowed} may be");
            }
            if idle == "0" {
                println!("{open} connections, none in a transaction.");
                return Ok(());
            }
            if started.elapsed() > IDLE_WITHIN {
                bail!("{idle} connections stay in a transaction in which nothing happens");
            }
        }
    }
}

fn place(from: &Path, plugin: &str, host: &Host) -> Result<()> {
    let file = format!("{plugin}.wasm");
    let path = from.join(&file);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    guests::place(&host.plugin_folder(), &file, &bytes)?;
    Ok(())
}
