//! An operation in words: what it is over, and what came of it. Pure.

use super::super::shown::{capitalised, count, counted, moment};
use super::Operation;

impl Operation {
    /// What it is called.
    pub(super) fn title(&self) -> &str {
        match self.what.as_str() {
            "replay" => "Replay of events",
            "retry" => "Retry of runs",
            "release" => "Release from quarantine",
            "catch_up" => "Catch-up of a new plugin",
            "forget" => "End of a forgotten plugin",
            what => what,
        }
    }

    /// What it is over, as a sentence.
    pub(super) fn over_what(&self) -> String {
        let Some(filter) = &self.filter else {
            return "What it is over is not known to this version of Hookbay.".to_owned();
        };
        let part = |name: &str, before: &str| {
            let value = filter.get(name);
            value.map_or_else(String::new, |value| format!(" {before} {value}"))
        };
        let time = |name: &str, before: &str| {
            let value = filter.get(name);
            value.map_or_else(String::new, |value| format!(" {before} {}", moment(value)))
        };
        let state = filter.get("state").map_or("dead", String::as_str);
        let plugin = self.plugin.as_deref();
        let mut text = match self.what.as_str() {
            "replay" => {
                let with = plugin.map_or_else(
                    || "every plugin that it triggers".to_owned(),
                    |plugin| format!("plugin {plugin}"),
                );
                let which = part("source", "of source") + &part("kind", "of kind");
                let period = time("since", "received since") + &time("until", "until");
                format!("Every stored event{which}{period}, with {with}")
            }
            "retry" => {
                let which = part("plugin", "of plugin") + &part("event", "of event");
                let period = time("since", "created since") + &time("until", "until");
                format!("Every {state} run{which}{period}")
            }
            "release" => {
                let which = part("source", "to source") + &part("reason", "refused for");
                let period = time("since", "received since") + &time("until", "until");
                let proof = match self.forced {
                    true => "without proof of who sent it",
                    false => "if it is genuine as of when it came",
                };
                format!("Every request in quarantine{which}{period}, {proof}")
            }
            "catch_up" => {
                let period = time("since", "received since");
                let plugin = plugin.unwrap_or_default();
                format!("Every stored event{period} that triggers plugin {plugin}, which is new")
            }
            "forget" => {
                let plugin = plugin.unwrap_or_default();
                format!(
                    "What plugin {plugin} left: its unfinished runs are cancelled, what it kept is removed"
                )
            }
            what => capitalised(what),
        };
        text.push('.');
        text
    }

    /// How far it is, in few words.
    pub(super) fn progress(&self) -> String {
        match self.total {
            Some(total) if self.dry_run => format!("{} would be {}", count(total), self.verb()),
            Some(total) => format!("{} of {}", count(self.done), count(total)),
            None if self.dry_run && self.is_running() => "counting".to_owned(),
            None if self.dry_run => "not counted".to_owned(),
            None => count(self.done),
        }
    }

    /// What came of it until now, as sentences.
    pub(super) fn outcome(&self) -> String {
        let (thing, verb) = (self.thing(), self.verb());
        if self.dry_run {
            return match (self.total, self.is_running()) {
                (Some(0), _) => format!("Nothing fits: no {thing} would be {verb}."),
                (Some(total), _) => format!("{} would be {verb}.", counted(total, thing)),
                (None, true) => "What fits is being counted.".to_owned(),
                (None, false) => "It ended before all were counted.".to_owned(),
            };
        }
        let done = counted(self.done, thing);
        let of = |total: i64| format!("{} of {}", count(self.done), counted(total, thing));
        match (self.state.as_str(), self.total) {
            ("running", None) => "What fits is being counted.".to_owned(),
            ("running", Some(total)) => format!("{} {verb} until now.", of(total)),
            ("succeeded", Some(0)) => format!("Nothing fitted: no {thing} was {verb}."),
            ("succeeded", Some(total)) if total > self.done => {
                let left = count(total - self.done);
                format!(
                    "{} {verb}. {left} did not fit any more when it came to them.",
                    of(total)
                )
            }
            ("succeeded", _) => format!("{done} {verb}."),
            (_, Some(total)) => format!("{} {verb} before it ended; they stay so.", of(total)),
            (_, None) => "It ended before anything was done.".to_owned(),
        }
    }

    /// What a release leaves as it is, and why.
    pub(super) fn left(&self) -> Option<&'static str> {
        (self.what == "release" && !self.forced).then_some(
            "Requests that are refused still are not counted and stay in quarantine; each says there what keeps it.",
        )
    }

    /// The command that does in earnest what was only counted of a release without proof: over
    /// no more than that.
    pub(super) fn command_line(&self) -> String {
        let filter = self.filter.iter().flatten();
        let flags = filter.map(|(name, value)| format!(" --{name} {}", quoted(value)));
        let flags: String = flags.collect();
        let which = if flags.is_empty() { " --all" } else { &flags };
        format!("hookbay quarantine release --force{which}")
    }

    /// What it does one after the other.
    fn thing(&self) -> &'static str {
        match self.what.as_str() {
            "replay" | "catch_up" => "event",
            "retry" | "forget" => "run",
            "release" => "request",
            _ => "item",
        }
    }

    /// What becomes of each.
    fn verb(&self) -> &'static str {
        match self.what.as_str() {
            "replay" => "replayed",
            "retry" => "retried",
            "release" => "released",
            "catch_up" => "caught up with",
            "forget" => "cancelled",
            _ => "done",
        }
    }
}

