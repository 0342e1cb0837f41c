//! One plugin call, measured inside the host: instantiate, 8 KiB event in, result out, drop.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::delivery;
use crate::workspace::{Profile, Workspace};

const CALLS: u32 = 20_000;
const BODY_BYTES: usize = 8_192;

/// Measures a guest that does nothing, and the example plugin.
pub(crate) fn measure(workspace: &Workspace) -> Result<()> {
    let event = workspace.target.join("bench/event.json");
    let body =
        String::from_utf8(delivery::sample_push(1, BODY_BYTES)?).context("the sample is text")?;
    let text = json!({ "source": "github", "provider": "github", "kind": "push", "headers": {}, "body": body });
    std::fs::write(&event, text.to_string())
        .with_context(|| format!("cannot write {}", event.display()))?;

    println!(
        "\n## One plugin call: instantiate, 8 KiB event in, result out, drop ({CALLS} calls)\n"
    );
    println!("| plugin | mean µs | p50 µs | p99 µs |");
    println!("|---|--:|--:|--:|");
    let guests = [
        ("no-op", workspace.test_guest_files().join("noop.wasm")),
        (
            "github-push",
            workspace.plugin_files().join("github-push.wasm"),
        ),
    ];
    for (name, file) in guests {
        if !file.exists() {
            println!("| {name} | not built | | |");
            continue;
        }
        let measured = call_repeatedly(workspace, &file, &event)?;
        let us = |key: &str| measured[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            us("mean_us"),
            us("p50_us"),
            us("p99_us")
        );
    }
    Ok(())
}

fn call_repeatedly(workspace: &Workspace, file: &Path, event: &Path) -> Result<Value> {
    let host = workspace.binary(Profile::Release, "hookbay");
    let output = Command::new(&host)
        .args(["plugin", "run"])
        .arg(file)
        .arg("--event")
        .arg(event)
        .args(["--repeat", &CALLS.to_string(), "--json"])
        .output()
        .with_context(|| format!("cannot start {}", host.display()))?;
    if !output.status.success() {
        bail!(
            "`hookbay plugin run` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("`hookbay plugin run --json` did not print JSON")
}
