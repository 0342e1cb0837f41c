//! `cargo xtask bench lists`: how long each list of the admin API and each page of the
//! dashboard takes over a store with a million events and three million runs, its first page
//! and one far behind.
//!
//! The rows differ in source, kind, time, plugin and state; one plugin has only a few runs,
//! among the oldest. Of the logs of minutes there is a week, one row a minute for each source
//! and plugin.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::admin::Admin;
use crate::arguments::Arguments;
use crate::bench::machine;
use crate::guests;
use crate::workspace::{Profile, Workspace};

use super::engines;
use super::ground::{Ground, Store};

/// Times that each page is asked for; the slowest of them counts.
const TIMES: usize = 5;
/// A list is slow from here on.
const SLOW: Duration = Duration::from_millis(100);

const EVENTS: &str = "insert into events (id, source, provider, kind, received_ms, delivery_id, \
    content_type, size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request) \
    select bench_at(e.id, e.received_ms - ({EVENTS} - s.n) * 80, s.n), \
    case s.n % 4 when 0 then 'github' when 1 then 'orders' when 2 then 'payments' else 'crm' end, \
    e.provider, 'area' || cast(s.n % 8 as text) || '.kind' || cast(s.n % 56 as text), \
    e.received_ms - ({EVENTS} - s.n) * 80, 'bench-' || cast(s.n as text), \
    e.content_type, e.size_bytes, e.is_handshake, e.dedup_conflict, e.no_run_reason, e.encoding, \
    e.header_bytes, e.request from (select * from events where delivery_id not like 'bench-%' limit 1) e cross join s";
const HISTORY: &str = "insert into history (run_id, event_id, plugin_id, state, attempt, free_attempts, \
    max_attempts, lease_no, created_ms, finished_ms, outcome, summary, data) \
    select 1000 + s.n, bench_at(h.event_id, h.created_ms - ({EVENTS} - (s.n + 2) / 3) * 80, (s.n + 2) / 3), \
    case when s.n < 500 then h.plugin_id + 4 else h.plugin_id + s.n % 3 end, \
    case when s.n % 50 = 0 then 'dead' when s.n % 97 = 0 then 'cancelled' else 'succeeded' end, \
    h.attempt, h.free_attempts, h.max_attempts, h.lease_no, h.created_ms - ({EVENTS} - (s.n + 2) / 3) * 80, \
    h.finished_ms - ({EVENTS} - (s.n + 2) / 3) * 80, h.outcome, h.summary, h.data \
    from (select * from history where run_id < 1000 limit 1) h cross join s";
const RUNS: &str = "insert into runs (run_id, event_id, plugin_id, due_ms, created_ms) \
    select 100000000 + s.n, bench_at(h.event_id, h.created_ms - (1000 - s.n % 1000) * 80, {EVENTS} - s.n % 1000), \
    h.plugin_id + s.n % 2, h.created_ms + case s.n % 3 when 0 then 86400000 else 0 end, h.created_ms \
    from (select * from history where run_id < 1000 limit 1) h cross join s";
const PLUGINS: &str = "insert into plugins (name, file, manifest, triggers) \
    select 'bench-' || cast(s.n as text), 'none.wasm', p.manifest, '[]' from (select * from plugins limit 1) p cross join s";

/// A minute of one source, of one plugin.
const SOURCE_MINUTES: &str = "insert into source_minutes (minute_ms, epoch, source, received, duplicates, rejected, ack) \
    select h.created_ms - h.created_ms % 60000 - s.n * 60000, 1, '{SOURCE}', 750, s.n % 5, s.n % 3, '{LATENCIES}' \
    from (select * from history where run_id < 1000 limit 1) h cross join s";
const PLUGIN_MINUTES: &str = "insert into plugin_minutes (minute_ms, epoch, plugin, succeeded, failed, dead, run) \
    select h.created_ms - h.created_ms % 60000 - s.n * 60000, 1, '{PLUGIN}', 700, s.n % 7, s.n % 3, '{LATENCIES}' \
    from (select * from history where run_id < 1000 limit 1) h cross join s";
