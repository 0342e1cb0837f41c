//! `cargo xtask dist`: a release in one command, to unpack on another machine.
//!
//! `target/dist/hookbay-VERSION-TARGET.tar.gz` holds the host, the plugins, the systemd unit,
//! the monitoring files and the documentation. Nothing is published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::guests;
use crate::workspace::{self, Profile, Workspace};

/// Folders and files of the sources that go along as they are.
const ALONG: [&str; 5] = [
    "README.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs",
    "packaging",
];

/// Builds everything and packs it.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.finish_without_extra()?;
    let workspace = Workspace::find()?;
    workspace.build_host(Profile::Release)?;
    guests::add_target()?;
    guests::build_plugins(&workspace)?;
    let binary = workspace.binary(Profile::Release, "hookbay");
    let name = format!("hookbay-{}-{}", version(&binary)?, target()?);
    let dist = workspace.target.join("dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("plugins"))?;
    fs::copy(&binary, folder.join("hookbay"))
        .with_context(|| format!("cannot copy {}", binary.display()))?;
    for entry in fs::read_dir(workspace.plugin_files())? {
        let file = entry?.path();
        let is_plugin = file.extension().is_some_and(|end| end == "wasm");
        if let (true, Some(name)) = (is_plugin, file.file_name()) {
            fs::copy(&file, folder.join("plugins").join(name))?;
        }
    }
    for along in ALONG {
        copy_all(&workspace.root.join(along), &folder.join(along))?;
    }
    let archive = pack(&dist, &name)?;
    println!("{}", archive.display());
    Ok(())
}

/// What the binary says that it is, such as `0.1.0`: the commit stands in it, not in names.
fn version(binary: &Path) -> Result<String> {
    let said = said(Command::new(binary).arg("--version"))?;
    let version = said.split_whitespace().nth(1);
    Ok(version
        .context("hookbay does not say its version")?
        .to_owned())
}

/// What it was built for, such as `x86_64-unknown-linux-gnu`.
fn target() -> Result<String> {
    let said = said(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The same files always make the same names and owners.
fn pack(dist: &Path, name: &str) -> Result<PathBuf> {
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "-czf",
    ])
    .arg(&archive)
    .arg("-C")
    .arg(dist)
    .arg(name);
    workspace::run(&mut tar)?;
    Ok(archive)
}
