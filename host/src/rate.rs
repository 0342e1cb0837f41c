//! How many runs of a plugin may start in a time: the words for it, and the
//! arithmetic.
//!
//! Pure: the time and what is remembered are arguments. The one number that is
//! remembered is when the allowance would be whole again had every start so far
//! waited its turn (the theoretical arrival time of GCRA, ITU-T I.371); the store
//! keeps it, so that several hosts share one rate.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;

/// Most starts in a second: what lies closer together, microseconds cannot part.
const PER_SECOND_MAX: u64 = 10_000;
/// How far ahead of ours the clock that wrote a remembered time may be.
const CLOCK_DIFFERENCE_US: i64 = 60_000_000;

/// At most so many in a second, minute or hour: `3/s`, `100/m`, `10/h`.
///
/// Never more than 10,000 in a second. What was not used is kept for later up to
/// one second's worth, and one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// What a rate allows at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many may start now, at most as many as were wanted.
    pub count: u32,
    /// What is to be remembered if they do, in microseconds since 1970.
    pub tat_us: i64,
    /// When the next one may start after these; `now` if more may start at once.
    pub next_at: Timestamp,
}

/// Why a text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is something else.
    #[error(
        "`{0}` is not a rate: write a number from 1 and one of `/s`, `/m`, `/h`, such as `3/s`"
    )]
    NotARate(String),
    /// It is more than can be kept apart.
    #[error("`{0}` is more than {PER_SECOND_MAX} in a second")]
    TooMany(String),
}

impl Rate {
    /// So many in a second, 1 to 10,000.
    pub const fn per_second(count: u64) -> Self {
        Self {
            count,
            per: Per::Second,
        }
    }

    /// How many of `wanted` may start at `now`, given what was remembered after
    /// the last start: `tat_us`, in microseconds since 1970, 0 before the first.
    ///
    /// A remembered time that lies too far ahead comes from a slower rate or a
    /// clock that was wrong, and counts as none.
    pub fn allow(self, tat_us: i64, now: Timestamp, wanted: u32) -> Allowance {
        let now_us = now.millis().saturating_mul(1000);
        let interval_us = self.interval_us();
        let burst_us = interval_us.saturating_mul(self.burst());
        let believable_us = now_us
            .saturating_add(burst_us)
            .saturating_add(CLOCK_DIFFERENCE_US);
        let tat_us = if tat_us > believable_us { 0 } else { tat_us };
        let base_us = tat_us.max(now_us);
        let full_us = now_us.saturating_add(burst_us);
        let free = full_us.saturating_sub(base_us).max(0) / interval_us;
        let count = u32::try_from(free).unwrap_or(u32::MAX).min(wanted);
        let tat_us = match count {
            0 => tat_us,
            _ => base_us.saturating_add(interval_us.saturating_mul(i64::from(count))),
        };
        // The next one fits as soon as it and all before it lie within a burst.
        let next_us = tat_us
            .max(now_us)
            .saturating_add(interval_us)
            .saturating_sub(burst_us);
        let next_ms = next_us.div_euclid(1000) + i64::from(next_us.rem_euclid(1000) > 0);
        Allowance {
            count,
            tat_us,
            next_at: Timestamp::from_millis(next_ms).max(now),
        }
    }

    /// The time between two starts, rounded up so that the rate is never exceeded.
    fn interval_us(self) -> i64 {
        let interval = self.per.micros().div_ceil(self.count);
        i64::try_from(interval).unwrap_or(i64::MAX)
    }

    /// How many may start at once after a pause: one second's worth, at least 1.
    fn burst(self) -> i64 {
        let per_second = self.count.saturating_mul(1_000_000) / self.per.micros();
        i64::try_from(per_second).unwrap_or(i64::MAX).max(1)
    }
}

