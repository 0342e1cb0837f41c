//! The breaker: a version that fails by itself again and again is left alone for a
//! while, so that it does not use up its runs' attempts and the host's time.
//!
//! ```text
//!            STREAK attempts in a row end badly
//!   closed ────────────────────────────────────▶ tripped ◀──────┐
//!     ▲  ▲                                          │           │ it ends badly:
//!     │  └──── a new version, `plugins resume` ─────┤           │ twice the back-off
//!     │                                             ▼ back-off  │
//!     └─────────────── it answers ────────────── one probe ─────┘
//! ```
//!
//! One per host and version, not in the store: what trips it may be this host's own
//! trouble (no CPU left, a broken disk under its cache), hosts then differ rightly,
//! and an attempt's end costs no write. The price is that each host finds out for
//! itself, a few attempts each, and again after a restart. Only `plugins resume` goes
//! through the registry, and so closes those of all hosts.
//!
//! The machine takes the time as an argument; [`Breaker`] shares it between the
//! dispatcher, the attempts and whoever asks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::run::Outcome;

/// Attempts in a row that trip it.
const STREAK: u32 = 5;
/// The first back-off; each one after it is twice as long, …
const BACK_OFF: Duration = Duration::from_secs(30);
/// … up to this.
const BACK_OFF_MAX: Duration = Duration::from_mins(30);

/// The breaker of one version on this host.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

/// Why a version is left alone, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// When it began.
    pub since: Timestamp,
    /// When a run may be tried again.
    pub until: Timestamp,
    /// How the last attempt ended.
    pub outcome: Outcome,
    /// Attempts in a row that ended badly.
    pub streak: u32,
    back_off: Duration,
}

/// How many runs of a version may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// As many as otherwise.
    All,
    /// One at a time: the first one that answers closes it.
    Probe,
    /// None.
    None,
}

/// What an attempt's end did to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Tripped(Trip),
    Closed,
}

/// The machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Attempts in a row that ended badly.
    streak: u32,
    trip: Option<Trip>,
}

impl State {
    /// Takes in how an attempt ended that was started at a time.
    fn ended(&mut self, outcome: Outcome, started_at: Timestamp, now: Timestamp) -> Change {
        match verdict(outcome) {
            Verdict::Neither => Change::None,
            Verdict::Answered => self.close(),
            Verdict::Failed => {
                self.streak = self.streak.saturating_add(1);
                self.failed(outcome, started_at, now)
            }
        }
    }

    fn failed(&mut self, outcome: Outcome, started_at: Timestamp, now: Timestamp) -> Change {
        let (since, back_off) = match self.trip {
            None if self.streak < STREAK => return Change::None,
            None => (now, BACK_OFF),
            // Started before: it says nothing of how things are since.
            Some(trip) if started_at < trip.until => return Change::None,
            Some(trip) => (trip.since, (trip.back_off * 2).min(BACK_OFF_MAX)),
        };
        let trip = Trip {
            since,
            until: now.plus(back_off),
            outcome,
            streak: self.streak,
            back_off,
        };
        self.trip = Some(trip);
        Change::Tripped(trip)
    }

    fn close(&mut self) -> Change {
        match std::mem::take(self).trip {
            Some(_) => Change::Closed,
            None => Change::None,
        }
    }

    fn allowance(&self, now: Timestamp) -> Allowance {
        match self.trip {
            None => Allowance::All,
            // Farther away than it ever was: the clock was set back.
            Some(trip) if trip.until.since(now) > trip.back_off => Allowance::Probe,
            Some(trip) if now < trip.until => Allowance::None,
            Some(_) => Allowance::Probe,
        }
    }
}

/// What an outcome says of the version.
enum Verdict {
    /// It works: whatever it answers.
    Answered,
    /// It does not.
    Failed,
    /// The attempt was not its own to end.
    Neither,
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Succeeded | Outcome::Retry | Outcome::Permanent | Outcome::Conflict => {
            Verdict::Answered
        }
        Outcome::Trap
        | Outcome::Cpu
        | Outcome::Wall
        | Outcome::Memory
        | Outcome::Output
        | Outcome::Calls => Verdict::Failed,
        Outcome::HostLost | Outcome::KilledHost | Outcome::Cancelled | Outcome::Expired => {
            Verdict::Neither
        }
    }
}

impl Breaker {
    /// Takes in how an attempt ended that was started at a time.
    pub(super) fn ended(&self, outcome: Outcome, started_at: Timestamp, now: Timestamp) -> Change {
        self.state().ended(outcome, started_at, now)
    }

