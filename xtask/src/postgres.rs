//! A throw-away PostgreSQL for tests, measurements and a first look.
//!
//! A [`Cluster`] is made by initdb in a directory of its own, listens on 127.0.0.1 alone,
//! behind a random password, and is gone with its owner: [`supervisor`] stops it and removes
//! the directory however this process ends. [`programs`] finds or installs the server, and
//! [`pooler`] puts a PgBouncer in front. SQL goes through `psql`, which comes with the
//! server: a driver would be most of this program's compile time.

mod pooler;
mod programs;
mod standby;
mod suffering;
mod supervisor;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};

use anyhow::{Context, Result, bail};

use crate::config::random_secret;
pub(crate) use crate::postgres::pooler::Pooler;
pub(crate) use crate::postgres::supervisor::is_root;
use crate::postgres::supervisor::{Supervisor, parent_folder, without_libpq_variables};

/// The database that every cluster has from the beginning.
pub(crate) const FIRST_DATABASE: &str = "postgres";

const SUPERUSER: &str = "hookbay";
/// A port that was free may be taken when the server comes to it.
const PORT_TRIES: u32 = 3;
/// So much of a log is shown when a server does not start.
const LOG_LINES: usize = 12;

/// What a cluster promises about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing, should the machine stop (`fsync = off`): for tests, which write little and
    /// commit much. The host needs `allow_unsafe_database = true` for it.
    Fast,
    /// All that PostgreSQL's defaults promise, on a disk rather than in memory.
    Real,
}

/// The cluster. It stops when it is dropped, and when this process ends in any other way.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    /// The part of it in which the server's data is.
    data: String,
    /// Copies that were made of it.
    n_copies: u32,
    port: u16,
    password: String,
    supervisor: Supervisor,
}

impl Cluster {
    /// Makes and starts a cluster; `settings` of postgresql.conf override those it has here.
    pub(crate) fn start(durability: Durability, settings: &[(&str, &str)]) -> Result<Self> {
        let programs = programs::servers()?;
        // The temporary folder is often memory, on which fsync says nothing.
        let parent = parent_folder(match durability {
            Durability::Fast => None,
            Durability::Real => Some("/var/tmp"),
        });
        let password = random_secret()?;
        let mut supervisor = Supervisor::start(
            include_str!("postgres/cluster.sh"),
            &[
                &programs.to_string_lossy(),
                &parent.to_string_lossy(),
                &configuration(durability, settings),
            ],
        )?;
        supervisor.tell(&format!("{SUPERUSER} {password}"))?;
        let folder = PathBuf::from(supervisor.answer()?);
        if supervisor.answer()? != "done" {
            bail!("initdb failed; {}", tail(&folder.join("setup.log")));
        }
        let mut cluster = Self {
            programs,
            folder,
            data: "data".to_owned(),
            n_copies: 0,
            port: 0,
            password,
            supervisor,
        };
        for _ in 0..PORT_TRIES {
            cluster.port = free_port()?;
            if cluster.control(&format!("start {}", cluster.port))? {
                return Ok(cluster);
            }
        }
        bail!("PostgreSQL does not start; {}", tail(&cluster.log_file()));
    }

    /// The superuser's URL of `database`.
    pub(crate) fn url(&self, database: &str) -> String {
        url(&self.password, self.port, database)
    }

    /// Creates an empty database.
    pub(crate) fn create_database(&self, name: &str) -> Result<()> {
        let name = name.replace('"', "\"\"");
        self.psql(FIRST_DATABASE, &format!("create database \"{name}\""))?;
        Ok(())
    }

    /// Removes a database, whoever is connected to it.
    pub(crate) fn drop_database(&self, name: &str) -> Result<()> {
        let name = name.replace('"', "\"\"");
        self.psql(
            FIRST_DATABASE,
            &format!("drop database \"{name}\" with (force)"),
        )?;
        Ok(())
    }

