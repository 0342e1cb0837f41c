//! What needs somebody: plugins that do not run or fail, queues that are old, sources that
//! refuse.

use super::api::with_query;
use super::operations::{self, Operation};
use super::plugins::Plugin;
use super::shown;
use super::sources::Source;
use super::stats::{Attempts, Queue, Stats};

/// A queue this old needs somebody.
const OLD_S: f64 = 300.0;
/// So many attempts that fail without one that succeeds are no accident.
const IN_A_ROW: i64 = 3;
/// Of fewer attempts nobody can tell that most fail.
const MANY: i64 = 10;

/// Something that needs somebody.
pub(super) struct Concern {
    /// `bad` or `warn`.
    pub(super) level: &'static str,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) address: String,
}

/// All of them, what is worst first.
pub(super) fn concerns(
    stats: &Stats,
    plugins: &[Plugin],
    sources: &[Source],
    operations: &[Operation],
) -> Vec<Concern> {
    let mut concerns: Vec<Concern> = plugins.iter().filter_map(of_plugin).collect();
    let failing = plugins.iter().filter_map(|plugin| {
        let attempts = stats.attempts.iter();
        let mut of_it = attempts.filter(|attempts| attempts.plugin == plugin.name);
        of_attempts(plugin, of_it.next())
    });
    concerns.extend(failing);
    concerns.extend(stats.queue.iter().filter_map(of_queue));
    concerns.extend(sources.iter().filter_map(of_source));
    let failed = operations
        .iter()
        .filter(|operation| operation.state == "failed");
    concerns.extend(failed.map(|operation| Concern {
        level: "bad",
        what: format!("Operation {} failed", operation.id),
        why: operation.error.clone().unwrap_or_default(),
        address: operations::address(&operation.id),
    }));
    // What is worst stands first; otherwise the order stays.
    concerns.sort_by_key(|concern| concern.level != "bad");
    concerns
}

fn of_plugin(plugin: &Plugin) -> Option<Concern> {
    let (what, (level, why)) = match plugin.rest() {
        Some(rest) => (format!("Plugin {} is {}", plugin.name, plugin.state), rest),
        None => {
            plugin.candidate.as_ref()?;
            let what = format!("A newer file of plugin {} is not active", plugin.name);
            (what, ("warn", plugin.problem().to_owned()))
        }
    };
    Some(Concern {
        level,
        what,
        why,
        address: plugin.address(),
    })
}

/// A plugin that runs, and fails. One that does not run is named already, and none of its
/// attempts is.
fn of_attempts(plugin: &Plugin, attempts: Option<&Attempts>) -> Option<Concern> {
    if plugin.state != "active" {
        return None;
    }
    let (dead, waiting) = (plugin.count("dead"), plugin.count("waiting"));
    let (level, what) = failing(&plugin.name, attempts, dead, waiting)?;
    let state = if dead > 0 && attempts.is_some_and(|attempts| attempts.dead > 0) {
        Some("dead")
    } else {
        (waiting > 0).then_some("waiting")
    };
    let tried = match attempts {
        Some(attempts) => {
            let all = attempts.succeeded + attempts.failed;
            format!(
                "{} of {} in the last hour failed, {} died",
                shown::count(attempts.failed),
                shown::counted(all, "attempt"),
                shown::counted(attempts.dead, "run"),
            )
        }
        None => "No attempt was made in the last hour".to_owned(),
    };
    let pair = [("plugin", Some(plugin.name.as_str())), ("state", state)];
    Some(Concern {
        level,
        what,
        why: format!(
            "{tried}; {} for another attempt.",
            match waiting {
                0 => "none waits".to_owned(),
                1 => "1 run waits".to_owned(),
                _ => format!("{} wait", shown::counted(waiting, "run")),
            }
        ),
        address: with_query("/runs", &pair),
    })
}

