//! `cargo xtask test`: builds what the tests need and runs everything.
//!
//! A step that fails ends the command; each says how long it took. The tests run on a
//! throw-away PostgreSQL, with a PgBouncer beside it, unless a server is given. With
//! `--languages` it is the plugins in other languages that are tested, with `--oracles` the
//! signatures against the providers' own libraries, with `--vectors` a file of requests, and
//! nothing else.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::browser;
use crate::faults;
use crate::guests;
use crate::languages;
use crate::oracles;
use crate::postgres::{Cluster, Durability, FIRST_DATABASE, Pooler};
use crate::schemathesis;
use crate::workspace::{self, Workspace};

/// Where the host's tests find a server on which they may create databases.
const SERVER: &str = "HOOKBAY_TEST_POSTGRES";
/// Where they find the same server behind a pooler.
const POOLED_SERVER: &str = "HOOKBAY_TEST_PGBOUNCER";
/// Which file of vectors they try.
const VECTORS: &str = "HOOKBAY_TEST_VECTORS";

/// Runs every step. Words after `--` go to the first `cargo test`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    if arguments.flag("--languages") {
        arguments.finish_without_extra()?;
        return languages::run();
    }
    if arguments.flag("--browser") {
        arguments.finish_without_extra()?;
        return browser::run();
    }
    if arguments.flag("--oracles") {
        arguments.finish_without_extra()?;
        return oracles::run();
    }
    if arguments.flag("--schemathesis") {
        arguments.finish_without_extra()?;
        return schemathesis::run();
    }
    if let Some(file) = arguments.value("--vectors")? {
        arguments.finish_without_extra()?;
        return try_vectors(&file);
    }
    let extra = arguments.finish()?;
    let workspace = Workspace::find()?;
    let started = Instant::now();

    step("compile target", guests::add_target)?;
    step("plugins", || guests::build_plugins(&workspace))?;
    step("test guests", || guests::build_test_guests(&workspace))?;
    let mut servers = None;
    step("PostgreSQL", || {
        servers = Servers::start()?;
        Ok(())
    })?;
    let tests = || {
        let mut command = workspace.cargo();
        command
            .arg("test")
            .env("HOOKBAY_TEST_PLUGINS", workspace.plugin_files())
            .env("HOOKBAY_TEST_GUESTS", workspace.test_guest_files());
        command
    };
    step("tests of host, SDK and tasks, on SQLite", || {
        let mut command = tests();
        command.args(&extra).env_remove(SERVER);
        workspace::run(&mut command)
    })?;
    step("tests of the whole host, on Postgres", || {
        let mut command = tests();
        command.args(["--test", "it"]);
        if let Some(servers) = &servers {
            servers.add_to(&mut command);
        }
        workspace::run(&mut command)
    })?;
    step("plugins' own tests", || test_plugins(&workspace))?;
    let cluster = servers.map(|servers| servers.cluster);
    step("kills under load", || {
        faults::run_short(&workspace, cluster)
    })?;

    println!("\nAll passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// Has the requests of a file judged: at the door of a host, and by `hookbay verify`.
fn try_vectors(file: &str) -> Result<()> {
    let file = std::fs::canonicalize(file).with_context(|| format!("cannot read `{file}`"))?;
    let workspace = Workspace::find()?;
    let mut command = workspace.cargo();
    let test = "vectors::every_vector_of_a_named_file_has_its_verdict";
    command
        .args(["test", "--test", "it", test, "--"])
        .args(["--exact", "--ignored", "--nocapture"])
        .env_remove(SERVER)
        .env(VECTORS, file);
    workspace::run(&mut command)
}

/// What the tests connect to. The pooler stands first: it is to stop before its server.
struct Servers {
    pooler: Option<Pooler>,
    cluster: Cluster,
}

impl Servers {
    /// None where the caller names a server.
    fn start() -> Result<Option<Self>> {
        if std::env::var_os(SERVER).is_some_and(|url| !url.is_empty()) {
            println!("{SERVER} names a server; it is used as it is.");
            return Ok(None);
        }
        let cluster = Cluster::start(Durability::Fast, &[])?;
        let version = cluster.psql(FIRST_DATABASE, "show server_version")?;
        println!("PostgreSQL {version} in {}", cluster.folder().display());
        let pooler = match Pooler::start(&cluster) {
            Ok(pooler) => Some(pooler),
            // Not everybody may install it, and all but a few tests do without.
            Err(error) => {
                println!("skipped: tests behind a pooler. {error:#}");
                None
            }
        };
        Ok(Some(Self { pooler, cluster }))
    }

    fn add_to(&self, command: &mut Command) {
        command.env(SERVER, self.cluster.url(FIRST_DATABASE));
        if let Some(pooler) = &self.pooler {
            command.env(POOLED_SERVER, pooler.url(FIRST_DATABASE));
        }
    }
}

fn test_plugins(workspace: &Workspace) -> Result<()> {
    if workspace.plugins.is_empty() {
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.arg("test");
    for name in &workspace.plugins {
        command.args(["-p", name]);
    }
    workspace::run(&mut command)
}

/// Does a part of a test, and says how long it took.
pub(crate) fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {title}");
    let started = Instant::now();
    action()?;
    println!("== {title}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