const MINUTES: u64 = 7 * 24 * 60;
const LATENCIES: &str = "[0,0,0,12,148,305,210,52,14,6,2,1,0,0,0,0]";

/// Makes the rows and asks for the pages.
pub(in crate::bench) fn run(mut arguments: Arguments) -> Result<()> {
    let events: u64 = arguments.number("--events", 1_000_000)?;
    let profile = Profile::from_flag(arguments.flag("--release"));
    let engines = engines(&mut arguments);
    arguments.finish_without_extra()?;
    let workspace = Workspace::find()?;
    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;
    machine::print(&workspace)?;
    for is_on_postgres in engines {
        let mut ground = Ground::prepare(&workspace, profile, is_on_postgres)?;
        let began = Instant::now();
        let store = filled(&mut ground, events)?;
        println!(
            "\n{}: rows made in {:.0} s",
            ground.engine(),
            began.elapsed().as_secs_f64()
        );
        measure(&ground, store)?;
    }
    Ok(())
}

fn filled(ground: &mut Ground<'_>, events: u64) -> Result<Store> {
    let store = ground.store_with_one_event()?;
    let statement = |text: &str| text.replace("{EVENTS}", &events.to_string());
    ground.fill(&store, 0, 4, &[PLUGINS])?;
    ground.fill(&store, 0, events, &[&statement(EVENTS)])?;
    ground.fill(&store, 0, events * 3, &[&statement(HISTORY)])?;
    ground.fill(&store, 0, (events / 50).min(20_000), &[&statement(RUNS)])?;
    for source in ["github", "orders", "payments", "crm"] {
        let rows = SOURCE_MINUTES.replace("{LATENCIES}", LATENCIES);
        let rows = rows.replace("{SOURCE}", source);
        ground.fill(&store, 0, MINUTES, &[&rows])?;
    }
    for plugin in ["github-push", "bench-1", "bench-2", "bench-3"] {
        let rows = PLUGIN_MINUTES.replace("{LATENCIES}", LATENCIES);
        let rows = rows.replace("{PLUGIN}", plugin);
        ground.fill(&store, 0, MINUTES, &[&rows])?;
    }
    ground.settle(&store)?;
    Ok(store)
}

fn measure(ground: &Ground<'_>, mut store: Store) -> Result<()> {
    store.host.start()?;
    let mut admin = store.host.admin()?;
    let far = far_cursors(&mut admin)?;
    println!(
        "\n| {} | slowest of {TIMES}, ms |  |\n|---|---:|---|",
        ground.engine()
    );
    let mut slow = 0;
    for path in paths(&far) {
        slow += told(&path, || admin.get(&path).map(drop))?;
    }
    let mut visitor = admin.visitor()?;
    for path in pages(&far) {
        slow += told(&path, || visitor.page(&path).map(drop))?;
    }
    println!("\n{slow} of them slow");
    ground.remove(store)
}

/// Prints how long the slowest of some tries takes; how many lines are slow.
fn told(path: &str, mut ask: impl FnMut() -> Result<()>) -> Result<usize> {
    let mut slowest = Duration::ZERO;
    for _ in 0..TIMES {
        let began = Instant::now();
        ask()?;
        slowest = slowest.max(began.elapsed());
    }
    let is_slow = slowest > SLOW;
    let mark = if is_slow { "slow" } else { "" };
    let millis = slowest.as_secs_f64() * 1000.0;
    println!("| `{path}` | {millis:.1} | {mark} |");
    Ok(usize::from(is_slow))
}

/// An event and a run in the middle, and the time at which they were.
struct Far {
    event: String,
    run: String,
    at: String,
}

