//! `cargo xtask plugins`: builds the guests and puts them where the host and its tests look.
//!
//! A file is replaced by a rename, and only when its bytes differ, so that a running host
//! that watches the directory sees whole files and no change where there is none.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::workspace::{self, Workspace};

const TARGET: &str = "wasm32-wasip2";

/// Builds the plugins, with `--test-guests` also the guests of the host's tests.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let with_test_guests = arguments.flag("--test-guests");
    arguments.finish_without_extra()?;
    let workspace = Workspace::find()?;
    add_target()?;
    build_plugins(&workspace)?;
    if with_test_guests {
        build_test_guests(&workspace)?;
    }
    Ok(())
}

/// Installs the plugins' compile target where it is missing.
pub(crate) fn add_target() -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("cannot run rustc")?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    if libraries.exists() {
        return Ok(());
    }
    println!("Adding the plugins' compile target {TARGET}.");
    match Command::new("rustup")
        .args(["target", "add", TARGET])
        .status()
    {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("`rustup target add {TARGET}` failed; plugins cannot be built without it"),
        Err(_) => bail!(
            "rustc has no {TARGET} and there is no rustup to add it: install Rust from https://rustup.rs"
        ),
    }
}

/// Builds every crate under `plugins/` to `target/plugins/<name>.wasm`.
pub(crate) fn build_plugins(workspace: &Workspace) -> Result<()> {
    build(workspace, &workspace.plugins, &workspace.plugin_files())
}

/// Builds every crate under `host/tests/guests/` to `target/test-guests/<name>.wasm`.
pub(crate) fn build_test_guests(workspace: &Workspace) -> Result<()> {
    build(
        workspace,
        &workspace.test_guests,
        &workspace.test_guest_files(),
    )
}

/// Writes `bytes` to `folder/name` through a temporary name and a rename; false, with
/// nothing touched, when the file already holds them.
pub(crate) fn place(folder: &Path, name: &str, bytes: &[u8]) -> Result<bool> {
    let file = folder.join(name);
    if fs::read(&file).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let temporary = folder.join(format!(".{name}.tmp"));
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

/// Places every component of `from` in `to`; gives the names of those that changed.
pub(crate) fn copy_components(from: &Path, to: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut changed = Vec::new();
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("wasm")) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if place(to, &name, &bytes)? {
            changed.push(name.into_owned());
        }
    }
    changed.sort();
    Ok(changed)
}

// One cargo call for all crates of one kind: features unify over the selected crates, so the
// same selection gives the same bytes, and with them the same digest, in every command.
fn build(workspace: &Workspace, crates: &[String], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if crates.is_empty() {
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["build", "--target", TARGET, "--profile", "plugin"]);
    for name in crates {
        command.args(["-p", name]);
    }
    workspace::run(&mut command)?;
    let built = workspace.target.join(TARGET).join("plugin");
    for name in crates {
        let artefact = built.join(format!("{}.wasm", name.replace('-', "_")));
        let bytes =
            fs::read(&artefact).with_context(|| format!("cannot read {}", artefact.display()))?;
        let file = format!("{name}.wasm");
        let is_new = place(folder, &file, &bytes)?;
        let note = if is_new { "" } else { ", unchanged" };
        println!(
            "{} ({} KiB{note})",
            folder.join(&file).display(),
            bytes.len().div_ceil(1024)
        );
    }
    Ok(())
}
