//! Ingest to finished run: the same pushes with `github-push` in the plugin directory.
//!
//! The clock starts with the first request and stops when the admin API says that every run
//! has succeeded; the plugin's counters must then add up to the runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::config::Database;
use crate::guests;
use crate::host::{Host, Load};
use crate::workspace::{Profile, Workspace};

const REQUESTS: u64 = 30_000;
const CONCURRENCIES: [usize; 2] = [32, 128];
const PLUGIN: &str = "github-push";
const WITHIN: Duration = Duration::from_secs(600);

/// Measures each concurrency on a new, empty store.
pub(crate) fn measure(workspace: &Workspace, requests: Option<u64>) -> Result<()> {
    let requests = requests.unwrap_or(REQUESTS);
    println!("\n## End to end: {requests} signed pushes of 8 KiB through {PLUGIN}\n");
    println!(
        "| concurrency | finished runs/s | acknowledged/s | ack p50 ms | ack p99 ms | last ack to last run s | counters | host CPU s | host MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for concurrency in CONCURRENCIES {
        measure_one(workspace, requests, concurrency)?;
    }
    Ok(())
}

fn measure_one(workspace: &Workspace, requests: u64, concurrency: usize) -> Result<()> {
    let mut host = Host::prepare(
        workspace,
        Profile::Release,
        &format!("end-to-end-{concurrency}"),
        &Database::sqlite(),
    )?;
    let file = format!("{PLUGIN}.wasm");
    let component = workspace.plugin_files().join(&file);
    let bytes = std::fs::read(&component)
        .with_context(|| format!("cannot read {}", component.display()))?;
    guests::place(&host.plugin_folder(), &file, &bytes)?;
    host.start()?;

    let load = host.start_load(&Load {
        requests,
        concurrency,
        rate: 0,
        acked: None,
        is_forged: false,
    })?;
    let summary = load.finish(WITHIN)?;
    let states = host.wait_until_drained(PLUGIN, summary.acked, WITHIN)?;
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since_1970
        .saturating_sub(Duration::from_micros(summary.started_unix_us))
        .as_secs_f64();

    let (cpu_s, largest_mib) = host.resources();
    let counted = host.admin()?.pushes_counted(PLUGIN)?;
    let finished = states.of("succeeded");
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let rate = finished as f64 / seconds;
    println!(
        "| {concurrency} | {rate:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {counted} of {finished} | {cpu_s:.1} | {largest_mib} |",
        summary.rate(),
        summary.p50_ms,
        summary.p99_ms,
        seconds - summary.seconds,
    );
    if counted != finished || finished != requests {
        bail!(
            "{requests} deliveries, {} acknowledged, runs: {states}, counters: {counted}",
            summary.acked
        );
    }
    host.kill()?;
    host.remove()
}
