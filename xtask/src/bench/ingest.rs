//! Durable ingest: 8 KiB signed pushes, acknowledged after the commit, with no plugin.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::config::Database;
use crate::host::{Host, Load};
use crate::workspace::{Profile, Workspace};

const REQUESTS: u64 = 60_000;
const CONCURRENCIES: [usize; 2] = [32, 128];
const WITHIN: Duration = Duration::from_secs(600);

/// Measures each concurrency on a new, empty store.
pub(crate) fn measure(workspace: &Workspace, requests: Option<u64>) -> Result<()> {
    let requests = requests.unwrap_or(REQUESTS);
    println!("\n## Durable ingest: {requests} signed pushes of 8 KiB, no plugin\n");
    println!(
        "| concurrency | acknowledged/s | p50 ms | p99 ms | max ms | not 2xx | errors | host CPU s | host MiB | stored bytes/event |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for concurrency in CONCURRENCIES {
        let mut host = Host::prepare(
            workspace,
            Profile::Release,
            &format!("ingest-{concurrency}"),
            &Database::sqlite(),
        )?;
        host.start()?;
        let load = host.start_load(&Load {
            requests,
            concurrency,
            rate: 0,
            acked: None,
            is_forged: false,
        })?;
        let summary = load.finish(WITHIN)?;
        let (cpu_s, largest_mib) = host.resources();
        host.kill()?;
        println!(
            "| {concurrency} | {:.0} | {:.2} | {:.2} | {:.1} | {} | {} | {cpu_s:.1} | {largest_mib} | {} |",
            summary.rate(),
            summary.p50_ms,
            summary.p99_ms,
            summary.max_ms,
            summary.refused,
            summary.connection_errors,
            database_bytes(host.folder()) / summary.acked.max(1),
        );
        host.remove()?;
    }
    Ok(())
}

/// The database with its write-ahead log.
fn database_bytes(folder: &Path) -> u64 {
    ["hookbay.db", "hookbay.db-wal"]
        .iter()
        .filter_map(|name| fs::metadata(folder.join(name)).ok())
        .map(|metadata| metadata.len())
        .sum()
}
