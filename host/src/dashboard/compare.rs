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
        self.facts.is_empty() && self.logs.is_empty() && self.calls.is_empty()
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
    Comparison {
        facts: facts
            .into_iter()
            .filter(|(_, before, now)| before != now)
            .collect(),
        logs: differences(&logs(before), &logs(now)),
        calls: differences(&calls(before), &calls(now)),
    }
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
    use super::differences;

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
}
