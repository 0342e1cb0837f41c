//! What Debian's packages bring where it is missing: as root on Debian or Ubuntu, and nowhere
//! else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::postgres::is_root;
use crate::workspace;

/// `program` as PATH finds it, behind its links: a server looks for its files from there.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find_map(|file| file.canonicalize().ok())
}

/// Whether packages may be installed.
pub(crate) fn can_install() -> Result<bool> {
    let is_debian = Path::new("/etc/debian_version").exists() && in_path("apt-get").is_some();
    Ok(is_debian && is_root()?)
}

/// Installs one package.
pub(crate) fn install(package: &str) -> Result<()> {
    println!("Installing Debian's package `{package}`, which is not there yet.");
    // A new machine has no lists, an old one has outdated ones. Without a network, the
    // package may still be at hand.
    if let Err(error) = apt_get(&["update"]) {
        eprintln!("{error:#}");
    }
    apt_get(&["install", "--yes", "--no-install-recommends", package])
        .with_context(|| format!("cannot install `{package}`"))
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").args(arguments);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    workspace::run(&mut command)
}
