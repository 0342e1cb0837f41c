//! Durations and sizes as people write them: `30s`, `250ms`, `24h`, `64MiB`.

use std::time::Duration;

/// Most digits of the number of a place.
const PLACE_DIGITS_MAX: usize = 19;

/// Why a text is not a duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error(
        "`{0}` is not a duration: write a number and one of `ms`, `s`, `m`, `h`, `d`, such as `30s`"
    )]
    Duration(String),
    #[error(
        "`{0}` is not a size: write a number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`, such as `64MiB`"
    )]
    Size(String),
}

/// Reads the number of a place in something long: 1 to 19 digits. One that no place can have
/// is the highest.
pub(crate) fn place(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok();
    let number = number.filter(|_| is_number && text.len() <= PLACE_DIGITS_MAX)?;
    Some(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Reads a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let (number, unit) = split(text);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// Reads a size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::Size(text.to_owned());
    let (number, unit) = split(text);
    let unit_bytes: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_bytes).ok_or_else(wrong)
}

/// A duration as it would be set: `30s`, `365d`.
pub(crate) fn readable_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    for (unit_ms, unit) in units {
        if ms > 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// A size as people read it: `25 MiB`, `1.2 MiB`, `512 B`.
pub(crate) fn readable_size(bytes: u64) -> String {
    let units = [
        (1u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit_bytes, unit) in units {
        if bytes >= unit_bytes {
            let tenths = bytes.saturating_mul(10) / unit_bytes;
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                rest => format!("{}.{rest} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::{Duration, duration, place, readable_duration, readable_size, size};

    #[test]
    fn units_are_read() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5 m", 300_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 minutes",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(size("25MiB"), Ok(25 << 20));
        assert_eq!(size("7 B"), Ok(7));
        for text in ["", "MiB", "5MB", "5"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_read() {
        for (text, number) in [
            ("0", Some(0)),
            ("0017", Some(17)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9999999999999999999", Some(i64::MAX)),
            ("10000000000000000000", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
        ] {
            assert_eq!(place(text), number, "{text}");
        }
    }

    #[test]
    fn durations_read_back() {
        for text in ["0ms", "1ms", "1500ms", "90s", "5m", "25h", "3650d"] {
            assert_eq!(readable_duration(duration(text).unwrap()), text);
        }
        assert_eq!(readable_duration(Duration::from_mins(60)), "1h");
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1_258_292, "1.2 MiB"),
            (25 << 20, "25 MiB"),
            (1 << 50, "1024 TiB"),
        ] {
            assert_eq!(readable_size(bytes), text);
        }
    }
}
