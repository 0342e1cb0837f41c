//! What follows an attempt: one table, one function.
//!
//! Pure: the time and the random number are arguments.

use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::run::Outcome;

/// The longest a plugin may ask to wait (`retry { after-ms }`, design section 4).
pub const AFTER_MAX: Duration = Duration::from_hours(24);

/// When a failed run is tried again, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait after the first failure.
    pub first: Duration,
    /// By how much each wait is longer than the one before, at least 1.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// How far a wait strays from its length at random, 0 to 1.
    pub jitter: f64,
}

/// What a dead run does to those that wait behind it for its ordering key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    /// The next one runs.
    #[default]
    Skip,
    /// They wait until it is retried and succeeds, or is cancelled.
    Block,
}

/// Why a text is not an [`OnDead`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of `skip`, `block`")]
pub struct OnDeadError(String);

/// What becomes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is finished, and its writes are kept.
    Succeeded,
    /// It is tried again at this time.
    RetryAt(Timestamp),
    /// It is due again at once, and the attempt does not count.
    Again,
    /// It is finished without success.
    Dead,
    /// An operator ended it.
    Cancelled,
}

/// How the attempt that just ended stands within its run.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// Which one it was, from 1.
    pub attempt: u32,
    /// How many attempts before it the policy does not count.
    pub free_attempts: u32,
    /// The wait that the plugin asked for.
    pub after: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 12,
            first: Duration::from_secs(5),
            factor: 4.0,
            max: Duration::from_hours(6),
            jitter: 0.1,
        }
    }
}

impl OnDead {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Block => "block",
        }
    }
}

impl FromStr for OnDead {
    type Err = OnDeadError;

    fn from_str(text: &str) -> Result<Self, OnDeadError> {
        match text {
            "skip" => Ok(Self::Skip),
            "block" => Ok(Self::Block),
            other => Err(OnDeadError(other.to_owned())),
        }
    }
}

/// Decides what follows; `random` is uniform in 0..1.
pub fn decide(policy: &RetryPolicy, tried: Tried, now: Timestamp, random: f64) -> Next {
    match tried.outcome {
        Outcome::Succeeded => Next::Succeeded,
        Outcome::Permanent | Outcome::KilledHost | Outcome::Expired => Next::Dead,
        Outcome::Cancelled => Next::Cancelled,
        Outcome::HostLost | Outcome::Conflict => Next::Again,
        Outcome::Retry
        | Outcome::Trap
        | Outcome::Cpu
        | Outcome::Wall
        | Outcome::Memory
        | Outcome::Output
        | Outcome::Calls => {
            let counted = tried.attempt.saturating_sub(tried.free_attempts).max(1);
            if counted >= policy.attempts {
                return Next::Dead;
            }
            let wait = match tried.after {
                Some(asked) => asked.min(AFTER_MAX),
                None => policy.wait(counted, random),
            };
            Next::RetryAt(now.plus(wait))
        }
    }
}

impl RetryPolicy {
    /// The wait after the `counted`th failure, from 1.
    fn wait(&self, counted: u32, random: f64) -> Duration {
        let exponent = i32::try_from(counted - 1).unwrap_or(i32::MAX);
        let longest = self.max.as_secs_f64();
        let plain = (self.first.as_secs_f64() * self.factor.powi(exponent)).min(longest);
        let strayed = plain * (1.0 + self.jitter * (2.0 * random - 1.0));
        Duration::from_secs_f64(strayed.clamp(0.0, longest))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        AFTER_MAX, Duration, Next, OnDead, Outcome, RetryPolicy, Timestamp, Tried, decide,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 4,
            max: Duration::from_mins(1),
            ..RetryPolicy::default()
        }
    }

    fn at(seconds: f64) -> Next {
        Next::RetryAt(NOW.plus(Duration::from_secs_f64(seconds)))
    }

    #[test]
    fn each_outcome_has_its_consequence() {
        for (outcome, attempt, free_attempts, expected) in [
            (Outcome::Succeeded, 1, 0, Next::Succeeded),
            (Outcome::Retry, 1, 0, at(5.0)),
            (Outcome::Trap, 2, 0, at(20.0)),
            (Outcome::Cpu, 3, 0, at(60.0)),
            (Outcome::Wall, 4, 0, Next::Dead),
            (Outcome::Memory, 9, 0, Next::Dead),
            (Outcome::Output, 9, 8, at(5.0)),
            (Outcome::Calls, 12, 8, Next::Dead),
            (Outcome::Permanent, 1, 0, Next::Dead),
            (Outcome::HostLost, 9, 0, Next::Again),
            (Outcome::Conflict, 9, 0, Next::Again),
            (Outcome::KilledHost, 1, 0, Next::Dead),
            (Outcome::Expired, 1, 0, Next::Dead),
            (Outcome::Cancelled, 1, 0, Next::Cancelled),
        ] {
            let tried = Tried {
                outcome,
                attempt,
                free_attempts,
                after: None,
            };
            assert_eq!(
                decide(&policy(), tried, NOW, 0.5),
                expected,
                "{outcome:?} {attempt}"
            );
        }
    }

    #[test]
    fn a_plugins_own_wait_wins_and_is_capped() {
        let mut tried = Tried {
            outcome: Outcome::Retry,
            attempt: 1,
            free_attempts: 0,
            after: Some(Duration::ZERO),
        };
        assert_eq!(decide(&policy(), tried, NOW, 0.9), at(0.0));
        tried.after = Some(Duration::from_hours(100));
        assert_eq!(
            decide(&policy(), tried, NOW, 0.9),
            Next::RetryAt(NOW.plus(AFTER_MAX))
        );
    }

    #[test]
    fn words_read_back() {
        for on_dead in [OnDead::Skip, OnDead::Block] {
            assert_eq!(on_dead.as_str().parse(), Ok(on_dead));
        }
        assert!("Skip".parse::<OnDead>().is_err());
    }

    #[test]
    fn waits_stray_within_jitter_and_never_pass_the_longest() {
        let policy = policy();
        let wait = |attempt, random| policy.wait(attempt, random).as_secs_f64();
        assert!((wait(1, 0.0) - 4.5).abs() < 1e-9);
        assert!((wait(1, 1.0) - 5.5).abs() < 1e-9);
        assert!(wait(u32::MAX, 1.0) <= 60.0);
    }
}
