//! `cargo xtask serve`: builds host and plugins and serves them from `dev/`, on SQLite or on
//! a throw-away PostgreSQL.
//!
//! The host takes this process's place, so that Ctrl-C, SIGTERM and the exit status are the
//! host's own; what to do next is printed by [`crate::announce`] once the host is ready. The
//! host inherits the cluster's lifeline as its standard input, which it does not read: the
//! cluster stops after it, however it ends. So does the stand-in for the services that plugins
//! call, which sees that its parent has gone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::announce::Announcement;
use crate::arguments::{Arguments, Usage};
use crate::config::{self, Addresses};
use crate::guests;
use crate::postgres::{Cluster, Durability};
use crate::stand_in;
use crate::workspace::{Profile, Workspace};

/// The database on a throw-away cluster.
const DATABASE: &str = "hookbay";

/// Builds, prepares `dev/`, and becomes the host.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let is_on_postgres = arguments.flag("--postgres");
    let profile = Profile::from_flag(arguments.flag("--release"));
    let extra = arguments.finish()?;
    if is_on_postgres
        && Arguments::new(extra.iter().cloned())
            .value("--database")?
            .is_some()
    {
        return Err(Usage::new("--postgres and --database both name a database"));
    }
    // Asked before the build, which replaces this program's file.
    let own_program = std::env::current_exe().context("cannot find this program's file")?;
    let workspace = Workspace::find()?;

    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;

    let config = workspace.root.join("dev/hookbay.toml");
    prepare(&workspace, &config)?;
    let text =
        fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let addresses = addresses(&text, &extra)?;
    let cluster = is_on_postgres.then(start_cluster).transpose()?;
    let announcement = Announcement {
        addresses,
        stand_in: stand_in::start(&own_program, &text)?,
        host: workspace.binary(profile, "hookbay"),
        config,
    };
    announcement.start(&own_program)?;
    become_host(&announcement, &extra, cluster)
}

fn start_cluster() -> Result<Cluster> {
    let cluster = Cluster::start(Durability::Real, &[])?;
    cluster.create_database(DATABASE)?;
    println!(
        "PostgreSQL {} runs in {}.\nBoth it and what it stores are removed when the host ends.",
        cluster.psql(DATABASE, "show server_version")?,
        cluster.folder().display()
    );
    Ok(cluster)
}

fn prepare(workspace: &Workspace, config: &Path) -> Result<()> {
    if !config.exists() {
        config::write_private(config, &config::development()?)?;
        println!("Wrote {} with new random secrets.", config.display());
    }
    let plugins = config.with_file_name("plugins.d");
    for name in guests::copy_components(&workspace.plugin_files(), &plugins)? {
        println!("Placed {}.", plugins.join(name).display());
    }
    Ok(())
}

/// The configuration's addresses, unless the words for the host say otherwise.
fn addresses(config: &str, extra: &[String]) -> Result<Addresses> {
    let mut found = Addresses::read(config);
    let mut words = Arguments::new(extra.iter().cloned());
    for (name, address) in [
        ("--listen", &mut found.public),
        ("--admin-listen", &mut found.admin),
    ] {
        if let Some(given) = words.value(name)?.and_then(|text| text.parse().ok()) {
            *address = given;
        }
    }
    Ok(found)
}

fn become_host(
    announcement: &Announcement,
    extra: &[String],
    cluster: Option<Cluster>,
) -> Result<()> {
    let mut command = Command::new(&announcement.host);
    command
        .arg("--config")
        .arg(&announcement.config)
        .arg("serve")
        .args(extra);
    if let Some(cluster) = cluster {
        // Not as an argument, which every user of the machine could read, password included.
        command.env("HOOKBAY_DATABASE", cluster.url(DATABASE));
        command.stdin(cluster.into_lifeline()?);
    }
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", announcement.host.display()))
}
