//! Pushes of 8 KiB: to a commit without a plugin, and to a finished run with one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use super::Size;
use super::ground::{Ground, PLUGIN};
use crate::host::Load;

const CONCURRENCIES: [usize; 2] = [32, 128];
const WITHIN: Duration = Duration::from_secs(900);

pub(super) fn measure(ground: &mut Ground<'_>, size: Size) -> Result<()> {
    let engine = ground.engine();
    println!("\n## {engine}: {} signed pushes of 8 KiB\n", size.requests);
    println!(
        "| plugin | concurrency | acknowledged/s | p50 ms | p99 ms | max ms | not 2xx | finished runs/s | host CPU s | host MiB | host writes B/request |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for with_plugin in [false, true] {
        for concurrency in CONCURRENCIES {
            measure_one(ground, size.requests, concurrency, with_plugin)?;
        }
    }
    Ok(())
}

fn measure_one(
    ground: &mut Ground<'_>,
    requests: u64,
    concurrency: usize,
    with_plugin: bool,
) -> Result<()> {
    let mut store = ground.store(with_plugin)?;
    store.host.start()?;
    let load = store.host.start_load(&Load {
        requests,
        concurrency,
        rate: 0,
        acked: None,
        is_forged: false,
    })?;
    let summary = load.finish(WITHIN)?;
    let mut finished = "–".to_owned();
    if with_plugin {
        store
            .host
            .wait_until_drained(PLUGIN, summary.acked, WITHIN)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let taken = since_1970.saturating_sub(Duration::from_micros(summary.started_unix_us));
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let rate = summary.acked as f64 / taken.as_secs_f64();
        finished = format!("{rate:.0}");
        let counted = store.host.admin()?.pushes_counted(PLUGIN)?;
        if counted != summary.acked {
            bail!("{} acknowledged, {counted} counted", summary.acked);
        }
    }
    let (cpu_s, largest_mib) = store.host.resources();
    let written = store.host.written_bytes() / requests.max(1);
    println!(
        "| {} | {concurrency} | {:.0} | {:.2} | {:.2} | {:.1} | {} | {finished} | {cpu_s:.1} | {largest_mib} | {written} |",
        if with_plugin { PLUGIN } else { "none" },
        summary.rate(),
        summary.p50_ms,
        summary.p99_ms,
        summary.max_ms,
        summary.refused,
    );
    ground.remove(store)
}
