//! Whether a clock goes with the time that passes, or was set. Pure.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;

/// Less is what any clock does, or a machine that is busy.
const JUMP_MIN: Duration = Duration::from_mins(1);

/// What a clock said, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace(Option<(Timestamp, Instant)>);

/// What a clock did beyond the time that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    None,
    Ahead(Duration),
    Back(Duration),
}

impl Pace {
    /// The pace of a clock that said `seen`, if anything, the last time that anybody
    /// looked, by all that is known of it long before `now`: that it was ahead of that
    /// says nothing.
    pub(super) fn since(seen: Option<Timestamp>, now: Timestamp, at: Instant) -> Self {
        let seen = seen.map_or(now, |seen| seen.max(now));
        Self(Some((seen, at)))
    }

    /// Whether it was looked at before.
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// What the clock did since it was followed the last time.
    pub(super) fn jump(&self, now: Timestamp, at: Instant) -> Jump {
        let Some((said, looked)) = self.0 else {
            return Jump::None;
        };
        let expected = said.plus(at.saturating_duration_since(looked));
        let (ahead, back) = (now.since(expected), expected.since(now));
        if ahead >= JUMP_MIN {
            Jump::Ahead(ahead)
        } else if back >= JUMP_MIN {
            Jump::Back(back)
        } else {
            Jump::None
        }
    }

    /// Goes on from here.
    pub(super) fn follow(&mut self, now: Timestamp, at: Instant) {
        self.0 = Some((now, at));
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Jump, Pace, Timestamp};

    const HOUR: Duration = Duration::from_hours(1);
    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    #[test]
    fn a_jump_is_what_goes_beyond_the_time_that_passed() {
        let start = Instant::now();
        let hour_later = start.checked_add(HOUR).unwrap();
        for (now, at, expected) in [
            (NOW, start, Jump::None),
            (NOW.plus(HOUR), hour_later, Jump::None),
            (NOW.plus(Duration::from_secs(59)), start, Jump::None),
            (NOW.minus(Duration::from_secs(59)), start, Jump::None),
            (NOW.plus(HOUR), start, Jump::Ahead(HOUR)),
            (NOW.plus(3 * HOUR), hour_later, Jump::Ahead(2 * HOUR)),
            (NOW, hour_later, Jump::Back(HOUR)),
            (NOW.minus(HOUR), start, Jump::Back(HOUR)),
        ] {
            let mut pace = Pace::default();
            assert_eq!(pace.jump(now, at), Jump::None, "nothing is known");
            pace.follow(NOW, start);
            assert_eq!(pace.jump(now, at), expected);
            pace.follow(now, at);
            assert_eq!(pace.jump(now, at), Jump::None, "it was followed");
        }
    }

    #[test]
    fn what_was_seen_before_a_start_tells_only_of_a_clock_that_is_behind_it() {
        let at = Instant::now();
        for (seen, expected) in [
            (None, Jump::None),
            (Some(NOW.minus(HOUR)), Jump::None),
            (Some(NOW), Jump::None),
            (Some(NOW.plus(HOUR)), Jump::Back(HOUR)),
        ] {
            assert_eq!(Pace::since(seen, NOW, at).jump(NOW, at), expected);
        }
    }
}
