//! The door while plugins take all that they can: every thread of the guests computes without
//! end, and webhooks come in at a fixed rate.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::config::Database;
use crate::guests;
use crate::host::{Host, Load};
use crate::http::Connection;
use crate::workspace::{Profile, Workspace};

const RATE: u32 = 500;
const REQUESTS: u64 = 15_000;
const SPINNING: usize = 8;
const WITHIN: Duration = Duration::from_secs(300);
/// Guests that nothing ends while this is measured.
const TABLES: &str = r#"
[limits]
cpu = "10m"
wall = "10m"
[sources.misbehave]
provider = "none"
[plugins.misbehave]
limits = { cpu = "10m", wall = "10m" }
concurrency = 8
"#;

/// Measures acknowledgements with idle guests, then with busy ones.
pub(super) fn measure(workspace: &Workspace) -> Result<()> {
    println!("\n## Ingest at {RATE}/s of signed pushes of 8 KiB, no plugin for them\n");
    println!("| guests | acknowledged/s | p50 ms | p99 ms | max ms | not 2xx | errors |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let file = workspace.test_guest_files().join("misbehave.wasm");
    let component =
        std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut host = Host::prepare(workspace, Profile::Release, "spinning", &Database::sqlite())?;
    host.configure(TABLES)?;
    guests::place(&host.plugin_folder(), "misbehave.wasm", &component)?;
    host.start()?;
    row(&host, "idle")?;
    for _ in 0..SPINNING {
        spin(&host)?;
    }
    while host.admin()?.run_states("misbehave")?.of("running") < SPINNING as u64 {
        std::thread::sleep(Duration::from_millis(20));
    }
    row(&host, &format!("{SPINNING} spinning"))?;
    let spinning = host.admin()?.run_states("misbehave")?;
    if spinning.of("running") < SPINNING as u64 {
        bail!("the guests did not spin to the end: {spinning}");
    }
    host.kill()?;
    host.remove()
}

fn row(host: &Host, guests: &str) -> Result<()> {
    let load = host.start_load(&Load {
        requests: REQUESTS,
        concurrency: 32,
        rate: RATE,
        acked: None,
        is_forged: false,
    })?;
    let summary = load.finish(WITHIN)?;
    println!(
        "| {guests} | {:.0} | {:.2} | {:.2} | {:.1} | {} | {} |",
        summary.rate(),
        summary.p50_ms,
        summary.p99_ms,
        summary.max_ms,
        summary.refused,
        summary.connection_errors,
    );
    Ok(())
}

/// Has one guest begin to compute.
fn spin(host: &Host) -> Result<()> {
    let address = host.addresses().public;
    let body = r#"{"do":"spin"}"#;
    let request = format!(
        "POST /webhooks/misbehave HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::new(address);
    let answer = connection.exchange(request.as_bytes());
    let status = answer
        .with_context(|| format!("cannot reach {address}"))?
        .status;
    if status != 202 {
        bail!("the webhook that makes a guest spin was answered {status}");
    }
    Ok(())
}
