//! How single values read on a page. Everything here is pure; `now` is an argument.

use std::borrow::Borrow;

use crate::clock::Timestamp;

/// Stands where there is nothing to say.
pub(super) const NOTHING: &str = "–";

/// An RFC 3339 time as the distance from `now`: `12 s ago`, `in 3 min`.
pub(super) fn ago(time: &str, now: &Timestamp) -> String {
    let Some(then) = Timestamp::parse(time) else {
        return time.to_owned();
    };
    let ms = now.millis() - then.millis();
    let amount = match ms.unsigned_abs() / 1000 {
        0 => return "now".to_owned(),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    };
    if ms < 0 {
        format!("in {amount}")
    } else {
        format!("{amount} ago")
    }
}

/// A time for people, to the second: `2026-11-22 03:01:36 UTC`.
pub(super) fn moment(time: &str) -> String {
    match Timestamp::parse(time).map(|time| time.to_string()) {
        Some(text) if text.len() > 19 => format!("{} {} UTC", &text[..10], &text[11..19]),
        _ => time.to_owned(),
    }
}

/// The time of day, to the millisecond: `03:01:36.791`.
pub(super) fn clock(time: &str) -> String {
    match Timestamp::parse(time).map(|time| time.to_string()) {
        Some(text) if text.len() > 23 => text[11..23].to_owned(),
        _ => time.to_owned(),
    }
}

/// A number of bytes.
pub(super) fn size(bytes: impl Borrow<i64>) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let bytes = *bytes.borrow();
    if bytes.abs() < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.abs() < 10.0 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A duration in milliseconds, with three digits that count.
pub(super) fn millis(ms: impl Borrow<f64>) -> String {
    let ms = *ms.borrow();
    if ms < 1.0 {
        format!("{:.0} µs", ms * 1000.0)
    } else if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else if ms < 60_000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        seconds((ms / 1000.0).round().max(0.0))
    }
}

/// Whole seconds, in the largest two units.
pub(super) fn seconds(seconds: impl Borrow<f64>) -> String {
    let s = *seconds.borrow() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(number: impl Borrow<i64>) -> String {
    let number = *number.borrow();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// As many of a thing: `1 run`, `2 runs`.
pub(super) fn counted(number: impl Borrow<i64>, thing: &str) -> String {
    let number = *number.borrow();
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {thing}{ending}", count(number))
}

/// The beginning of a digest or an id, enough to tell them apart.
pub(super) fn short(text: &str) -> &str {
    text.get(..12).unwrap_or(text)
}

/// The beginning of a text, of so many characters.
pub(super) fn beginning(text: &str, chars: usize) -> &str {
    match text.char_indices().nth(chars) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// With a capital letter at its start.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ago, beginning, capitalised, clock, count, counted, millis, moment, seconds, size,
    };
    use crate::clock::Timestamp;

    #[test]
    fn values_read_as_people_write_them() {
        assert_eq!(
            [0, 1023, 1024, 10 << 10, 5 << 30].map(size),
            ["0 B", "1023 B", "1.0 KiB", "10 KiB", "5.0 GiB"]
        );
        assert_eq!(
            [0.25, 1.24, 12.4, 1240.0, 125_000.0].map(millis),
            ["250 µs", "1.2 ms", "12 ms", "1.2 s", "2 min 5 s"]
        );
        assert_eq!(seconds(90_061.0), "1 d 1 h");
        assert_eq!(
            [7, 1234, 1_234_567, -1000].map(count),
            [
                "7",
                "1\u{202f}234",
                "1\u{202f}234\u{202f}567",
                "−1\u{202f}000"
            ]
        );
        assert_eq!([counted(1, "run"), counted(2, "run")], ["1 run", "2 runs"]);
        assert_eq!(beginning("näht", 2), "nä");
        assert_eq!(capitalised("not found"), "Not found");
    }

    #[test]
    fn times_are_told_by_their_distance_and_as_they_are() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        for (time, told) in [
            ("2026-11-22T12:00:00.900Z", "now"),
            ("2026-11-22T11:59:48Z", "12 s ago"),
            ("2026-11-22T12:03:00Z", "in 3 min"),
            ("2026-11-21T12:00:00Z", "24 h ago"),
            ("2026-11-02T12:00:00Z", "20 d ago"),
            ("no time", "no time"),
        ] {
            assert_eq!(ago(time, &now), told, "{time}");
        }
        assert_eq!(
            moment("2026-11-22T03:01:36.791Z"),
            "2026-11-22 03:01:36 UTC"
        );
        assert_eq!(clock("2026-11-22T03:01:36.791Z"), "03:01:36.791");
        assert_eq!(moment("<b>"), "<b>");
    }
}