impl Per {
    const fn micros(self) -> u64 {
        match self {
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError::NotARate(text.to_owned());
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(wrong()),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let too_many = || RateError::TooMany(text.to_owned());
        let count: u64 = number.parse().map_err(|_| too_many())?;
        match count {
            0 => Err(wrong()),
            count if count > per.micros() / 1_000_000 * PER_SECOND_MAX => Err(too_many()),
            count => Ok(Self { count, per }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, CLOCK_DIFFERENCE_US, Rate, RateError, Timestamp};

    const START_MS: i64 = 1_700_000_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(START_MS + ms)
    }

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_read_and_written() {
        for text in ["1/s", "3/s", "100/m", "10/h", "10000/s", "36000000/h"] {
            assert_eq!(rate(text).to_string(), text);
        }
        for bad in [
            "", "3", "/s", "3/", "0/s", "-1/s", "+1/s", "1.5/s", "3/d", "3/S", "3 /s", "3/s/s",
            "s/3",
        ] {
            let error = bad.parse::<Rate>().unwrap_err();
            assert_eq!(error, RateError::NotARate(bad.to_owned()), "{bad}");
        }
        for many in ["10001/s", "600001/m", "99999999999999999999/s"] {
            let error = many.parse::<Rate>().unwrap_err();
            assert_eq!(error, RateError::TooMany(many.to_owned()), "{many}");
        }
    }

    /// Each step: at this time so many are wanted, so many may start, and the next
    /// one so many milliseconds after the start.
    #[track_caller]
    fn check(text: &str, steps: &[(i64, u32, u32, i64)]) {
        let mut tat_us = 0;
        for (ms, wanted, count, next_ms) in steps {
            let allowance = rate(text).allow(tat_us, at(*ms), *wanted);
            let seen = (allowance.count, allowance.next_at);
            assert_eq!(seen, (*count, at(*next_ms)), "{text} at {ms} ms");
            tat_us = allowance.tat_us;
        }
    }

    #[test]
    fn one_seconds_worth_may_start_at_once_and_then_one_at_a_time() {
        check(
            "3/s",
            &[
                (0, 0, 0, 0),
                (0, 2, 2, 0),
                (0, 5, 1, 334),
                (333, 5, 0, 334),
                (334, 5, 1, 667),
                (5000, 5, 3, 5334),
            ],
        );
        check(
            "10/h",
            &[
                (0, 5, 1, 360_000),
                (359_999, 5, 0, 360_000),
                (360_000, 5, 1, 720_000),
                (9_000_000, 5, 1, 9_360_000),
            ],
        );
        check(
            "100/m",
            &[(0, 1, 1, 600), (300, 1, 0, 600), (600, 1, 1, 1200)],
        );
        check(
            "1000/s",
            &[(0, 2000, 1000, 1), (1, 2000, 1, 2), (500, 2000, 499, 501)],
        );
    }

    #[test]
    fn the_rate_is_kept_in_the_long_run() {
        for (text, seconds, most) in [
            ("1000/s", 10, 11_000),
            ("7/s", 100, 707),
            ("10000/s", 5, 60_000),
            ("100/m", 600, 1001),
        ] {
            let (mut tat_us, mut total) = (0, 0);
            for ms in 0..seconds * 1000 {
                let allowance = rate(text).allow(tat_us, at(ms), 100_000);
                tat_us = allowance.tat_us;
                total += allowance.count;
            }
            assert!(total <= most, "{text}: {total}");
            assert!(total * 100 >= most * 98, "{text}: {total}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_right_counts_as_none() {
        let now_us = START_MS * 1000;
        let hour_us = 3_600_000_000;
        let full = Allowance {
            count: 1,
            tat_us: now_us + 1_000_000,
            next_at: at(1000),
        };
        for wrong in [now_us + hour_us, i64::MAX, 0, i64::MIN] {
            assert_eq!(rate("1/s").allow(wrong, at(0), 9), full, "{wrong}");
        }
        // One that another host's clock explains is kept.
        let ahead = now_us + CLOCK_DIFFERENCE_US;
        let allowance = rate("1/s").allow(ahead, at(0), 9);
        assert_eq!((allowance.count, allowance.tat_us), (0, ahead));
        assert_eq!(allowance.next_at, at(60_000));
        // The ends of time do not overflow.
        for ms in [i64::MIN, i64::MAX] {
            rate("1/h").allow(0, Timestamp::from_millis(ms), u32::MAX);
        }
    }
}
