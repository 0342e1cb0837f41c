//! Counts per minute, kept here while they grow and written to the store whole.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::retry::Next;
use crate::store::{PluginMinute, SourceMinute};

use super::{BUCKETS_S, Received};

/// How many of something took how long: one count per bucket, and one beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies(Vec<u64>);

#[derive(Clone, Debug, Default)]
struct SourceCounts {
    received: i64,
    duplicates: i64,
    rejected: i64,
    ack: Latencies,
    /// [`Kept::counted`] when it last changed.
    changed: u64,
}

#[derive(Clone, Debug, Default)]
struct PluginCounts {
    succeeded: i64,
    failed: i64,
    dead: i64,
    run: Latencies,
    /// The same.
    changed: u64,
}

/// What happened in the present minute.
#[derive(Debug, Default)]
struct Minute {
    start_ms: i64,
    sources: HashMap<String, SourceCounts>,
    plugins: HashMap<String, PluginCounts>,
}

/// Counts of the present minute, and of those that are over and not written.
#[derive(Debug, Default)]
pub struct Minutes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    present: Minute,
    over: Vec<Minute>,
    /// How often something was counted; and how much of that had been, when rows were last
    /// given out, and when they were last written.
    counted: u64,
    given: u64,
    written: u64,
}

/// Minutes that wait for the database at most; older ones are dropped.
const OVER_MAX: usize = 60;

impl Latencies {
    /// Counts one more.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS_S
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKETS_S.len());
        self.0.resize(BUCKETS_S.len() + 1, 0);
        self.0[bucket] += 1;
    }

    /// Adds what many have counted: JSON, a list of them. They are summed as they are read,
    /// for a chart of a week has tens of thousands.
    pub fn add_all(&mut self, lists: &str) {
        self.0.resize(BUCKETS_S.len() + 1, 0);
        let (mut bucket, mut number) = (0, None);
        for byte in lists.bytes() {
            if byte.is_ascii_digit() {
                let digit = u64::from(byte - b'0');
                number = Some(
                    number
                        .unwrap_or(0u64)
                        .saturating_mul(10)
                        .saturating_add(digit),
                );
                continue;
            }
            if let (Some(sum), Some(more)) = (self.0.get_mut(bucket), number.take()) {
                *sum = sum.saturating_add(more);
            }
            match byte {
                b'[' => bucket = 0,
                b',' => bucket += 1,
                _ => {}
            }
        }
    }

    /// The time within which a share (0 to 1) of them was done, in
    /// milliseconds: the upper bound of its bucket; none, if nothing was.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().sum();
        if total == 0 {
            return None;
        }
        let wanted = (total as f64 * share).ceil().max(1.0);
        let mut sum = 0u64;
        for (count, bound) in self.0.iter().zip(BUCKETS_S) {
            sum += count;
            if sum as f64 >= wanted {
                return Some(bound * 1000.0);
            }
        }
        BUCKETS_S.last().map(|bound| bound * 1000.0)
    }
}

impl Minutes {
    pub(super) fn webhook_received(&self, source: &str, received: Received, took: Duration) {
        self.with(|minute, counted| {
            let counts = entry(&mut minute.sources, source);
            counts.changed = counted;
            match received {
                Received::Accepted => counts.received += 1,
                Received::Duplicate => counts.duplicates += 1,
                // Nothing that is shown per minute.
                Received::Handshake => {}
                Received::Rejected | Received::Unavailable => counts.rejected += 1,
            }
            if matches!(received, Received::Accepted | Received::Duplicate) {
                counts.ack.observe(took);
            }
        });
    }

    pub(super) fn attempt_ended(&self, plugin: &str, next: Next, took: Duration) {
        self.with(|minute, counted| {
            let counts = entry(&mut minute.plugins, plugin);
            counts.changed = counted;
            match next {
                Next::Succeeded => counts.succeeded += 1,
                Next::Dead => {
                    counts.failed += 1;
                    counts.dead += 1;
                }
                Next::RetryAt(_) | Next::Again => counts.failed += 1,
                // An operator's doing, and nobody's failure.
                Next::Cancelled => {}
            }
            counts.run.observe(took);
        });
    }

    /// What was counted in the minute that `now` is in, and in those before it that have
    /// not been written for the last time, of whom there is something new.
    pub fn rows(&self, now: Timestamp) -> (Vec<SourceMinute>, Vec<PluginMinute>) {
        let start_ms = now.minute().millis();
        let mut kept = self.lock();
        if kept.present.start_ms != start_ms {
            let over = std::mem::replace(
                &mut kept.present,
                Minute {
                    start_ms,
                    ..Minute::default()
                },
            );
            if over.start_ms == 0 {
                // What was counted before anybody asked for rows.
                kept.present = Minute { start_ms, ..over };
            } else {
                kept.over.push(over);
            }
            let too_many = kept.over.len().saturating_sub(OVER_MAX);
            kept.over.drain(..too_many);
        }
        kept.given = kept.counted;
        if kept.given == kept.written {
            kept.over.clear();
            return (Vec::new(), Vec::new());
        }
        let (mut sources, mut plugins) = (Vec::new(), Vec::new());
        for minute in kept.over.iter().chain([&kept.present]) {
            let (more_sources, more_plugins) = minute.rows_since(kept.written);
            sources.extend(more_sources);
            plugins.extend(more_plugins);
        }
        (sources, plugins)
    }

    /// Notes that the rows were written: those of minutes that are over are done.
    pub fn written(&self) {
        let mut kept = self.lock();
        kept.over.clear();
        kept.written = kept.given;
    }

