//! The time of signing: where it stands, how it is written, how far it may be from ours.

use std::str::FromStr;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::ingest::verify::Rejection;
use crate::json::Pointer;

use super::SchemeError;
use super::selector::HeaderNames;

/// A time that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub place: TimestampPlace,
    /// How it is written.
    pub format: TimestampFormat,
    /// How far it may be from the time of receipt; none if that is not looked at.
    pub tolerance: Option<Tolerance>,
}

/// Where the time of signing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a header of its own.
    Header(HeaderNames),
    /// Beside the signatures, in their header.
    WithSignature,
    /// In the signed JSON body.
    Body {
        /// Where.
        pointer: Pointer,
        /// Whether only a JSON number will do.
        is_number: bool,
    },
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339, with any offset and any number of decimals; without an offset it is UTC.
    Rfc3339,
    /// The date of HTTP headers (RFC 9110 section 5.6.7).
    HttpDate,
}

/// How far the time of signing may be from the time of receipt; exactly as far is still
/// near enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How old.
    pub past: Duration,
    /// How far ahead of our clock.
    pub future: Duration,
}

impl TimestampRule {
    /// What the place is called in a rejection.
    pub fn place_name(&self) -> String {
        match &self.place {
            TimestampPlace::Header(names) => format!("header `{names}`"),
            TimestampPlace::WithSignature => "the time beside the signature".to_owned(),
            TimestampPlace::Body { pointer, .. } => format!("`{pointer}` in the body"),
        }
    }

    /// The time a text says, if it is near enough to `now` or nobody asks.
    ///
    /// # Errors
    /// The text is no time of the format, or not near enough.
    pub fn check(&self, text: &str, now: Timestamp) -> Result<Option<Timestamp>, Rejection> {
        let Some(tolerance) = self.tolerance else {
            return Ok(self.format.read(text));
        };
        let malformed = || Rejection::MalformedTimestamp(self.place_name());
        let signed = self.format.read(text).ok_or_else(malformed)?;
        tolerance.check(signed, self.format.rounded(now))?;
        Ok(Some(signed))
    }
}

impl TimestampFormat {
    /// The time that a text says.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let number = || {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<i64>().ok())?
        };
        match self {
            Self::Seconds => number()?.checked_mul(1000).map(Timestamp::from_millis),
            Self::Milliseconds => number().map(Timestamp::from_millis),
            Self::Rfc3339 => {
                let instant = text.parse().or_else(|_| format!("{text}Z").parse());
                let instant: jiff::Timestamp = instant.ok()?;
                Some(Timestamp::from_millis(instant.as_millisecond()))
            }
            Self::HttpDate => {
                let since = httpdate::parse_http_date(text)
                    .ok()?
                    .duration_since(std::time::UNIX_EPOCH)
                    .ok()?;
                Some(Timestamp::from_millis(millis(since)))
            }
        }
    }

    /// A time as the sender writes it.
    pub fn write(self, time: Timestamp) -> String {
        match self {
            Self::Seconds => time.seconds().to_string(),
            Self::Milliseconds => time.millis().to_string(),
            Self::Rfc3339 => time.to_string(),
            Self::HttpDate => {
                let ms = u64::try_from(time.millis()).unwrap_or(0);
                httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(ms))
            }
        }
    }

    /// `now` without what the format cannot say, so that a tolerance is not shortened by
    /// a fraction that the sender had to leave out.
    fn rounded(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Seconds | Self::HttpDate => {
                Timestamp::from_millis(now.seconds().saturating_mul(1000))
            }
            Self::Milliseconds | Self::Rfc3339 => now,
        }
    }
}

impl Tolerance {
    /// The same into the past and into the future.
    pub const fn both(tolerance: Duration) -> Self {
        Self {
            past: tolerance,
            future: tolerance,
        }
    }

    /// Whether a time of signing is near enough.
    ///
    /// # Errors
    /// [`Rejection::Stale`] or [`Rejection::Future`].
    pub fn check(self, signed: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        let seconds = |ms: i64| ms.unsigned_abs().div_ceil(1000);
        let age = now.millis().saturating_sub(signed.millis());
        if age > millis(self.past) {
            return Err(Rejection::Stale {
                age_s: seconds(age),
                tolerance_s: self.past.as_secs(),
            });
        }
        if age.saturating_neg() > millis(self.future) {
            return Err(Rejection::Future {
                ahead_s: seconds(age),
                tolerance_s: self.future.as_secs(),
            });
        }
        Ok(())
    }
}

