//! What differs between an attempt and the one before it: pure.

use super::runs::Attempt;

/// Longer lists of lines are not compared: their table would be too large.
const LINES_MAX: usize = 400;
/// Lines that stay around each that changed.
const AROUND: usize = 1;

/// Two attempts side by side.
pub(super) struct Comparison {
    /// What changed: its name, before, now.
    pub(super) facts: Vec<(&'static str, String, String)>,
    /// Lines of the log that came and went.
    pub(super) logs: Vec<Difference>,
    /// Calls that came and went.
    pub(super) calls: Vec<Difference>,
    /// Why nothing is said of calls, where one of the two has some.
    pub(super) uncompared: Option<String>,
}

/// A line that is in one, or in both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// `added`, `removed`, `same`, or `skipped` for those left out.
    pub(super) class: &'static str,
    pub(super) text: String,
}

impl Comparison {
    /// Logs and calls, for those who show both alike.
    pub(super) fn lines(&self) -> [&[Difference]; 2] {
        [&self.logs, &self.calls]
    }

    pub(super) fn is_empty(&self) -> bool {
        let lines = self.lines();
        self.facts.is_empty()
            && lines.iter().all(|lines| lines.is_empty())
            && self.uncompared.is_none()
    }
}

/// What differs. Times and measures always do, and are left out.
pub(super) fn compare(before: &Attempt, now: &Attempt) -> Comparison {
    let digest = |attempt: &Attempt| {
        let digest = attempt.digest.as_deref().unwrap_or_default();
        super::shown::short(digest).to_owned()
    };
    let error = |attempt: &Attempt| {
        let error = attempt.error.as_ref();
        error.map(|error| error.message.clone()).unwrap_or_default()
    };
    let facts = [
        ("version", digest(before), digest(now)),
        ("host", before.host.clone(), now.host.clone()),
        ("outcome", before.outcome.clone(), now.outcome.clone()),
        ("error", error(before), error(now)),
    ];
    let logs = |attempt: &Attempt| {
        let lines = attempt.logs.iter();
        lines
            .map(|line| format!("{} {} {}", line.level, line.message, line.told()))
            .collect::<Vec<_>>()
    };
    let calls = |attempt: &Attempt| {
        let calls = attempt.journal.iter().map(|call| {
            let value = |value: &Option<Box<serde_json::value::RawValue>>| {
                value.as_ref().map(|value| value.get().to_owned())
            };
            let (request, response) = (value(&call.request), value(&call.response));
            let text = [request, response]
                .map(Option::unwrap_or_default)
                .join(" → ");
            let text = super::shown::beginning(&text, 400).to_owned();
            format!("{} {text}", call.call)
        });
        calls.collect::<Vec<_>>()
    };
    let uncompared = uncompared(before, now);
    Comparison {
        facts: facts
            .into_iter()
            .filter(|(_, before, now)| before != now)
            .collect(),
        logs: differences(&logs(before), &logs(now)),
        calls: match uncompared {
            None => differences(&calls(before), &calls(now)),
            // What is not known has not gone.
            Some(_) => Vec::new(),
        },
        uncompared,
    }
}

/// Why the calls of two attempts cannot be compared, unless they can, or neither kept any.
fn uncompared(before: &Attempt, now: &Attempt) -> Option<String> {
    let kept = [before, now].map(Attempt::has_journal);
    if kept == [false, false] {
        return None;
    }
    let why = match [before, now].into_iter().find(|one| !one.has_journal()) {
        Some(one) if one.outcome == "succeeded" => format!(
            "No journal was kept of attempt {}, because it succeeded: those of attempts that \
             succeed are kept only where the plugin's journal setting says all.",
            one.n
        ),
        Some(one) => format!(
            "No journal was kept of attempt {}: the plugin's journal setting said none then, or \
             the attempt was lost with its host.",
            one.n
        ),
        None => {
            let mut both = [before, now].into_iter();
            let long = both.find(|one| one.has_long_journal())?;
            format!("The journal of attempt {} is too long for a page.", long.n)
        }
    };
    Some(format!("{why} So the host calls are not compared."))
}