/// A text as one word to a shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/@%,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Operation;

    /// An operation with these fields instead of those of a running replay.
    fn operation(fields: Value) -> Operation {
        let mut all = json!({
            "id": "7", "what": "replay", "dry_run": false, "filter": {}, "plugin": null,
            "forced": false, "state": "running", "done": 0, "total": null,
            "created_by": "ci", "created_at": "2026-11-22T12:00:00Z", "finished_at": null,
            "error": null,
        });
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn what_it_is_over_reads_as_a_sentence() {
        let since = "2026-11-22T01:30:00.000Z";
        for (fields, sentence) in [
            (
                json!({}),
                "Every stored event, with every plugin that it triggers.",
            ),
            (
                json!({ "filter": { "source": "github", "kind": "push", "since": since }, "plugin": "p" }),
                "Every stored event of source github of kind push received since 2026-11-22 01:30:00 UTC, with plugin p.",
            ),
            (
                json!({ "what": "retry", "filter": { "plugin": "p", "state": "waiting", "until": since } }),
                "Every waiting run of plugin p until 2026-11-22 01:30:00 UTC.",
            ),
            (
                json!({ "what": "release", "filter": { "source": "a", "reason": "bad_signature" } }),
                "Every request in quarantine to source a refused for bad_signature, if it is genuine as of when it came.",
            ),
            (
                json!({ "what": "release", "forced": true }),
                "Every request in quarantine, without proof of who sent it.",
            ),
            (
                json!({ "what": "catch_up", "filter": { "since": since }, "plugin": "p" }),
                "Every stored event received since 2026-11-22 01:30:00 UTC that triggers plugin p, which is new.",
            ),
            (
                json!({ "what": "later", "filter": null }),
                "What it is over is not known to this version of Hookbay.",
            ),
        ] {
            assert_eq!(operation(fields.clone()).over_what(), sentence, "{fields}");
        }
    }

    #[test]
    fn what_came_of_it_is_told_apart_from_what_would() {
        for (fields, progress, outcome) in [
            (
                json!({ "what": "retry", "dry_run": true, "state": "succeeded", "total": 1 }),
                "1 would be retried",
                "1 run would be retried.",
            ),
            (
                json!({ "dry_run": true, "state": "succeeded", "total": 0 }),
                "0 would be replayed",
                "Nothing fits: no event would be replayed.",
            ),
            (
                json!({ "dry_run": true }),
                "counting",
                "What fits is being counted.",
            ),
            (
                json!({ "dry_run": true, "state": "cancelled" }),
                "not counted",
                "It ended before all were counted.",
            ),
            (
                json!({ "done": 2, "total": 5 }),
                "2 of 5",
                "2 of 5 events replayed until now.",
            ),
            (
                json!({ "state": "succeeded", "done": 5, "total": 5 }),
                "5 of 5",
                "5 events replayed.",
            ),
            (
                json!({ "state": "succeeded", "done": 4, "total": 5 }),
                "4 of 5",
                "4 of 5 events replayed. 1 did not fit any more when it came to them.",
            ),
            (
                json!({ "state": "cancelled", "done": 2, "total": 5 }),
                "2 of 5",
                "2 of 5 events replayed before it ended; they stay so.",
            ),
            (
                json!({ "state": "failed" }),
                "0",
                "It ended before anything was done.",
            ),
        ] {
            let operation = operation(fields.clone());
            assert_eq!(
                (operation.progress().as_str(), operation.outcome().as_str()),
                (progress, outcome),
                "{fields}"
            );
        }
    }

    #[test]
    fn a_release_without_proof_is_over_no_more_than_was_counted() {
        let since = "2026-11-22T01:30:00.000Z";
        for (filter, flags) in [
            (json!({}), "--all"),
            (json!({ "source": "github" }), "--source github"),
            (
                json!({ "source": "a", "reason": "bad_signature", "since": since, "until": since }),
                "--reason bad_signature --since 2026-11-22T01:30:00.000Z --source a \
                 --until 2026-11-22T01:30:00.000Z",
            ),
            (json!({ "reason": "it's; rm" }), r"--reason 'it'\''s; rm'"),
        ] {
            let fields = json!({ "what": "release", "forced": true, "filter": filter });
            assert_eq!(
                operation(fields).command_line(),
                format!("hookbay quarantine release --force {flags}")
            );
        }
    }

    #[test]
    fn what_was_counted_goes_on_with_the_same_filter() {
        let earnest = |fields: Value| operation(fields).in_earnest().map(|link| link.address);
        let counted = |fields: Value| {
            let mut all = json!({ "dry_run": true, "state": "succeeded", "total": 3 });
            for (name, value) in fields.as_object().unwrap() {
                all[name] = value.clone();
            }
            earnest(all)
        };
        for (fields, address) in [
            (
                json!({ "filter": { "kind": "a.*", "source": "s" }, "plugin": "p" }),
                Some("/events/replay?kind=a.*&source=s&plugin=p"),
            ),
            (
                json!({ "what": "retry", "filter": { "plugin": "p", "state": "dead" } }),
                Some("/runs/retry?plugin=p&state=dead"),
            ),
            (
                json!({ "what": "release", "filter": { "reason": "replayed" } }),
                Some("/quarantine/release?reason=replayed"),
            ),
            (json!({ "what": "release", "forced": true }), None),
            (json!({ "total": 0 }), None),
            (json!({ "dry_run": false }), None),
            (json!({ "state": "running" }), None),
            (json!({ "what": "catch_up" }), None),
        ] {
            assert_eq!(counted(fields.clone()).as_deref(), address, "{fields}");
        }
    }
}