impl FromStr for TimestampFormat {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        match text {
            "seconds" => Ok(Self::Seconds),
            "milliseconds" => Ok(Self::Milliseconds),
            "rfc3339" => Ok(Self::Rfc3339),
            "http-date" => Ok(Self::HttpDate),
            other => Err(SchemeError::TimestampFormat(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Rejection, Timestamp, TimestampFormat, TimestampPlace, TimestampRule};
    use super::{SchemeError, Tolerance};

    #[test]
    fn formats_are_read_strictly_and_written() {
        use TimestampFormat::{HttpDate, Milliseconds, Rfc3339, Seconds};
        let at = |ms| Some(Timestamp::from_millis(ms));
        for (format, text, expected) in [
            (Seconds, "1700000000", at(1_700_000_000_000)),
            (Seconds, "", None),
            (Seconds, "+1700000000", None),
            (Seconds, "-1", None),
            (Seconds, " 1700000000", None),
            (Seconds, "1700000000.5", None),
            (Seconds, "9223372036854775807", None),
            (Seconds, "soon", None),
            (Milliseconds, "1700000000123", at(1_700_000_000_123)),
            (Rfc3339, "2020-01-01T00:00:00-07:00", at(1_577_862_000_000)),
            (
                Rfc3339,
                "2023-07-19T10:11:12.634234626Z",
                at(1_689_761_472_634),
            ),
            (Rfc3339, "2024-03-27T15:42:29.551", at(1_711_554_149_551)),
            (Rfc3339, "2023-07-19", None),
            (Rfc3339, "2023-07-19T10:11:12ZZ", None),
            (Rfc3339, "", None),
            (
                HttpDate,
                "Tue, 14 Nov 2023 22:13:20 GMT",
                at(1_700_000_000_000),
            ),
            (HttpDate, "1700000000", None),
        ] {
            assert_eq!(format.read(text), expected, "{text}");
        }
        let time = Timestamp::from_millis(1_700_000_000_000);
        for format in [Seconds, Milliseconds, Rfc3339, HttpDate] {
            assert_eq!(format.read(&format.write(time)), Some(time));
        }
        assert_eq!(
            "days".parse::<TimestampFormat>(),
            Err(SchemeError::TimestampFormat("days".into()))
        );
    }

    #[test]
    fn exactly_as_far_is_near_enough() {
        let rule = |format| TimestampRule {
            place: TimestampPlace::WithSignature,
            format,
            tolerance: Some(Tolerance {
                past: Duration::from_mins(5),
                future: Duration::ZERO,
            }),
        };
        let seconds = rule(TimestampFormat::Seconds);
        for (now_ms, expected) in [
            (
                1_700_000_300_999,
                Ok(Some(Timestamp::from_millis(1_700_000_000_000))),
            ),
            (
                1_700_000_301_000,
                Err(Rejection::Stale {
                    age_s: 301,
                    tolerance_s: 300,
                }),
            ),
            (
                1_700_000_000_000,
                Ok(Some(Timestamp::from_millis(1_700_000_000_000))),
            ),
            (
                1_699_999_999_999,
                Err(Rejection::Future {
                    ahead_s: 1,
                    tolerance_s: 0,
                }),
            ),
            (
                i64::MIN,
                Err(Rejection::Future {
                    ahead_s: 9_223_372_036_854_776,
                    tolerance_s: 0,
                }),
            ),
        ] {
            let found = seconds.check("1700000000", Timestamp::from_millis(now_ms));
            assert_eq!(found, expected, "{now_ms}");
        }
        let fine = rule(TimestampFormat::Milliseconds);
        let at = |now_ms| fine.check("1700000000000", Timestamp::from_millis(now_ms));
        assert!(at(1_700_000_300_000).is_ok() && at(1_700_000_300_001).is_err());
        let unasked = TimestampRule {
            tolerance: None,
            ..seconds
        };
        assert_eq!(unasked.check("whenever", Timestamp::default()), Ok(None));
    }
}
