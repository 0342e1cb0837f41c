//! Runs that this host cannot execute, since it lacks the key that their event is encrypted
//! with: put back for hosts that have it. That is no attempt, and nothing is recorded: a key
//! may be missing for days.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::name::PluginName;
use crate::run::Claimed;
use crate::store::StoreError;

use super::execute::Executor;

/// The shortest time until such a run may be claimed again, …
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// … and the longest, but for how far it strays.
const PAUSE_MAX: Duration = Duration::from_mins(15);
/// How old a run is of which the log still hears.
const LOGGED: Duration = Duration::from_mins(15);
/// Which part of the time that it has waited a run waits once more.
const SHARE: u32 = 4;

impl Executor {
    /// Puts a run back until later; says when, or none if we gave up.
    pub(super) async fn postpone(
        &self,
        claimed: &Claimed,
        plugin: &PluginName,
        problem: &StoreError,
    ) -> Option<Timestamp> {
        let run = claimed.fence.run;
        let now = self.clock.now();
        let due = now.plus(pause(now.since(claimed.created_at), rand::random()));
        while let Err(error) = self.store.postpone(claimed.fence, due).await {
            tracing::error!(%error, run.id = %run, %plugin, "a run cannot be put back; trying again");
            self.pause().await?;
        }
        self.metrics.run_postponed(plugin);
        // A key that is lost is not to fill the log: the metric goes on counting.
        if now.since(claimed.created_at) < LOGGED {
            tracing::warn!(
                run.id = %run, event.id = %claimed.event, %plugin, error = %problem, due = %due,
                "the run is put back for a host that can read its event"
            );
        }
        Some(due)
    }
}

/// How long such a run waits that has waited for `age`: in proportion to it, so that it comes
/// soon to a host that has the key while a new key goes round, and seldom to one that lacks it
/// where the key is lost. `random` is uniform in 0..1: runs that were stored together are not
/// to come back together.
fn pause(age: Duration, random: f64) -> Duration {
    let plain = (age / SHARE).clamp(PAUSE_MIN, PAUSE_MAX);
    plain.mul_f64(1.0 + random / 4.0)
}

#[cfg(test)]
mod tests {
    use super::{Duration, pause};

    #[test]
    fn a_run_waits_in_proportion_to_its_age_within_bounds() {
        for (age_s, random, expected_ms) in [
            (0, 0.0, 5000),
            (0, 1.0, 6250),
            (20, 0.0, 5000),
            (60, 0.0, 15_000),
            (60, 0.5, 16_875),
            (3600, 0.0, 900_000),
            (1_000_000, 1.0, 1_125_000),
        ] {
            let pause = pause(Duration::from_secs(age_s), random);
            assert_eq!(pause.as_millis(), expected_ms, "{age_s} {random}");
        }
    }
}
