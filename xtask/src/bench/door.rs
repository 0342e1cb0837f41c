//! The door: what many sources cost, and what a flood of forged requests leaves of it.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::{self, Database};
use crate::host::{Host, Load};
use crate::load::Summary;
use crate::workspace::{Profile, Workspace};

const REQUESTS: u64 = 60_000;
const CONCURRENCY: usize = 32;

/// Genuine deliveries beside the flood, and for how long.
const GENUINE_RATE: u32 = 200;
const FORGED_RATE: u32 = 5_000;
const FLOOD_S: u32 = 30;
/// Threads that forge: enough that each may wait for its answer.
const FORGERS: usize = 64;
const WITHIN: Duration = Duration::from_secs(300);

/// Measures both.
pub(crate) fn measure(workspace: &Workspace) -> Result<()> {
    sources(workspace)?;
    flood(workspace)
}

/// One source, and as many as there are providers in the catalogue.
fn sources(workspace: &Workspace) -> Result<()> {
    let catalogue = workspace.root.join("host/providers");
    let n_providers = fs::read_dir(&catalogue)
        .with_context(|| format!("cannot read {}", catalogue.display()))?
        .count();
    println!("\n## The door with many sources: {REQUESTS} signed pushes of 8 KiB, no plugin\n");
    println!("| sources | acknowledged/s | p50 ms | p99 ms | host CPU s |");
    println!("|--:|--:|--:|--:|--:|");
    for n_sources in [1, n_providers] {
        let mut tables = String::new();
        for n in 1..n_sources {
            let secret = config::random_secret()?;
            write!(
                tables,
                "[sources.other-{n}]\nprovider = \"github\"\nsecret = \"{secret}\"\n"
            )?;
        }
        let mut host = Host::prepare(workspace, Profile::Release, "door", &Database::sqlite())?;
        host.configure(&tables)?;
        host.start()?;
        let load = host.start_load(&Load {
            requests: REQUESTS,
            concurrency: CONCURRENCY,
            rate: 0,
            acked: None,
            is_forged: false,
        })?;
        let summary = load.finish(WITHIN)?;
        let (cpu_s, _) = host.resources();
        println!(
            "| {n_sources} | {:.0} | {:.2} | {:.2} | {cpu_s:.1} |",
            summary.rate(),
            summary.p50_ms,
            summary.p99_ms,
        );
        host.kill()?;
        host.remove()?;
    }
    Ok(())
}

/// Genuine deliveries alone; beside forged ones from one address, of which few are told
/// apart; and beside forged ones of which each comes from another address.
fn flood(workspace: &Workspace) -> Result<()> {
    println!(
        "\n## A flood: {GENUINE_RATE} genuine pushes/s of 8 KiB beside {FORGED_RATE} forged/s to the same source, {FLOOD_S} s\n"
    );
    println!(
        "| forged from | answered/s | genuine acknowledged | p50 ms | p99 ms | max ms | not 2xx | in quarantine | of MiB | host CPU s | host MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (from, is_flooded, trusted) in [
        ("–", false, "[]"),
        ("one address", true, "[]"),
        ("an address each", true, "[\"127.0.0.1\"]"),
    ] {
        let database = Database::sqlite().with("trusted_proxies", trusted);
        let mut host = Host::prepare(workspace, Profile::Release, "flood", &database)?;
        host.start()?;
        let load = |rate: u32, concurrency, is_forged| {
            host.start_load(&Load {
                requests: u64::from(rate * FLOOD_S),
                concurrency,
                rate,
                acked: None,
                is_forged,
            })
        };
        let forged = is_flooded.then(|| load(FORGED_RATE, FORGERS, true));
        let genuine = load(GENUINE_RATE, CONCURRENCY, false)?.finish(WITHIN)?;
        let forged = forged.transpose()?.map(|load| load.finish(WITHIN));
        flood_row(&host, from, &genuine, forged.transpose()?.as_ref())?;
        host.kill()?;
        host.remove()?;
    }
    Ok(())
}

fn flood_row(host: &Host, from: &str, genuine: &Summary, forged: Option<&Summary>) -> Result<()> {
    let answered = forged.map_or_else(
        || "–".to_owned(),
        |forged| format!("{:.0}", forged.refusal_rate()),
    );
    let kept = host.admin()?.items("quarantine")?;
    let bytes: u64 = kept
        .iter()
        .filter_map(|one| one["size_bytes"].as_u64())
        .sum();
    let (cpu_s, largest_mib) = host.resources();
    println!(
        "| {from} | {answered} | {} | {:.2} | {:.2} | {:.1} | {} | {} | {} | {cpu_s:.1} | {largest_mib} |",
        genuine.acked,
        genuine.p50_ms,
        genuine.p99_ms,
        genuine.max_ms,
        genuine.refused,
        kept.len(),
        bytes >> 20,
    );
    Ok(())
}
