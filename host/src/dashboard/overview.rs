//! The overview: what arrives, how runs end, how deep the queue is, and what needs somebody.

use askama::Template;
use axum::body::Body;
use axum::http::Response;

use super::api::{Items, with_query};
use super::attention::{Concern, concerns};
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
/// A number at the head of the page.
struct Tile {
    name: String,
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
    let (window, step, span) = *window.unwrap_or(&WINDOWS[0]);
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
        tiles: tiles(&stats, &plugins.items, span),
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

/// What happened in the span that is looked at, then what is now.
fn tiles(stats: &Stats, plugins: &[Plugin], span: &str) -> [Tile; 4] {
    let sum = |of: fn(&Step) -> i64| stats.series.iter().map(of).sum::<i64>();
    let (received, dead, failed) = (sum(|s| s.received), sum(|s| s.dead), sum(|s| s.failed));
    let slowest = stats.series.iter().filter_map(|step| step.ack_p99_ms);
    let slowest = slowest.reduce(f64::max);
    let queued: i64 = stats.queue.iter().map(Queue::all).sum();
    let oldest = stats.queue.iter().filter_map(|queue| queue.oldest_s);
    let oldest = oldest.reduce(f64::max);
    // Those that died and were retried are dead no more; those that are may have died before.
    let are_dead: i64 = plugins.iter().map(|plugin| plugin.count("dead")).sum();
    let since = stats.series.first().map(|step| step.at.as_str());
    [
        Tile {
            name: format!("Webhooks taken in {span}"),
            value: shown::count(received),
            beside: format!("{} refused", shown::count(sum(|s| s.rejected))),
            address: with_query("/events", &[("since", since)]),
        },
        Tile {
            name: format!("Runs that died in {span}"),
            value: shown::count(dead),
            beside: format!(
                "{} failed; {} dead now",
                shown::counted(failed, "attempt"),
                match are_dead {
                    0 => "none is".to_owned(),
                    1 => "1 is".to_owned(),
                    _ => format!("{} are", shown::count(are_dead)),
                }
            ),
            address: "/runs?state=dead".to_owned(),
        },
        Tile {
            name: format!("Slowest acknowledgement in {span}"),
            value: slowest.map_or_else(|| shown::NOTHING.to_owned(), shown::millis),
            beside: "99 % are faster".to_owned(),
            address: "/sources".to_owned(),
        },
        Tile {
            name: "Runs in the queue now".to_owned(),
            value: shown::count(queued),
            beside: oldest.map_or_else(
                || "nothing waits".to_owned(),
                |oldest| format!("oldest {}", shown::seconds(oldest)),
            ),
            address: "/runs?state=ready".to_owned(),
        },
    ]
}
