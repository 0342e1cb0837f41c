//! What needs somebody: plugins that do not run, queues that are old, sources that refuse.

use super::api::with_query;
use super::operations::Operation;
use super::plugins::Plugin;
use super::shown;
use super::sources::Source;
use super::stats::{Queue, Stats};

/// A queue this old needs somebody.
const OLD_S: f64 = 300.0;

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
    concerns.extend(stats.queue.iter().filter_map(of_queue));
    concerns.extend(sources.iter().filter_map(of_source));
    let failed = operations
        .iter()
        .filter(|operation| operation.state == "failed");
    concerns.extend(failed.map(|operation| Concern {
        level: "bad",
        what: format!("Operation {} failed", operation.id),
        why: operation.error.clone().unwrap_or_default(),
        address: "/operations".to_owned(),
    }));
    // What is worst stands first; otherwise the order stays.
    concerns.sort_by_key(|concern| concern.level != "bad");
    concerns
}

fn of_plugin(plugin: &Plugin) -> Option<Concern> {
    let (level, why) = match plugin.state.as_str() {
        "held" => (
            "bad",
            "It wants more than it is granted; its runs wait.".to_owned(),
        ),
        "tripped" => ("bad", plugin.error.clone().unwrap_or_default()),
        "broken" => ("bad", plugin.problem().to_owned()),
        "missing" => (
            "warn",
            "No live host has its file; its runs wait.".to_owned(),
        ),
        "paused" => ("warn", "Its runs wait until it is resumed.".to_owned()),
        _ if plugin.candidate.is_some() => ("warn", plugin.problem().to_owned()),
        _ => return None,
    };
    let what = if plugin.state == "active" {
        format!("A newer file of plugin {} is not active", plugin.name)
    } else {
        format!("Plugin {} is {}", plugin.name, plugin.state)
    };
    Some(Concern {
        level,
        what,
        why,
        address: plugin.address(),
    })
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