/// How a plugin fails, if it does: how bad that is, and what it is. Dead is what nobody has
/// retried; a run waits for its time after an attempt that failed, or where no host could read
/// its event.
fn failing(
    plugin: &str,
    attempts: Option<&Attempts>,
    dead: i64,
    waiting: i64,
) -> Option<(&'static str, String)> {
    let Some(attempts) = attempts else {
        let what = format!("Runs of plugin {plugin} wait for another attempt");
        return (waiting > 0).then_some(("warn", what));
    };
    let is_lasting = attempts.failed_since >= IN_A_ROW;
    match &attempts.last_succeeded_at {
        None if attempts.failed > 0 => {
            let is_bad = is_lasting || attempts.dead > 0;
            let level = if is_bad { "bad" } else { "warn" };
            Some((level, format!("Every attempt of plugin {plugin} fails")))
        }
        Some(at) if is_lasting => {
            let since = shown::moment(at);
            let since = since.get(11..16).unwrap_or(&since);
            let what = format!("Every attempt of plugin {plugin} has failed since {since} UTC");
            Some(("bad", what))
        }
        _ if attempts.succeeded + attempts.failed >= MANY
            && attempts.failed > attempts.succeeded =>
        {
            Some(("warn", format!("Most attempts of plugin {plugin} fail")))
        }
        _ if attempts.dead > 0 && dead > 0 => {
            Some(("warn", format!("Runs of plugin {plugin} have died")))
        }
        _ => None,
    }
}

fn of_queue(queue: &Queue) -> Option<Concern> {
    let oldest = queue.oldest_s.filter(|oldest| *oldest >= OLD_S)?;
    let due = queue.ready + queue.running;
    (due > 0).then(|| Concern {
        level: "warn",
        what: format!("The queue of {} is old", queue.plugin),
        why: format!(
            "{} wait; the oldest is {} old.",
            shown::counted(queue.all(), "run"),
            shown::seconds(oldest)
        ),
        address: with_query(
            "/runs",
            &[("plugin", Some(&queue.plugin)), ("state", Some("ready"))],
        ),
    })
}

fn of_source(source: &Source) -> Option<Concern> {
    if source.paused {
        return Some(Concern {
            level: "warn",
            what: format!("Source {} is paused", source.name),
            why: "Its webhooks are answered with 503 until it is resumed.".to_owned(),
            address: source.address(),
        });
    }
    let rejected = source.rejected_1h;
    (rejected > 0).then(|| Concern {
        level: if source.received_1h == 0 {
            "bad"
        } else {
            "warn"
        },
        what: format!("Source {} refuses webhooks", source.name),
        why: format!(
            "{} refused and {} taken in the last hour.",
            shown::count(rejected),
            shown::count(source.received_1h)
        ),
        address: source.address(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Attempts, failing};

    /// Attempts that succeeded, that failed, runs that died, and attempts that failed since
    /// one succeeded.
    fn attempts([succeeded, failed, dead, failed_since]: [i64; 4]) -> Attempts {
        let at = "2026-11-22T03:01:00.000Z";
        Attempts {
            plugin: "it".to_owned(),
            succeeded,
            failed,
            dead,
            last_succeeded_at: (succeeded > 0).then(|| at.to_owned()),
            failed_since,
        }
    }

    #[track_caller]
    fn check(counts: [i64; 4], expected: Option<(&str, &str)>) {
        let found = failing("it", Some(&attempts(counts)), counts[2], 0);
        let found = found.as_ref().map(|(level, what)| (*level, what.as_str()));
        assert_eq!(found, expected, "{counts:?}");
    }

    #[test]
    fn a_plugin_that_fails_is_told_from_one_that_stumbles() {
        let all = "Every attempt of plugin it fails";
        let since = "Every attempt of plugin it has failed since 03:01 UTC";
        let most = "Most attempts of plugin it fail";
        let died = "Runs of plugin it have died";
        check([0, 0, 0, 0], None);
        check([100, 0, 0, 0], None);
        // The first attempt of all: it may be an accident, until its run has died of it.
        check([0, 1, 0, 1], Some(("warn", all)));
        check([0, 1, 1, 1], Some(("bad", all)));
        check([0, 3, 0, 3], Some(("bad", all)));
        // However much succeeded before.
        check([10_000, 3, 0, 3], Some(("bad", since)));
        check([10_000, 2, 0, 2], None);
        check([10_000, 2, 1, 0], Some(("warn", died)));
        check([4, 6, 0, 0], Some(("warn", most)));
        check([5, 5, 0, 0], None);
        check([1, 2, 0, 1], None);
    }

    #[test]
    fn runs_that_wait_though_nothing_was_tried_are_named() {
        assert_eq!(failing("it", None, 7, 0), None);
        let (level, _) = failing("it", None, 0, 1).unwrap();
        assert_eq!(level, "warn");
        assert_eq!(failing("it", Some(&attempts([1, 0, 0, 0])), 0, 1), None);
    }

    #[test]
    fn runs_that_died_and_were_retried_need_nobody() {
        let died = attempts([100, 2, 1, 0]);
        assert!(failing("it", Some(&died), 1, 0).is_some());
        assert_eq!(failing("it", Some(&died), 0, 0), None);
    }
}
