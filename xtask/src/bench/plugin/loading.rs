//! How soon a file runs: from the rename into the plugins directory until it is active, with
//! nothing compiled before and from the cache; and a restart with many plugins.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::config::Database;
use crate::guests;
use crate::host::Host;
use crate::workspace::{Profile, Workspace};

/// How often each is done; the median counts.
const TIMES: u8 = 20;
/// Plugins of the restart.
const PLUGINS: u8 = 50;

/// Measures a running host.
pub(super) fn measure(workspace: &Workspace, component: &Path) -> Result<()> {
    let bytes =
        fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let mut host = Host::prepare(workspace, Profile::Release, "loading", &Database::sqlite())?;
    host.start()?;
    println!(
        "\n## From file to active: a component of {} KiB ({TIMES} times)\n",
        bytes.len() / 1024
    );
    println!("| | p50 ms | max ms |");
    println!("|---|--:|--:|");
    let (mut cold, mut cached) = (Vec::new(), Vec::new());
    for n in 0..TIMES {
        cold.push(look_to_active(&host, &bytes, n)?);
        // The version before: nothing of it is in memory, but what was compiled is kept.
        if let Some(before) = n.checked_sub(1) {
            cached.push(look_to_active(&host, &bytes, before)?);
        }
    }
    for (what, mut times) in [("compiled", cold), ("from the cache", cached)] {
        times.sort_unstable();
        let ms = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
        let median = ms(times.get(times.len() / 2));
        println!("| {what} | {median:.1} | {:.1} |", ms(times.last()));
    }
    for n in 0..PLUGINS {
        let name = format!("plugin-{n}.wasm");
        guests::place(&host.plugin_folder(), &name, &numbered(&bytes, 100 + n))?;
    }
    host.admin()?.post("plugins/rescan")?;
    host.kill()?;
    let started = Instant::now();
    host.start()?;
    println!(
        "\nRestart with {PLUGINS} plugins from the cache: ready after {:.0} ms.",
        started.elapsed().as_secs_f64() * 1e3
    );
    host.remove()
}

/// Places a version and waits until the look that finds it has ended.
fn look_to_active(host: &Host, component: &[u8], n: u8) -> Result<Duration> {
    let mut admin = host.admin()?;
    // So that the connection is open.
    admin.get("plugins")?;
    guests::place(
        &host.plugin_folder(),
        "looked-at.wasm",
        &numbered(component, n),
    )?;
    let started = Instant::now();
    admin.post("plugins/rescan")?;
    let took = started.elapsed();
    let state = admin.get("plugins/looked-at")?["state"].clone();
    anyhow::ensure!(state == "active", "the plugin is {state}");
    Ok(took)
}

/// The same component under another digest: a custom section more.
fn numbered(component: &[u8], n: u8) -> Vec<u8> {
    [component, &[0, 6, 4][..], b"test", &[n]].concat()
}
