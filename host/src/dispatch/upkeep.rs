//! What has its time: saying that the host is alive, writing the minute's counts,
//! forgetting old deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::Store;

/// Between signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Between writes of the minute's counts.
const COUNTS_EVERY: Duration = Duration::from_secs(5);
/// Between looks for deliveries to forget.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// Deliveries forgotten in one transaction.
const FORGET_SLICE: u32 = 1000;

/// Runs until `stop`, and writes the last counts then.
pub async fn run(
    store: Store,
    metrics: Arc<Metrics>,
    clock: Clock,
    host_name: Arc<str>,
    stop: CancellationToken,
) {
    let mut beat = tokio::time::interval(BEAT_EVERY);
    let mut counts = tokio::time::interval(COUNTS_EVERY);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beat.tick() => {
                if let Err(error) = store.beat(&host_name).await {
                    tracing::error!(%error, "the database cannot be written; webhooks are not taken");
                }
            }
            _ = counts.tick() => write_counts(&store, &metrics, &clock).await,
            _ = forget.tick() => forget_deliveries(&store, &stop).await,
        }
    }
    write_counts(&store, &metrics, &clock).await;
}

async fn write_counts(store: &Store, metrics: &Metrics, clock: &Clock) {
    let (sources, plugins) = metrics.minutes.rows(clock.now());
    match store.write_minutes(sources, plugins).await {
        Ok(()) => metrics.minutes.written(),
        Err(error) => {
            tracing::warn!(%error, "the counts of this minute cannot be written; the next write carries them");
        }
    }
}

async fn forget_deliveries(store: &Store, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match store.forget_expired_deliveries(FORGET_SLICE).await {
            Ok(forgotten) if forgotten < u64::from(FORGET_SLICE) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::warn!(%error, "old deliveries cannot be forgotten now");
                return;
            }
        }
    }
}
