//! When something is told, and what counts as too often.

use std::time::Duration;

use super::{Due, Looks, State, due};
use crate::clock::Timestamp;
use crate::config::{Config, Environment, Overrides};
use crate::metrics::Failures;
use crate::store::AlertRow;

fn second(n: i64) -> Timestamp {
    Timestamp::from_millis(n * 1000)
}

#[test]
fn what_lasts_is_told_once_and_what_is_over_too() {
    let after = Duration::from_secs(60);
    for (raised, seen, told, now, expected) in [
        (0, 30, None, 30, Due::Nothing),
        (0, 60, None, 60, Due::Tell(State::Raised)),
        (0, 60, Some(60), 62, Due::Nothing),
        (0, 60, Some(60), 119, Due::Nothing),
        (0, 60, Some(60), 121, Due::Tell(State::Resolved)),
        // It came and went.
        (0, 10, None, 71, Due::Forget),
        // It lasted, and was over before anybody could be told.
        (0, 60, None, 121, Due::Forget),
    ] {
        let row = AlertRow {
            key: String::new(),
            kind: String::new(),
            subject: String::new(),
            message: String::new(),
            raised_at: second(raised),
            seen_at: second(seen),
            told_at: told.map(second),
        };
        let what = format!("{raised} {seen} {told:?} {now}");
        assert_eq!(due(&row, second(now), after), expected, "{what}");
    }
}

#[test]
fn failures_are_counted_within_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    let toml =
        "alerts = { webhook = 'https://a.example', window = '1m', failed_verifications = 3 }";
    std::fs::write(&file, toml).unwrap();
    let config =
        Config::load_with(Some(&file), &Overrides::default(), &Environment::default()).unwrap();
    let config = config.alerts.unwrap();
    let mut looks = Looks::default();
    let mut seen = Vec::new();
    // One failure every 10 s, then every 30 s.
    for (at, total) in [
        (0, 5),
        (10, 6),
        (20, 7),
        (30, 8),
        (60, 9),
        (90, 10),
        (120, 11),
        (150, 12),
    ] {
        let failures = Failures {
            verification: [("s".to_owned(), total)].into(),
            ..Failures::default()
        };
        looks.add(second(at), failures, config.window);
        let found = looks.too_many(&config);
        seen.push(found.first().map(|condition| condition.kind));
    }
    let (no, too_many) = (None, Some("source.unverified"));
    let expected = [no, no, no, too_many, too_many, no, no, no];
    assert_eq!(
        seen, expected,
        "what was before the first look does not count"
    );
}
