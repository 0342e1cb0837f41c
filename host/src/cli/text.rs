//! How single values read in a terminal: payload text made harmless, times, durations, sizes.
//!
//! Everything here is pure; `now` is an argument. Whole tables are [`super::table`]'s.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;

/// The greatest age of a moment: a hundred years, in seconds.
const AGE_S_MAX: u64 = 100 * 366 * 86_400;

/// Stands where the API has nothing to say.
const NOTHING: &str = "-";

/// One line of text from outside: nothing in it can move the cursor, colour the terminal or
/// turn the reading direction. What could is shown as an escape.
pub(crate) fn harmless(text: &str) -> String {
    escape(text, is_unsafe, |c| c.escape_default().to_string())
}

/// Like [`harmless`], but lines stay lines.
pub(crate) fn harmless_lines(text: &str) -> String {
    let is_unsafe_here = |c| c != '\n' && is_unsafe(c);
    escape(text, is_unsafe_here, |c| c.escape_default().to_string())
}

/// JSON text, already serialised: what a terminal could act on becomes a JSON escape, so that
/// the value stays the same. Such characters stand only inside strings, except newlines.
pub(crate) fn harmless_json(json: &str) -> String {
    let is_unsafe_here = |c| c != '\n' && is_unsafe(c);
    escape(json, is_unsafe_here, |c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .fold(String::new(), |mut escaped, unit| {
                write!(escaped, "\\u{unit:04x}").expect("a String takes every write");
                escaped
            })
    })
}

fn escape(text: &str, is_unsafe: impl Fn(char) -> bool, show: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            safe.push_str(&show(c))
        } else {
            safe.push(c)
        }
    }
    safe
}

/// Control characters; bidirectional marks, embeddings, overrides and isolates (Unicode TR 9);
/// line separators and characters that nobody can see.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text, or a dash where there is none.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or(NOTHING)
        .to_owned()
}

/// An RFC 3339 time as the distance from `now`: `12 s ago`, `in 3 min`. What is no time is
/// shown as it is.
pub(crate) fn relative(time: Option<&str>, now: Timestamp) -> String {
    let Some(time) = time else {
        return NOTHING.to_owned();
    };
    Timestamp::parse(time).map_or_else(|| time.to_owned(), |then| distance(then, now))
}

/// The RFC 3339 time and how far it is from `now`: `2026-01-01T00:00:00Z (12 s ago)`.
pub(crate) fn time(time: Option<&str>, now: Timestamp) -> String {
    let Some(time) = time else {
        return NOTHING.to_owned();
    };
    Timestamp::parse(time).map_or_else(
        || time.to_owned(),
        |then| format!("{time} ({})", distance(then, now)),
    )
}

/// How far `then` is from `now`, in the largest unit of which there is at least one.
pub(crate) fn distance(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.seconds() - then.seconds();
    let amount = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..86_400 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    };
    if seconds < 0 {
        format!("in {amount}")
    } else {
        format!("{amount} ago")
    }
}

/// A moment that a user names: RFC 3339, a date (its midnight UTC), or an age such as `90s`,
/// `15m`, `2h`, `7d`.
///
/// # Errors
/// The text is none of these.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let point = if is_number {
        None
    } else {
        Timestamp::parse(text)
    };
    let midnight = || Timestamp::parse(&format!("{text}T00:00:00Z"));
    point
        .or_else(midnight)
        .map(Moment::At)
        .or_else(|| age(text).map(Moment::Ago))
        .ok_or_else(|| {
            "expected a time such as 2026-01-31T12:00:00Z, a date, or an age such as 15m, 2h, 7d"
                .to_owned()
        })
}

/// A time span that a user names: `90s`, `15m`, `2h`, `7d`.
///
/// # Errors
/// The text is none.
pub(crate) fn age_of(text: &str) -> Result<Duration, String> {
    let days = AGE_S_MAX / 86_400;
    age(text).ok_or_else(|| format!("expected an age such as 15m, 2h, 90d, at most {days}d"))
}

fn age(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(split);
    let unit_s = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let age_s = count.parse::<u64>().ok()?.checked_mul(unit_s)?;
    (age_s <= AGE_S_MAX).then(|| Duration::from_secs(age_s))
}

/// A moment, fixed or counted back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This very moment.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// The moment in RFC 3339, as the API takes it.
    pub(crate) fn rfc3339(self, now: Timestamp) -> String {
        match self {
            Self::At(at) => at.to_string(),
            Self::Ago(age) => now.minus(age).to_string(),
        }
    }
}

/// Milliseconds as people say them: `340 ms`, `1.2 s`, `3 min 5 s`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000.. => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// Bytes as people say them: `340 B`, `1.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} B")
}

/// As many leading characters of a digest as tell two versions apart.
pub(crate) fn short_digest(digest: Option<&str>) -> String {
    or_dash(digest.map(|digest| {
        digest
            .char_indices()
            .nth(12)
            .map_or(digest, |(end, _)| &digest[..end])
    }))
}

/// A JSON value on one line: text as it is, a list with commas, `code: message` for an error,
/// a dash for nothing, all else as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => or_dash(Some(text)),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) => items.iter().map(self::value).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("code"), fields.get("message")) {
            (Some(Value::String(code)), Some(Value::String(message))) => {
                format!("{code}: {message}")
            }
            (_, _) => value.to_string(),
        },
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
