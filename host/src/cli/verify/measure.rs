//! One request, verified many times, and how long it took: what the door waits for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Bench, Captured};
use crate::cli::CommandError;
use crate::ingest::verify::Request;

/// Verifies `n_times / 10` times to warm up, then `n_times` times with a stopwatch.
///
/// # Errors
/// The request is not genuine: how fast that is would be another question.
pub(super) async fn timings(
    bench: &Bench,
    captured: &Captured,
    n_times: u32,
) -> Result<Value, CommandError> {
    let (headers, body) = (captured.headers(), Bytes::from(captured.body()?));
    let url = captured.url_for(bench.public_url.as_deref());
    let method = captured.method.to_ascii_uppercase();
    let request = Request {
        method: &method,
        url: &url,
        headers: &headers,
        body: &body,
    };
    let mut times = Vec::new();
    for n in 0..n_times.saturating_add(n_times / 10) {
        let started = Instant::now();
        let verified = bench.verified(request, &body).await;
        let took = started.elapsed();
        let verified = verified.map_err(|error| CommandError::Failed(error.to_string()))?;
        verified.map_err(|rejection| CommandError::Failed(rejection.to_string()))?;
        if n >= n_times / 10 {
            times.push(took);
        }
    }
    times.sort_unstable();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100);
        let time = times.get(rank.saturating_sub(1)).copied();
        microseconds(time.unwrap_or_default())
    };
    let mean = times.iter().sum::<Duration>() / n_times;
    Ok(json!({
        "n": times.len(),
        "p50_us": at(50),
        "p99_us": at(99),
        "mean_us": microseconds(mean),
    }))
}

/// With a tenth of a microsecond, which is what the clock is good for.
fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}
