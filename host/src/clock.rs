//! Points in time, and where they come from.
//!
//! Everything below the rim takes a [`Timestamp`] or a [`Clock`] as an argument;
//! nothing else in the host asks the operating system what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, as the store keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Tells the time; a handle that tests replace.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    is_of_machine: bool,
}

/// The clock of another machine, as last heard and carried on by the time that has
/// passed here since: a jump of this machine's own clock does not touch it.
#[derive(Debug)]
pub struct HeardClock {
    start: Instant,
    /// Its time when `start` was.
    at_start_ms: AtomicI64,
}

impl Timestamp {
    /// The instant `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds after the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds after the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The start of the minute this instant is in.
    pub const fn minute(self) -> Self {
        Self(self.0 - self.0.rem_euclid(60_000))
    }

    /// This instant moved later, without overflow.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This instant moved earlier, without overflow.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this instant is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 (`2026-11-22T01:30:00Z`) or whole Unix seconds.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<i64>() {
            return seconds.checked_mul(1000).map(Self);
        }
        let instant: jiff::Timestamp = text.parse().ok()?;
        Some(Self(instant.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-22T01:30:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self::of_machine(|| Timestamp(jiff::Timestamp::now().as_millisecond()))
    }

    /// A machine's own clock, which may be wrong: where the database has one too, that
    /// is gone by.
    pub fn of_machine(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            is_of_machine: true,
        }
    }

    /// A clock that answers with what `now` returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            is_of_machine: false,
        }
    }

    /// Whether it is a machine's own, not one that somebody set.
    pub fn is_of_machine(&self) -> bool {
        self.is_of_machine
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }
}

impl HeardClock {
    /// A clock that said `now` just now.
    pub fn new(now: Timestamp) -> Self {
        Self {
            start: Instant::now(),
            at_start_ms: AtomicI64::new(now.millis()),
        }
    }

    /// Notes what it says just now.
    pub fn hear(&self, now: Timestamp) {
        let at_start = now.minus(self.start.elapsed());
        self.at_start_ms.store(at_start.millis(), Ordering::Relaxed);
    }

    /// The present instant, by it.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.at_start_ms.load(Ordering::Relaxed)).plus(self.start.elapsed())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Whole milliseconds of a duration, at most `i64::MAX`.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Timestamp};

    #[test]
    fn reads_and_writes_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2026-11-22T01:30:00.250Z", 1_795_311_000_250),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(Timestamp::from_millis(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp::from_millis(ms)));
        }
        assert_eq!(
            Timestamp::parse("1700000000"),
            Some(Timestamp::from_millis(1_700_000_000_000))
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn arithmetic_does_not_overflow() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::from_millis(5).since(end), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(61_234).minute().millis(), 60_000);
        assert_eq!(Timestamp::from_millis(-1).minute().millis(), -60_000);
    }
}
