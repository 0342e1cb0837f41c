//! Rows for the pure functions that show one value.

use serde_json::json;

use super::{distance, duration, harmless, harmless_json, harmless_lines, moment, size, value};
use crate::clock::Timestamp;

const NOW: &str = "2026-03-04T12:00:00Z";

fn at(time: &str) -> Timestamp {
    Timestamp::parse(time).expect("a time")
}

fn now() -> Timestamp {
    at(NOW)
}

#[test]
fn payload_text_cannot_act_on_the_terminal() {
    for (text, shown) in [
        ("plain, naïve 日本 👍", "plain, naïve 日本 👍"),
        ("red \u{1b}[31m", "red \\u{1b}[31m"),
        ("c1 \u{9b}2J", "c1 \\u{9b}2J"),
        ("two\r\nlines\ttab", "two\\r\\nlines\\ttab"),
        ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
        ("iso\u{2066}late", "iso\\u{2066}late"),
        (
            "del\u{7f} bom\u{feff} tag\u{e0041}",
            "del\\u{7f} bom\\u{feff} tag\\u{e0041}",
        ),
    ] {
        assert_eq!(harmless(text), shown);
    }
    assert_eq!(harmless_lines("a\nb\u{7}"), "a\nb\\u{7}");
}

#[test]
fn json_keeps_its_value() {
    let value = json!({ "k\u{9b}": "del\u{7f} rtl\u{202e} esc\u{1b} tag\u{e0041} é" });
    let shown = harmless_json(&serde_json::to_string_pretty(&value).expect("JSON"));
    assert!(
        shown.contains("\\u202e") && shown.contains("\\udb40\\udc41"),
        "{shown}"
    );
    assert!(
        !shown.chars().any(|c| c != '\n' && c.is_control()),
        "{shown}"
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"),
        value
    );
}

#[test]
fn times_read_as_distances() {
    for (then, shown) in [
        (NOW, "now"),
        ("2026-03-04T11:59:59Z", "1 s ago"),
        ("2026-03-04T11:59:48Z", "12 s ago"),
        ("2026-03-04T11:59:01Z", "59 s ago"),
        ("2026-03-04T11:59:00Z", "1 min ago"),
        ("2026-03-04T11:00:00Z", "1 h ago"),
        ("2026-03-03T12:00:01Z", "23 h ago"),
        ("2026-03-03T12:00:00Z", "1 d ago"),
        ("2025-03-04T12:00:00Z", "365 d ago"),
        ("2026-03-04T12:03:09Z", "in 3 min"),
    ] {
        assert_eq!(distance(at(then), now()), shown, "{then}");
    }
}

#[test]
fn users_name_moments() {
    for (text, at) in [
        ("2026-01-31T12:00:00Z", Some("2026-01-31T12:00:00.000Z")),
        (
            "2026-01-31T12:00:00+02:00",
            Some("2026-01-31T10:00:00.000Z"),
        ),
        ("2026-01-31", Some("2026-01-31T00:00:00.000Z")),
        ("90s", Some("2026-03-04T11:58:30.000Z")),
        ("15m", Some("2026-03-04T11:45:00.000Z")),
        ("2h", Some("2026-03-04T10:00:00.000Z")),
        ("7d", Some("2026-02-25T12:00:00.000Z")),
        ("36600d", Some("1925-12-19T12:00:00.000Z")),
        ("36601d", None),
        ("7", None),
        ("d", None),
        ("7 days", None),
        ("-7d", None),
        ("99999999999999999999d", None),
        ("yesterday", None),
    ] {
        let read = moment(text).ok().map(|moment| moment.rfc3339(now()));
        assert_eq!(read.as_deref(), at, "{text}");
    }
}

#[test]
fn amounts_read_well() {
    for (ms, shown) in [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (59_999, "59.9 s"),
        (185_000, "3 min 5 s"),
    ] {
        assert_eq!(duration(ms), shown);
    }
    for (bytes, shown) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_600_000, "1.5 MiB"),
    ] {
        assert_eq!(size(bytes), shown);
    }
}

#[test]
fn values_fit_a_line() {
    for (json, shown) in [
        (json!(null), "-"),
        (json!(""), "-"),
        (json!([]), "-"),
        (json!("text"), "text"),
        (json!(["a", "b"]), "a, b"),
        (
            json!({ "code": "trap", "message": "unreachable" }),
            "trap: unreachable",
        ),
        (json!({ "n": 1 }), r#"{"n":1}"#),
        (json!(true), "true"),
    ] {
        assert_eq!(value(&json), shown);
    }
}
