//! Points in time, and where they come from.
//!
//! Everything below the rim takes a [`Timestamp`] or a [`Clock`] as an argument;
//! nothing else in the host asks the operating system what time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// Most digits of Unix seconds: to the year 5138. With a minus one less, from 1653.
const SECONDS_DIGITS_MAX: usize = 11;

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

    /// Reads RFC 3339 (`2026-11-22T01:30:00Z`) or whole Unix seconds, of as many digits as
    /// RFC 3339 has years for.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, is_negative) = match text.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let seconds = number(digits.as_bytes()).filter(|_| {
            let digits_max = SECONDS_DIGITS_MAX - usize::from(is_negative);
            digits.len() <= digits_max
        });
        match seconds {
            Some(seconds) if is_negative => Some(Self(-seconds * 1000)),
            Some(seconds) => Some(Self(seconds * 1000)),
            None => rfc_3339(text.as_bytes()),
        }
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

/// A `date-time` (RFC 3339 section 5.6), nothing more and nothing less; what its offset takes
/// out of the years that can be written is the first or the last of them.
fn rfc_3339(text: &[u8]) -> Option<Timestamp> {
    let (year, text) = field(text, 4)?;
    let (month, text) = field(after(text, b"-")?, 2)?;
    let (day, text) = field(after(text, b"-")?, 2)?;
    let (hour, text) = field(after(text, b"Tt")?, 2)?;
    let (minute, text) = field(after(text, b":")?, 2)?;
    let (second, text) = field(after(text, b":")?, 2)?;
    // A leap second may be in any minute: offsets move it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let date = jiff::civil::Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let midnight = date.ok()?.duration_since(jiff::civil::date(1970, 1, 1));
    let (fraction, text) = match after(text, b".") {
        Some(text) => {
            let end = text.iter().position(|byte| !byte.is_ascii_digit());
            text.split_at_checked(end.filter(|end| *end > 0)?)?
        }
        None => (&[][..], text),
    };
    let thousandths = [100, 10, 1].into_iter().zip(fraction);
    let fraction_ms: i64 = thousandths
        .map(|(worth, digit)| worth * i64::from(digit - b'0'))
        .sum();
    let seconds = midnight.as_secs() + (hour * 60 + minute) * 60 + second.min(59);
    let ms = (seconds - offset(text)? * 60) * 1000 + fraction_ms;
    let first = -62_167_219_200_000;
    let last = jiff::Timestamp::MAX.as_second() * 1000;
    Some(Timestamp(ms.clamp(first, last)))
}

/// How many minutes before UTC a place is: `Z`, or `+02:00`.
fn offset(text: &[u8]) -> Option<i64> {
    if text.eq_ignore_ascii_case(b"Z") {
        return Some(0);
    }
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, text) = field(&text[1..], 2)?;
    let (minutes, text) = field(after(text, b":")?, 2)?;
    let is_offset = hours <= 23 && minutes <= 59 && text.is_empty();
    is_offset.then_some(sign * (hours * 60 + minutes))
}

/// The number in the first `digits` bytes, and what is behind them.
fn field(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (field, rest) = text.split_at_checked(digits)?;
    Some((number(field)?, rest))
}

/// What is behind a byte that is one of these.
fn after<'a>(text: &'a [u8], any: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = text.split_first()?;
    any.contains(first).then_some(rest)
}

/// A number of digits and nothing else.
fn number(text: &[u8]) -> Option<i64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
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
    }

    #[test]
    fn takes_what_rfc_3339_has_and_no_other_way_to_write_a_time() {
        for (text, time) in [
            ("2026-11-22T01:30:00Z", "2026-11-22T01:30:00.000Z"),
            ("2026-11-22t01:30:00z", "2026-11-22T01:30:00.000Z"),
            ("2026-11-22T01:30:00+02:00", "2026-11-21T23:30:00.000Z"),
            ("2026-11-22T01:30:00-23:59", "2026-11-23T01:29:00.000Z"),
            ("2026-11-22T01:30:00-00:00", "2026-11-22T01:30:00.000Z"),
            ("2026-11-22T01:30:00.5Z", "2026-11-22T01:30:00.500Z"),
            (
                "2026-11-22T01:30:00.1239999999999999Z",
                "2026-11-22T01:30:00.123Z",
            ),
            ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59.000Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("0000-01-01T00:00:00+23:59", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59-23:59", "9999-12-30T22:00:00.000Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            ("-9999999999", "1653-02-10T06:13:21.000Z"),
            ("99999999999", "5138-11-16T09:46:39.000Z"),
        ] {
            let read = Timestamp::parse(text).map(|time| time.to_string());
            assert_eq!(read.as_deref(), Some(time), "{text}");
        }
        for text in [
            "",
            "-",
            "+5",
            "1.5",
            " 5",
            "-99999999999",
            "999999999999",
            "yesterday",
            "2026-11-22",
            "2026-11-22T01:30Z",
            "2026-11-22T01:30:00",
            "2026-11-22 01:30:00Z",
            "2026-11-22T01:30:00.Z",
            "2026-11-22T01:30:00,5Z",
            "2026-11-22T01:30:00.5",
            "2026-11-22T01:30:00+0200",
            "2026-11-22T01:30:00+24:00",
            "2026-11-22T01:30:00+02:60",
            "2026-11-22T01:30:00Z[UTC]",
            "2026-11-22T24:00:00Z",
            "2026-11-22T01:60:00Z",
            "2026-11-22T01:30:61Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "+002026-11-22T01:30:00Z",
            "2026-11-22T01:3é:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
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
