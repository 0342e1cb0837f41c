//! Many calls of one plugin, one after the other, and how long they took.
//!
//! The time is that of [`PluginHost::call`](crate::plugin::PluginHost::call) as the host sees
//! it: the way to a guest thread and back, the instance, the event in, the answer out. Beside it
//! stands what of it was spent on that thread: the attempt's own duration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, in_file, unreadable};
use crate::cli::CommandError;
use crate::cli::table::facts;
use crate::config::units::readable_size;
use crate::plugin::{Loaded, PluginHost};

/// What was measured, sorted.
pub(super) struct Timings {
    calls: Vec<Duration>,
    on_thread_us: Vec<i64>,
    cpu_us: Vec<i64>,
    /// By how much each copy of the plugin made this process larger.
    bytes_per_copy: Option<u64>,
}

/// Versions of one plugin that differ in nothing but their digest.
pub(super) struct Copies {
    loaded: Vec<Arc<Loaded>>,
    bytes_each: u64,
}

/// Loads a file so often, as other bytes each time.
///
/// # Errors
/// It cannot be read or loaded.
pub(super) async fn copies(
    host: &PluginHost,
    file: &Path,
    n_copies: u32,
) -> Result<Copies, CommandError> {
    let component = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let before = resident_bytes();
    let mut loaded = Vec::new();
    for n in 0..n_copies {
        let copy = host.load(&numbered(&component, n).into()).await;
        loaded.push(Arc::new(
            copy.map_err(|error| in_file(file, &error.to_string()))?,
        ));
    }
    Ok(Copies {
        bytes_each: resident_bytes().saturating_sub(before) / u64::from(n_copies),
        loaded,
    })
}

/// The same component with a custom section more: id 0, size, name with its length, data.
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
fn numbered(component: &[u8], n: u32) -> Vec<u8> {
    [component, &[0, 6, 1, b'n'], &n.to_le_bytes()].concat()
}

/// What this process has in memory; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
        .and_then(|text| text.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Calls `n_calls / 10` times to warm up, then `n_calls` times with a stopwatch: each copy in
/// turn, or only the first.
///
/// # Errors
/// The first attempt that did not succeed.
pub(super) async fn timings(
    bench: &Bench,
    n_calls: u32,
    copies: Option<Copies>,
    is_only_first: bool,
) -> Result<Timings, CommandError> {
    let one = std::slice::from_ref(&bench.plugin);
    let plugins = copies.as_ref().map_or(one, |copies| &copies.loaded);
    let called = if is_only_first { 1 } else { plugins.len() };
    let mut turns = plugins.iter().take(called).cycle();
    let mut next = || turns.next().unwrap_or(&bench.plugin);
    for _ in 0..n_calls / 10 {
        bench.call_one(next()).await.ended_well()?;
    }
    let mut timings = Timings {
        calls: Vec::new(),
        on_thread_us: Vec::new(),
        cpu_us: Vec::new(),
        bytes_per_copy: copies.as_ref().map(|copies| copies.bytes_each),
    };
    for _ in 0..n_calls {
        let plugin = next();
        let started = Instant::now();
        let called = bench.call_one(plugin).await;
        timings.calls.push(started.elapsed());
        timings.on_thread_us.push(called.report.record.duration_us);
        timings.cpu_us.push(called.report.record.cpu_us);
        called.ended_well()?;
    }
    timings.calls.sort_unstable();
    timings.on_thread_us.sort_unstable();
    timings.cpu_us.sort_unstable();
    Ok(timings)
}

impl Timings {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "n": self.calls.len(),
            "p50_us": microseconds(percentile(&self.calls, 50)),
            "p99_us": microseconds(percentile(&self.calls, 99)),
            "mean_us": microseconds(self.mean()),
            "on_thread_p50_us": percentile(&self.on_thread_us, 50),
            "cpu_p50_us": percentile(&self.cpu_us, 50),
            "bytes_per_copy": self.bytes_per_copy,
        })
    }

    pub(super) fn as_text(&self) -> String {
        let shown = |duration| Some(format!("{:.1} µs", microseconds(duration)));
        let whole = |us: &[i64]| Some(format!("{} µs", percentile(us, 50)));
        facts(&[
            ("calls", Some(self.calls.len().to_string())),
            ("p50", shown(percentile(&self.calls, 50))),
            ("p99", shown(percentile(&self.calls, 99))),
            ("mean", shown(self.mean())),
            ("guest thread p50", whole(&self.on_thread_us)),
            ("cpu p50", whole(&self.cpu_us)),
            ("memory per copy", self.bytes_per_copy.map(readable_size)),
        ])
    }

    fn mean(&self) -> Duration {
        let n_calls = u32::try_from(self.calls.len()).unwrap_or(u32::MAX).max(1);
        self.calls.iter().sum::<Duration>() / n_calls
    }
}

/// With a tenth of a microsecond, which is what the clock is good for.
fn microseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

/// The value that `percent` of the others do not exceed (nearest rank); zero of nothing.
fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Duration, microseconds, percentile};

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<i64> = (1..=100).collect();
        for (values, percent, expected) in [
            (&hundred[..], 50, 50),
            (&hundred[..], 99, 99),
            (&hundred[..1], 50, 1),
            (&hundred[..1], 99, 1),
            (&hundred[..3], 50, 2),
            (&hundred[..0], 50, 0),
        ] {
            assert_eq!(percentile(values, percent), expected);
        }
        assert_eq!(microseconds(Duration::from_nanos(52_340)), 52.3);
    }
}
