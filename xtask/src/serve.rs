//! `cargo xtask serve`: builds host and plugins and serves them on SQLite from `dev/`.
//!
//! The host takes this process's place, so that Ctrl-C, SIGTERM and the exit status are the
//! host's own; what to do next is printed by [`crate::announce`] once the host is ready.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::announce::Announcement;
use crate::arguments::{Arguments, Usage};
use crate::config::{self, Addresses};
use crate::guests;
use crate::workspace::{Profile, Workspace};

/// Builds, prepares `dev/`, and becomes the host.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    if arguments.flag("--postgres") {
        return Err(Usage::new(
            "Postgres comes with the next release; `serve` runs on SQLite",
        ));
    }
    let profile = Profile::from_flag(arguments.flag("--release"));
    let extra = arguments.finish()?;
    // Asked before the build, which replaces this program's file.
    let own_program = std::env::current_exe().context("cannot find this program's file")?;
    let workspace = Workspace::find()?;

    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;

    let config = workspace.root.join("dev/hookbay.toml");
    prepare(&workspace, &config)?;
    let announcement = Announcement {
        addresses: addresses(&config, &extra)?,
        host: workspace.binary(profile, "hookbay"),
        config,
    };
    announcement.start(&own_program)?;
    become_host(&announcement, &extra)
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
fn addresses(config: &Path, extra: &[String]) -> Result<Addresses> {
    let mut found = Addresses::read(config)?;
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

fn become_host(announcement: &Announcement, extra: &[String]) -> Result<()> {
    let error = Command::new(&announcement.host)
        .arg("--config")
        .arg(&announcement.config)
        .arg("serve")
        .args(extra)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", announcement.host.display()))
}