/// Lines that came and went, in order, with a little of what stayed around them. Nothing
/// if they are equal, or too many.
fn differences(before: &[String], now: &[String]) -> Vec<Difference> {
    if before == now || before.len() > LINES_MAX || now.len() > LINES_MAX {
        return Vec::new();
    }
    // How many lines the rests from `i` and `j` have in common at most.
    let width = now.len() + 1;
    let mut common = vec![0_u32; (before.len() + 1) * width];
    for i in (0..before.len()).rev() {
        for j in (0..now.len()).rev() {
            common[i * width + j] = if before[i] == now[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < before.len() || j < now.len() {
        let (class, text) = if i < before.len() && j < now.len() && before[i] == now[j] {
            (i, j) = (i + 1, j + 1);
            ("same", &before[i - 1])
        } else if j == now.len()
            || (i < before.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            i += 1;
            ("removed", &before[i - 1])
        } else {
            j += 1;
            ("added", &now[j - 1])
        };
        lines.push(Difference {
            class,
            text: text.clone(),
        });
    }
    shortened(lines)
}

/// Without long stretches of what stayed.
fn shortened(lines: Vec<Difference>) -> Vec<Difference> {
    let is_near: Vec<bool> = (0..lines.len())
        .map(|at| {
            let near = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
            lines[near].iter().any(|line| line.class != "same")
        })
        .collect();
    let mut short: Vec<Difference> = Vec::new();
    for (line, is_near) in lines.into_iter().zip(is_near) {
        if is_near {
            short.push(line);
        } else if short.last().is_none_or(|last| last.class != "skipped") {
            short.push(Difference {
                class: "skipped",
                text: "…".to_owned(),
            });
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Attempt, compare, differences};

    /// An attempt that ended so, with a journal of so many bytes that has these calls.
    fn attempt(n: i64, outcome: &str, bytes: i64, calls: &[&str]) -> Attempt {
        let journal: Vec<_> = calls.iter().map(|call| json!({ "call": call })).collect();
        let attempt = json!({
            "n": n, "digest": "d", "version": null, "host": "h", "duration_ms": 1.0,
            "started_at": "2026-11-22T03:01:36.791Z", "cpu_ms": 1.0, "memory_bytes": 1,
            "egress_bytes": 0, "outcome": outcome, "error": null, "logs": [],
            "journal": journal, "journal_size_bytes": bytes,
        });
        serde_json::from_value(attempt).unwrap()
    }

    #[track_caller]
    fn check(before: &str, now: &str, expected: &str) {
        let lines = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let found: Vec<String> = differences(&lines(before), &lines(now))
            .into_iter()
            .map(|line| match line.class {
                "added" => format!("+{}", line.text),
                "removed" => format!("-{}", line.text),
                _ => line.text,
            })
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn what_came_and_went_is_found_in_order() {
        check("a b c", "a b c", "");
        check("", "a", "+a");
        check("a b", "", "-a -b");
        check("a b c", "a x c", "a -b +x c");
        check("a b c d e f g", "a b c d e f h", "… f -g +h");
    }

    #[test]
    fn calls_are_compared_only_where_both_attempts_kept_them() {
        let before = attempt(1, "retry", 100, &["kv.get", "log.write"]);
        let with = |now: &Attempt| compare(&before, now);

        let both = with(&attempt(2, "retry", 90, &["kv.get"]));
        assert_eq!(both.uncompared, None);
        let [_, calls] = both.lines();
        assert_eq!(calls.last().unwrap().class, "removed");

        for (now, why) in [
            (attempt(2, "succeeded", 0, &[]), "because it succeeded"),
            (attempt(2, "host_lost", 0, &[]), "lost with its host"),
            (attempt(2, "retry", 300_000, &[]), "attempt 2 is too long"),
        ] {
            let comparison = with(&now);
            assert!(comparison.calls.is_empty(), "{why}");
            let told = comparison.uncompared.unwrap();
            assert!(told.contains(why) && told.contains("attempt 2"), "{told}");
        }
        // It called nothing, and that is known.
        let none = with(&attempt(2, "retry", 12, &[]));
        assert_eq!((none.uncompared, none.calls.len()), (None, 2));
        // Nobody kept any: there is nothing to miss.
        let neither = compare(&attempt(1, "retry", 0, &[]), &attempt(2, "retry", 0, &[]));
        assert!(neither.is_empty());
    }
}