    /// Runs one statement, or several in one transaction, as the superuser. Gives the rows
    /// as lines, their columns separated by `|`.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String> {
        self.psql_at(self.port, database, sql)
    }

    /// Runs pgbench with the words of `options` on `script`; gives its transactions a second.
    pub(crate) fn pgbench(&self, database: &str, script: &Path, options: &[&str]) -> Result<f64> {
        let mut command = Command::new(self.programs.join("pgbench"));
        without_libpq_variables(&mut command);
        command.args(["--host", "127.0.0.1", "--username", SUPERUSER]);
        command.args(["--port", &self.port.to_string(), "--no-vacuum"]);
        command
            .args(options)
            .arg("--file")
            .arg(script)
            .arg(database);
        command.env("PGPASSWORD", &self.password);
        let output = command.output().context("cannot run pgbench")?;
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr);
            bail!("pgbench: {}", problem.trim());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        rate.and_then(|rate| rate.split(' ').next()?.parse().ok())
            .context("pgbench did not print its rate")
    }

    /// Kills the server's processes and starts it again on what it had committed, on the
    /// same port.
    pub(crate) fn restart_immediate(&mut self) -> Result<()> {
        if !self.control("restart")? {
            bail!("PostgreSQL does not restart; {}", tail(&self.log_file()));
        }
        Ok(())
    }

    /// The id of the server's first process, the parent of all others; none while it is down.
    pub(crate) fn process(&self) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join(&self.data).join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// The directory that is removed when it stops.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Gives up owning it: it runs until the last holder of what this gives has ended.
    pub(crate) fn into_lifeline(self) -> Result<ChildStdin> {
        self.supervisor.into_lifeline()
    }

    fn control(&mut self, command: &str) -> Result<bool> {
        self.supervisor.tell(command)?;
        Ok(self.supervisor.answer()? == "done")
    }

    fn psql_at(&self, port: u16, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        without_libpq_variables(&mut command);
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1"])
            .args(["--host", "127.0.0.1", "--username", SUPERUSER])
            .args(["--port", &port.to_string()])
            .args(["--dbname", database, "--command", sql])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10");
        let output = command.output().context("cannot run psql")?;
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr);
            bail!("psql: {}", problem.trim());
        }
        let rows = String::from_utf8(output.stdout).context("psql did not print text")?;
        Ok(rows.trim_end().to_owned())
    }
}

/// The lines to add to postgresql.conf; of two for one setting, the later holds.
fn configuration(durability: Durability, settings: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("listen_addresses", "127.0.0.1"),
        ("max_connections", "200"),
        ("shared_buffers", "256MB"),
        ("log_min_messages", "warning"),
    ];
    match durability {
        Durability::Fast => all.extend([("fsync", "off"), ("full_page_writes", "off")]),
        Durability::Real => {}
    }
    all.extend(settings);
    let lines: Vec<String> = all
        .into_iter()
        .map(|(name, value)| format!("{name} = '{}'", value.replace('\'', "''")))
        .collect();
    lines.join("\n")
}

/// The password is hex, so that nothing in it needs an escape.
fn url(password: &str, port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// The last lines of a log, for an error: its directory is gone when that is read.
fn tail(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    format!("its log ends with:\n{}", lines[from..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_setting_overrides() {
        let text = configuration(Durability::Fast, &[("fsync", "on"), ("a", "it's")]);
        assert!(text.starts_with("listen_addresses = '127.0.0.1'\n"));
        assert!(text.ends_with("\nfsync = 'on'\na = 'it''s'"), "{text}");
        assert!(!configuration(Durability::Real, &[]).contains("fsync"));
    }

    #[test]
    fn keeps_what_is_committed_over_a_restart_and_leaves_nothing() {
        // `cargo xtask test` has a server; a test installs none.
        if programs::find_servers().is_none() {
            return;
        }
        let mut cluster = Cluster::start(Durability::Fast, &[("work_mem", "5MB")]).unwrap();
        let first = cluster.process();
        let folder = cluster.folder().to_owned();
        cluster.create_database("a \"b\"").unwrap();
        cluster
            .psql("a \"b\"", "create table t as select 7 as n")
            .unwrap();
        assert!(cluster.psql("a \"b\"", "select").is_ok());
        assert!(cluster.psql("a \"b\"", "select from nowhere").is_err());
        cluster.restart_immediate().unwrap();
        assert_ne!(cluster.process(), first);
        let answer = cluster.psql("a \"b\"", "select n, current_setting('work_mem') from t");
        assert_eq!(answer.unwrap(), "7|5MB");
        drop(cluster);
        assert!(!folder.exists());
    }
}
