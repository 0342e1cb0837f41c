//! Plugins, measured in the host's own program: what a call costs, how soon a file runs, what
//! many of them cost, and what they leave of the door while they take all they can.

mod loading;
mod spinning;
mod verifier;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::delivery;
use crate::workspace::{Profile, Workspace};

const CALLS: u32 = 20_000;
const BODY_BYTES: usize = 8_192;
/// Versions that are loaded at once.
const COPIES: u32 = 1_000;

/// Measures everything that is promised of plugins.
pub(crate) fn measure(workspace: &Workspace) -> Result<()> {
    let event = event(workspace)?;
    println!(
        "\n## One plugin call: instantiate, 8 KiB event in, result out, drop ({CALLS} calls)\n"
    );
    println!(
        "| plugin | mean µs | p50 µs | p99 µs | on the guest's thread p50 µs | its CPU p50 µs | memory per plugin KiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let noop = workspace.test_guest_files().join("noop.wasm");
    let github = workspace.plugin_files().join("github-push.wasm");
    let copies = COPIES.to_string();
    for (name, file, loaded) in [
        ("no-op", &noop, &[][..]),
        ("github-push", &github, &[]),
        (
            "no-op, 1,000 loaded, one called",
            &noop,
            &["--copies", &copies, "--only-first"],
        ),
        (
            "no-op, 1,000 loaded, each called in turn",
            &noop,
            &["--copies", &copies],
        ),
    ] {
        let measured = call_repeatedly(workspace, file, &event, loaded)?;
        let memory = measured["bytes_per_copy"].as_f64();
        let memory = memory.map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1024.0));
        println!(
            "| {name} | {} | {} | {} | {memory} |",
            times(&measured),
            measured["on_thread_p50_us"],
            measured["cpu_p50_us"]
        );
    }
    verifier::measure(workspace)?;
    loading::measure(workspace, &github)?;
    spinning::measure(workspace)
}

/// A push as the bench reads events.
fn event(workspace: &Workspace) -> Result<PathBuf> {
    let event = workspace.target.join("bench/event.json");
    let body =
        String::from_utf8(delivery::sample_push(1, BODY_BYTES)?).context("the sample is text")?;
    let text = json!({ "source": "github", "provider": "github", "kind": "push", "headers": {}, "body": body });
    write(&event, &text.to_string())?;
    Ok(event)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(file.parent().unwrap_or(file))
        .and_then(|()| std::fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Mean, p50 and p99 as cells of a table.
fn times(measured: &Value) -> String {
    let us = |key: &str| measured[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:.1} | {:.1} | {:.1}",
        us("mean_us"),
        us("p50_us"),
        us("p99_us")
    )
}

fn call_repeatedly(
    workspace: &Workspace,
    file: &Path,
    event: &Path,
    loaded: &[&str],
) -> Result<Value> {
    let mut command = Command::new(workspace.binary(Profile::Release, "hookbay"));
    command.args(["plugin", "run"]).arg(file);
    command.arg("--event").arg(event);
    command.args(["--repeat", &CALLS.to_string(), "--json"]);
    command.args(loaded);
    said(command)
}

/// What a program prints as JSON.
fn said(mut command: Command) -> Result<Value> {
    let output = command
        .output()
        .context("cannot start the host's program")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}", error.trim());
    }
    serde_json::from_slice(&output.stdout).context("the host's program did not print JSON")
}