    /// How many runs may be tried now.
    pub(super) fn allowance(&self, now: Timestamp) -> Allowance {
        self.state().allowance(now)
    }

    /// Why the version is left alone, if it is.
    pub fn trip(&self) -> Option<Trip> {
        self.state().trip
    }

    /// Closes it, as if nothing had been.
    pub(super) fn close(&self) {
        self.state().close();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Trip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "tripped at {}: {} attempts in a row ended badly, the last with `{}`; \
             its runs wait until {}, then one of them is tried",
            self.since,
            self.streak,
            self.outcome.as_str(),
            self.until
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Change, State};
    use crate::clock::Timestamp;
    use crate::run::Outcome::{
        self, Calls, Cancelled, Conflict, Cpu, Expired, HostLost, KilledHost, Memory, Output,
        Permanent, Retry, Succeeded, Trap, Wall,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// Attempts that each took no time: when, and how they ended.
    fn after(attempts: &[(i64, Outcome)]) -> State {
        let mut state = State::default();
        for (seconds, outcome) in attempts {
            state.ended(*outcome, at(*seconds), at(*seconds));
        }
        state
    }

    /// Until when it is tripped, in seconds.
    fn until(state: &State) -> Option<i64> {
        state.trip.map(|trip| trip.until.seconds())
    }

    #[test]
    fn five_bad_ends_in_a_row_trip_it() {
        for (outcomes, tripped) in [
            (vec![Trap; 4], false),
            (vec![Trap; 5], true),
            (vec![Trap, Cpu, Wall, Memory, Output], true),
            (vec![Calls; 5], true),
            (vec![Trap, Trap, Trap, Trap, Succeeded, Trap], false),
            (vec![Trap, Trap, Trap, Trap, Retry, Trap], false),
            (vec![Trap, Trap, Trap, Trap, Permanent, Trap], false),
            (vec![Trap, Trap, Trap, Trap, Conflict, Trap], false),
            // Not its doing: neither good nor bad.
            (vec![Trap, Trap, Trap, Trap, HostLost, Trap], true),
            (vec![Trap, Trap, Trap, Trap, Cancelled, Trap], true),
            (
                vec![HostLost, KilledHost, Cancelled, Expired, HostLost],
                false,
            ),
            (vec![Retry; 20], false),
        ] {
            let attempts: Vec<_> = outcomes.iter().map(|outcome| (0, *outcome)).collect();
            let state = after(&attempts);
            assert_eq!(until(&state).is_some(), tripped, "{outcomes:?}");
        }
    }

    #[test]
    fn each_back_off_is_twice_as_long_up_to_half_an_hour() {
        let mut state = after(&[(0, Trap); 5]);
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..9 {
            let next = until(&state).unwrap();
            pauses.push(next - now);
            now = next;
            state.ended(Cpu, at(now), at(now));
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
        let trip = state.trip.unwrap();
        assert_eq!((trip.since, trip.outcome, trip.streak), (at(0), Cpu, 14));
        // Once it has answered, it begins with the first again.
        assert_eq!(state.ended(Retry, at(now), at(now)), Change::Closed);
        for _ in 0..5 {
            state.ended(Trap, at(now), at(now));
        }
        assert_eq!(until(&state), Some(now + 30));
    }

    #[test]
    fn after_the_back_off_one_probe_is_let_through() {
        let mut state = after(&[(10, Trap); 5]);
        for (seconds, expected) in [
            (9, Allowance::Probe),
            (10, Allowance::None),
            (39, Allowance::None),
            (40, Allowance::Probe),
            (4000, Allowance::Probe),
        ] {
            assert_eq!(state.allowance(at(seconds)), expected, "{seconds}");
        }
        // A probe whose host is told to stop says nothing.
        assert_eq!(state.ended(Cancelled, at(41), at(42)), Change::None);
        assert_eq!(state.allowance(at(42)), Allowance::Probe);
        assert_eq!(state.ended(Succeeded, at(42), at(43)), Change::Closed);
        assert_eq!(state.allowance(at(43)), Allowance::All);
    }

    #[test]
    fn attempts_that_were_under_way_do_not_lengthen_it() {
        for (started, ended, outcome, expected) in [
            (9, 11, Trap, Some(40)),
            // It takes longer than the back-off.
            (9, 50, Wall, Some(40)),
            (41, 50, Wall, Some(110)),
            // Good news is good news.
            (9, 11, Succeeded, None),
        ] {
            let mut state = after(&[(10, Trap); 5]);
            state.ended(outcome, at(started), at(ended));
            assert_eq!(until(&state), expected, "{started} {ended}");
        }
    }
}
