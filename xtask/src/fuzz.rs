//! `cargo xtask fuzz`: runs the targets in `fuzz/`, each for a while, from the project's own
//! vectors and provider files on.
//!
//! The targets say what must hold; this only builds them with libFuzzer's instrumentation
//! (`fuzz/instrument.sh`), writes the first inputs, and keeps what was found. It needs a C++
//! compiler, and no other toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::{Arguments, Usage};
use crate::test::step;
use crate::workspace::{self, Workspace};

mod seeds;

const TARGETS: [&str; 5] = [
    "verification",
    "handshakes",
    "signature_headers",
    "provider_toml",
    "forwarded",
];
/// For how long each target runs where nobody says.
const SECONDS: u64 = 600;
/// Longest input in bytes: a signed request of the vectors has under two thousand.
const INPUT_BYTES_MAX: u32 = 8192;

/// Runs one target or all, one after the other; a finding ends the command.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let seconds = arguments.number("--seconds", SECONDS)?;
    let only = arguments.positional();
    arguments.finish_without_extra()?;
    let targets: Vec<&str> = match &only {
        None => TARGETS.to_vec(),
        Some(name) => TARGETS.into_iter().filter(|one| one == name).collect(),
    };
    if targets.is_empty() {
        let known = TARGETS.join(", ");
        return Err(Usage::new(format!("the targets are {known}")));
    }
    let workspace = Workspace::find()?;
    step("build", || build(&workspace))?;
    for target in targets {
        step(target, || fuzz(&workspace, target, seconds))?;
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "-p", "hookbay-fuzz"]);
    // With host and tasks in the selection, features are those of every other build.
    for member in ["hookbay", "xtask"] {
        command.args(["-p", member]);
    }
    for target in TARGETS {
        command.args(["--bin", target]);
    }
    command.env(
        "RUSTC_WORKSPACE_WRAPPER",
        workspace.root.join("fuzz/instrument.sh"),
    );
    workspace::run(&mut command)
}

fn fuzz(workspace: &Workspace, target: &str, seconds: u64) -> Result<()> {
    let folder = workspace.target.join("fuzz").join(target);
    let (corpus, findings) = (folder.join("corpus"), folder.join("findings"));
    for one in [&corpus, &findings] {
        fs::create_dir_all(one).with_context(|| format!("cannot make {}", one.display()))?;
    }
    seeds::write(workspace, target, &corpus)?;
    let mut command = Command::new(workspace.target.join("release").join(target));
    command
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", findings.display()));
    let status = command.status().context("cannot start the fuzzer")?;
    if !status.success() {
        bail!(
            "{target} found something: {}",
            newest(&findings)?.unwrap_or(findings).display()
        );
    }
    Ok(())
}

fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    Ok(files.into_iter().max().map(|(_, path)| path))
}