fn far_cursors(admin: &mut Admin) -> Result<Far> {
    let newest = admin.get("events?limit=1")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let newest_at = text(&newest["items"][0]["received_at"]);
    // The rows go back for 80 million milliseconds: 22 hours.
    let day = newest_at.get(..10).unwrap_or_default();
    let hour: u32 = newest_at.get(11..13).unwrap_or_default().parse()?;
    let at = format!("{day}T{:02}:00:00Z", hour / 2);
    let event = admin.get(&format!("events?until={at}&limit=1"))?;
    let run = admin.get(&format!("runs?until={at}&limit=1"))?;
    Ok(Far {
        event: text(&event["items"][0]["id"]),
        run: text(&run["items"][0]["id"]),
        at,
    })
}

fn paths(far: &Far) -> Vec<String> {
    let Far { event, run, at } = far;
    let mut paths: Vec<String> = [
        "events",
        "events?limit=1000",
        "events?source=orders",
        "events?kind=area3.*",
        "events?kind=area3.kind3&source=crm",
        "events?source=orders&limit=1000",
        "events?kind=**&limit=1000",
        "events?source=nobody",
        "events?q=bench-777",
        "events?q=area3",
        "events?q=kind",
        "events?q=nowhere-to-be-found",
        "runs",
        "runs?limit=1000",
        "runs?plugin=github-push",
        "runs?plugin=bench-4",
        "runs?plugin=bench-3",
        "runs?state=dead",
        "runs?state=succeeded",
        "runs?state=cancelled",
        "runs?state=ready",
        "runs?state=waiting",
        "runs?state=blocked",
        "runs?state=running",
        "runs?state=dead&plugin=bench-4",
        "runs?state=succeeded&plugin=bench-4",
        "plugins",
        "plugins/github-push",
        "plugins/github-push/kv",
        "sources",
        "operations",
        "quarantine",
        "quarantine?source=github",
        "tokens",
        "audit",
        "audit?action=plugins.pause",
        "stats?window=1h&step=1m",
        "stats?window=24h&step=15m",
        "stats?window=7d&step=2h",
        "stats?window=31d&step=1d",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([
        format!("events?cursor={event}"),
        format!("events?cursor={event}&source=orders"),
        format!("events?cursor={event}&kind=area3.*"),
        format!("events?until={at}"),
        format!("events?since={at}&limit=1000"),
        format!("events/{event}"),
        format!("runs?event={event}"),
        format!("runs?cursor={run}"),
        format!("runs?cursor={run}&plugin=bench-1"),
        format!("runs?cursor={run}&plugin=bench-4"),
        format!("runs?cursor={run}&state=dead"),
        format!("runs?until={at}"),
        format!("runs?until={at}&state=dead"),
        format!("runs?since={at}&plugin=bench-4"),
        "runs?until=2000-01-01T00:00:00Z".to_owned(),
        format!("runs/{run}"),
    ]);
    paths
}

/// Every page of the dashboard.
fn pages(far: &Far) -> Vec<String> {
    let Far { event, run, at } = far;
    let mut pages: Vec<String> = [
        "/",
        "/?window=6h",
        "/?window=24h",
        "/?window=7d",
        "/events",
        "/events?source=orders",
        "/events?kind=area3.*",
        "/events?q=bench-777",
        "/events?q=nowhere-to-be-found",
        "/events/replay",
        "/runs",
        "/runs?plugin=github-push",
        "/runs?plugin=bench-3",
        "/runs?plugin=bench-4",
        "/runs?state=dead",
        "/runs?state=blocked",
        "/runs?state=dead&plugin=bench-4",
        "/runs/retry",
        "/plugins",
        "/plugins/github-push",
        "/plugins/bench-3",
        "/plugins/bench-4",
        "/plugins/github-push/kv",
        "/sources",
        "/sources/github",
        "/quarantine",
        "/quarantine/release",
        "/operations",
        "/send",
        "/audit",
        "/tokens",
    ]
    .map(str::to_owned)
    .into();
    pages.extend([
        format!("/events?cursor={event}"),
        format!("/events?until={at}&source=orders"),
        format!("/events/{event}"),
        format!("/runs?cursor={run}"),
        format!("/runs?cursor={run}&plugin=bench-4"),
        format!("/runs?until={at}&state=dead"),
        format!("/runs?event={event}"),
        format!("/runs/{run}"),
    ]);
    pages
}
