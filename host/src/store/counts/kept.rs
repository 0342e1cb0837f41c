//! Counts of many runs, which are kept for a multiple of the time that they took: whoever
//! asks, and however often, all counting together takes a small share of the time.
//!
//! No counter is kept while runs come and go: every batch of every host would write it, and
//! hosts of two versions would not agree on when.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::PluginId;

use super::PluginRuns;

/// Counts of fewer runs are made anew each time, unless the last one took so long: an old
/// snapshot makes few dear, too.
const MANY: i64 = 100_000;
const LONG: Duration = Duration::from_secs(3);
/// Others are kept for so many times what they took.
const KEPT_FOR: u32 = 20;

/// The counts of this host that are kept.
#[derive(Debug, Default)]
pub(in super::super) struct Kept(Mutex<HashMap<PluginId, Counted>>);

#[derive(Clone, Copy, Debug)]
struct Counted {
    runs: PluginRuns,
    began: Instant,
    took: Duration,
}

impl Kept {
    /// What need not be counted anew.
    pub(super) fn of(&self, plugin: PluginId, at: Instant) -> Option<PluginRuns> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.get(&plugin)?;
        counted.is_good(at).then_some(counted.runs)
    }

    /// Keeps a count that began at a time and took so long.
    pub(super) fn keep(&self, plugin: PluginId, runs: PluginRuns, began: Instant, took: Duration) {
        let counted = Counted { runs, began, took };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(plugin, counted);
    }
}

impl Counted {
    /// Whether it need not be made anew.
    fn is_good(&self, at: Instant) -> bool {
        let is_kept = self.runs.live() > MANY || self.took > LONG;
        is_kept && at.saturating_duration_since(self.began) < self.took * (1 + KEPT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Duration, Instant, MANY, PluginRuns};

    #[test]
    fn a_count_of_many_is_kept_for_a_multiple_of_what_it_took() {
        let began = Instant::now();
        for (due, took_s, after_s, is_good) in [
            (MANY + 1, 2, 2, true),
            (MANY + 1, 2, 41, true),
            (MANY + 1, 2, 42, false),
            (MANY, 2, 2, false),
            (MANY, 4, 83, true),
            (MANY, 4, 84, false),
        ] {
            let took = Duration::from_secs(took_s);
            let runs = PluginRuns {
                due,
                ..PluginRuns::default()
            };
            let counted = Counted { runs, began, took };
            let at = began.checked_add(Duration::from_secs(after_s)).unwrap();
            assert_eq!(counted.is_good(at), is_good, "{due} {after_s}");
        }
    }
}