    /// The start of the minute under way, and what was counted in it so far.
    pub fn peek(&self) -> (Timestamp, Vec<SourceMinute>, Vec<PluginMinute>) {
        let kept = self.lock();
        let (sources, plugins) = kept.present.rows_since(0);
        (
            Timestamp::from_millis(kept.present.start_ms),
            sources,
            plugins,
        )
    }

    fn with<T>(&self, change: impl FnOnce(&mut Minute, u64) -> T) -> T {
        let mut kept = self.lock();
        kept.counted += 1;
        let counted = kept.counted;
        change(&mut kept.present, counted)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    /// The rows that have changed since so much was counted.
    fn rows_since(&self, counted: u64) -> (Vec<SourceMinute>, Vec<PluginMinute>) {
        let json = |latencies: &Latencies| serde_json::to_string(latencies).unwrap_or_default();
        let source = |(source, counts): (&String, &SourceCounts)| SourceMinute {
            minute_ms: self.start_ms,
            source: source.clone(),
            received: counts.received,
            duplicates: counts.duplicates,
            rejected: counts.rejected,
            ack: json(&counts.ack),
        };
        let plugin = |(plugin, counts): (&String, &PluginCounts)| PluginMinute {
            minute_ms: self.start_ms,
            plugin: plugin.clone(),
            succeeded: counts.succeeded,
            failed: counts.failed,
            dead: counts.dead,
            run: json(&counts.run),
        };
        (
            self.sources
                .iter()
                .filter(|(_, counts)| counts.changed > counted)
                .map(source)
                .collect(),
            self.plugins
                .iter()
                .filter(|(_, counts)| counts.changed > counted)
                .map(plugin)
                .collect(),
        )
    }
}

/// The counts under a name, without making a key for a name that is there.
fn entry<'m, T: Default>(map: &'m mut HashMap<String, T>, name: &str) -> &'m mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name).expect("it was just put there")
}

#[cfg(test)]
mod tests {
    use super::{Duration, Latencies, Minutes, Received, Timestamp};

    #[test]
    fn quantiles_are_upper_bounds() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), None);
        for ms in [1, 1, 3, 400] {
            latencies.observe(Duration::from_millis(ms));
        }
        assert_eq!(latencies.quantile_ms(0.5), Some(1.0));
        assert_eq!(latencies.quantile_ms(0.75), Some(5.0));
        assert_eq!(latencies.quantile_ms(0.99), Some(500.0));
    }

    #[test]
    fn what_many_have_counted_is_summed_as_it_is_read() {
        let mut latencies = Latencies::default();
        for ms in [1, 1, 3, 400] {
            latencies.observe(Duration::from_millis(ms));
        }
        let json = serde_json::to_string(&latencies).unwrap();
        let mut sum = Latencies::default();
        sum.add_all(&format!("[{json}]"));
        assert_eq!(sum, latencies);
        sum.add_all(&format!("[[], [ 10, 2 ],{json}]"));
        let counts = |of: &Latencies| of.0[..4].to_vec();
        let twice: Vec<u64> = counts(&latencies).iter().map(|n| n * 2).collect();
        assert_eq!(
            counts(&sum),
            [twice[0] + 10, twice[1] + 2, twice[2], twice[3]]
        );
        // More than any host writes changes nothing else.
        let long = vec!["1"; 100].join(",");
        Latencies::default().add_all(&format!("[[{long}]]"));
    }

    #[test]
    fn a_minute_is_written_whole_and_ends() {
        let minutes = Minutes::default();
        minutes.rows(Timestamp::from_millis(60_000));
        minutes.webhook_received("a", Received::Accepted, Duration::ZERO);
        let (rows, _) = minutes.rows(Timestamp::from_millis(61_000));
        assert_eq!((rows[0].minute_ms, rows[0].received), (60_000, 1));
        minutes.webhook_received("a", Received::Duplicate, Duration::ZERO);
        let (rows, _) = minutes.rows(Timestamp::from_millis(120_000));
        assert_eq!(
            (rows[0].minute_ms, rows[0].received, rows[0].duplicates),
            (60_000, 1, 1)
        );
        let (rows, _) = minutes.rows(Timestamp::from_millis(121_000));
        assert_eq!(rows.len(), 1, "what was not written is not forgotten");
        minutes.written();
        let (rows, _) = minutes.rows(Timestamp::from_millis(121_000));
        assert!(rows.is_empty());
    }

    #[test]
    fn only_what_is_new_is_written() {
        let at = Timestamp::from_millis(60_000);
        let minutes = Minutes::default();
        minutes.rows(at);
        minutes.webhook_received("a", Received::Accepted, Duration::ZERO);
        minutes.rows(at);
        // The write failed: it is given out again, until it is written.
        assert_eq!(minutes.rows(at).0.len(), 1);
        // Counted while it was written.
        minutes.webhook_received("a", Received::Accepted, Duration::ZERO);
        minutes.written();
        assert_eq!(minutes.rows(at).0[0].received, 2);
        minutes.written();
        assert!(minutes.rows(at).0.is_empty());
        // Of what else was counted in this minute there is nothing new.
        minutes.webhook_received("c", Received::Accepted, Duration::ZERO);
        let (rows, _) = minutes.rows(at);
        assert_eq!((rows.len(), rows[0].source.as_str()), (1, "c"));
        assert_eq!(minutes.peek().1.len(), 2);
        minutes.written();
        // An hour later nothing of it is written again.
        assert!(minutes.rows(Timestamp::from_millis(3_660_000)).0.is_empty());
        minutes.webhook_received("b", Received::Rejected, Duration::ZERO);
        let (rows, _) = minutes.rows(Timestamp::from_millis(3_661_000));
        assert_eq!(
            (rows.len(), rows[0].source.as_str(), rows[0].minute_ms),
            (1, "b", 3_660_000)
        );
    }
}
