//! The overview: what arrives, how runs end, how deep the queue is, and what needs somebody.

use askama::Template;
use axum::body::Body;
use axum::http::Response;

use super::api::{Items, with_query};
use super::chart::Chart;
use super::events::Event;
use super::failure::Failure;
use super::frame::{self, Frame, Visit};
use super::operations::Operation;
use super::plugins::Plugin;
use super::runs::Run;
use super::shown;
use super::sources::Source;
use super::stats::{Queue, Stats, Step};

/// Windows that can be looked at, each with the step that it is drawn in.
const WINDOWS: [(&str, &str, &str); 4] = [
    ("1h", "1m", "1 hour"),
    ("6h", "5m", "6 hours"),
    ("24h", "20m", "24 hours"),
    ("7d", "2h", "7 days"),
];
/// A queue this old needs somebody.
const OLD_S: f64 = 300.0;

/// Something that needs somebody.
struct Concern {
    /// `bad` or `warn`.
    level: &'static str,
    what: String,
    why: String,
    address: String,
}

/// A number at the head of the page.
struct Tile {
    name: &'static str,
    value: String,
    beside: String,
    address: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    window: &'static str,
    windows: [(&'static str, &'static str, &'static str); 4],
    concerns: Vec<Concern>,
    tiles: [Tile; 4],
    charts: Vec<Chart>,
    queue: Vec<Queue>,
    events: Vec<Event>,
    failures: Vec<Run>,
    has_sources: bool,
}

/// `GET /`.
pub(super) async fn show(visit: Visit) -> Result<Response<Body>, Failure> {
    let asked = visit.asked("window").unwrap_or_default();
    let window = WINDOWS.iter().find(|(window, ..)| *window == asked);
    let (window, step, _) = *window.unwrap_or(&WINDOWS[0]);
    let path = with_query("stats", &[("window", Some(window)), ("step", Some(step))]);
    let (stats, plugins, sources, operations, events, failures) = tokio::try_join!(
        visit.get::<Stats>(&path),
        visit.get::<Items<Plugin>>("plugins?limit=1000"),
        visit.get::<Items<Source>>("sources?limit=1000"),
        visit.get::<Items<Operation>>("operations?limit=20"),
        visit.get::<Items<Event>>("events?limit=8"),
        visit.get::<Items<Run>>("runs?state=dead&limit=8"),
    )?;
    frame::page(&OverviewPage {
        frame: visit.frame("overview", "Overview"),
        window,
        windows: WINDOWS,
        concerns: concerns(&stats, &plugins.items, &sources.items, &operations.items),
        tiles: tiles(&stats),
        charts: stats.charts(),
        queue: stats
            .queue
            .into_iter()
            .filter(|queue| queue.all() > 0)
            .collect(),
        events: events.items,
        failures: failures.items,
        has_sources: !sources.items.is_empty(),
    })
}

fn concerns(
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

fn tiles(stats: &Stats) -> [Tile; 4] {
    let sum = |of: fn(&Step) -> i64| stats.series.iter().map(of).sum::<i64>();
    let (received, dead, failed) = (sum(|s| s.received), sum(|s| s.dead), sum(|s| s.failed));
    let slowest = stats.series.iter().filter_map(|step| step.ack_p99_ms);
    let slowest = slowest.reduce(f64::max);
    let queued: i64 = stats.queue.iter().map(Queue::all).sum();
    let oldest = stats.queue.iter().filter_map(|queue| queue.oldest_s);
    let oldest = oldest.reduce(f64::max);
    let since = stats.series.first().map(|step| step.at.as_str());
    [
        Tile {
            name: "Webhooks taken",
            value: shown::count(received),
            beside: format!("{} refused", shown::count(sum(|s| s.rejected))),
            address: with_query("/events", &[("since", since)]),
        },
        Tile {
            name: "Runs that died",
            value: shown::count(dead),
            beside: format!("{} failed", shown::counted(failed, "attempt")),
            address: with_query("/runs", &[("state", Some("dead")), ("since", since)]),
        },
        Tile {
            name: "Slowest acknowledgement",
            value: slowest.map_or_else(|| shown::NOTHING.to_owned(), shown::millis),
            beside: "99 % are faster".to_owned(),
            address: "/sources".to_owned(),
        },
        Tile {
            name: "Runs in the queue",
            value: shown::count(queued),
            beside: oldest.map_or_else(
                || "nothing waits".to_owned(),
                |oldest| format!("oldest {}", shown::seconds(oldest)),
            ),
            address: "/runs?state=ready".to_owned(),
        },
    ]
}
