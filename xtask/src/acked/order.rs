//! Runs with an ordering key: started in the order of the deliveries, one at a time.
//!
//! The sender of a key waits for each acknowledgement, so that its lines are in the order of
//! the commits. The guest's runs say the number that they wrote, which it read before; a
//! time says less, but of any guest.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Differences, attempts, text};
use crate::arguments::Arguments;

/// Both ends of an attempt are rounded to milliseconds.
const ROUNDING_MS: f64 = 2.0;

/// How to look at the order.
pub(super) struct Order {
    /// Whether several hosts ran them: their clocks differ by more than a run takes.
    has_many_clocks: bool,
}

impl Order {
    /// None unless it was asked for.
    pub(super) fn parse(arguments: &mut Arguments) -> Option<Self> {
        let has_many_clocks = arguments.flag("--many-clocks");
        arguments
            .flag("--ordered")
            .then_some(Self { has_many_clocks })
    }

    /// Compares the runs with the lines of what was acknowledged.
    pub(super) fn compare(&self, acked: &str, runs: &[Value], differences: &mut Differences) {
        let by_event: HashMap<&str, &Value> = runs
            .iter()
            .map(|run| (text(run, "event_id"), run))
            .collect();
        let mut by_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for line in acked.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, event_id, _, key] = words[..] else {
                differences.add(format!("the line `{line}` names no ordering key"));
                continue;
            };
            // One that is missing was told already.
            if let Some(run) = by_event.get(event_id) {
                by_key.entry(key).or_default().push(run);
            }
        }
        for (key, runs) in &by_key {
            compare_numbers(key, runs, differences);
            compare_pairs(key, runs, self.has_many_clocks, differences);
        }
        println!("{} ordering keys", by_key.len());
    }
}

/// Each says one more than the run before it.
fn compare_numbers(key: &str, runs: &[&Value], differences: &mut Differences) {
    for (n, run) in (1_u64..).zip(runs) {
        let said = text(run, "summary");
        if said != n.to_string() {
            differences.add(format!(
                "key {key}: run {} was delivery {n} and wrote {said}",
                text(run, "id")
            ));
        }
    }
}

fn compare_pairs(key: &str, runs: &[&Value], has_many_clocks: bool, differences: &mut Differences) {
    for pair in runs.windows(2) {
        let [before, after] = [pair[0], pair[1]].map(|run| text(run, "id"));
        let is_ascending = match (before.parse::<u64>(), after.parse::<u64>()) {
            (Ok(before), Ok(after)) => before < after,
            (_, _) => false,
        };
        if !is_ascending {
            differences.add(format!("key {key}: run {after} was stored after {before}"));
        }
        if has_many_clocks {
            continue;
        }
        let (Some(end), Some(start)) = (ended_ms(pair[0]), started_ms(pair[1])) else {
            differences.add(format!(
                "key {key}: runs {before} and {after} have no times"
            ));
            continue;
        };
        if start + ROUNDING_MS < end {
            differences.add(format!(
                "key {key}: run {after} started {:.1} ms before {before} had ended",
                end - start
            ));
        }
    }
}

fn started_ms(run: &Value) -> Option<f64> {
    attempts(run).first().and_then(attempt_started_ms)
}

fn ended_ms(run: &Value) -> Option<f64> {
    let last = attempts(run).last()?;
    Some(attempt_started_ms(last)? + last["duration_ms"].as_f64()?)
}

fn attempt_started_ms(attempt: &Value) -> Option<f64> {
    unix_ms(text(attempt, "started_at"))
}

/// The milliseconds since 1970 of an RFC 3339 time in UTC.
fn unix_ms(time: &str) -> Option<f64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator| -> Option<Vec<f64>> {
        text.split(separator)
            .map(|part| part.parse().ok())
            .collect()
    };
    let [year, month, day] = numbers(date, '-')?[..] else {
        return None;
    };
    let [hour, minute, second] = numbers(clock, ':')?[..] else {
        return None;
    };
    // Days of the civil calendar, whose year here begins in March.
    let (year, month) = if month > 2.0 {
        (year, month - 3.0)
    } else {
        (year - 1.0, month + 9.0)
    };
    let leap_days = (year / 4.0).floor() - (year / 100.0).floor() + (year / 400.0).floor();
    let day_of_year = ((153.0 * month + 2.0) / 5.0).floor() + day - 1.0;
    let days = year * 365.0 + leap_days + day_of_year - 719_468.0;
    Some((((days * 24.0 + hour) * 60.0 + minute) * 60.0 + second) * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_times() {
        assert_eq!(unix_ms("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(unix_ms("2000-02-29T12:34:56.5Z"), Some(951_827_696_500.0));
        assert_eq!(unix_ms("2000-02-29 12:34:56"), None);
    }

    fn run(id: u64, started_at: &str) -> Value {
        json!({
            "id": id.to_string(), "event_id": format!("e{id}"), "summary": id.to_string(),
            "attempts": [{ "started_at": started_at, "duration_ms": 5.0 }],
        })
    }

    fn check(acked: &str, runs: &[Value], n_differences: usize) {
        let order = Order {
            has_many_clocks: false,
        };
        let mut differences = Differences::default();
        order.compare(acked, runs, &mut differences);
        assert_eq!(differences.0.len(), n_differences, "{:?}", differences.0);
    }

    #[test]
    fn tells_what_is_out_of_order() {
        let (first, second) = (
            run(1, "2026-11-23T10:00:00.000Z"),
            run(2, "2026-11-23T10:00:00.006Z"),
        );
        check(
            "a e1 202 k\nb e2 202 k\n",
            &[first.clone(), second.clone()],
            0,
        );
        // Numbers of both, ids, times.
        check("b e2 202 k\na e1 202 k\n", &[first.clone(), second], 4);
        let too_early = run(2, "2026-11-23T10:00:00.001Z");
        check("a e1 202 k\nb e2 202 k\n", &[first.clone(), too_early], 1);
        check("a e1 202\n", &[first], 1);
    }
}
