//! `stats`: what happened over time, and how deep the queue is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::clock::{Timestamp, millis};
use crate::config::units;
use crate::metrics::Latencies;
use crate::store::{PluginStep, PluginSum, SourceStep};

use super::page::Parameters;
use super::plugins::{counts_of, states};
use super::schema::{StepLength, Window};
use super::{Admin, AdminError};

const WINDOW_DEFAULT: &str = "1h";
pub(super) const WINDOWS: RangeInclusive<Duration> =
    RangeInclusive::new(Duration::from_mins(1), Duration::from_hours(24 * 31));
const STEP_DEFAULT: &str = "1m";
pub(super) const STEPS: RangeInclusive<Duration> =
    RangeInclusive::new(Duration::from_mins(1), Duration::from_hours(24));
/// How far back attempts are counted by plugin, whatever the window: what fails now is of now.
const ATTEMPTS_OF: Duration = Duration::from_hours(1);
/// Most steps of a series.
const STEPS_MAX: u128 = 1500;

/// Over what time, in how long steps.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// How far back, such as `6h`; 1 minute to 31 days, 1 hour if not given
    #[param(value_type = Option<Window>)]
    window: Option<String>,
    /// How long one step is, such as `5m`; 1 minute to 1 day, 1 minute if not given. A window has
    /// at most 1500 steps
    #[param(value_type = Option<StepLength>)]
    step: Option<String>,
}

/// The answer of `GET stats`.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct StatsJson {
    window: String,
    step_s: u64,
    series: Vec<StepJson>,
    queue: Vec<QueueJson>,
    /// Of each plugin that has tried something in the last hour, whatever the window.
    attempts: Vec<AttemptsJson>,
}

/// How the attempts of one plugin ended in the last hour.
#[derive(Serialize, ToSchema)]
#[schema(as = StatsAttempts)]
struct AttemptsJson {
    plugin: String,
    succeeded: i64,
    failed: i64,
    /// Runs that died by them.
    dead: i64,
    /// The minute in which one succeeded last.
    last_succeeded_at: Option<Timestamp>,
    /// Those that failed after that minute.
    failed_since: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsStep)]
struct StepJson {
    at: Timestamp,
    received: i64,
    duplicates: i64,
    rejected: i64,
    succeeded: i64,
    failed: i64,
    dead: i64,
    ack_p50_ms: Option<f64>,
    ack_p99_ms: Option<f64>,
    run_p50_ms: Option<f64>,
    run_p99_ms: Option<f64>,
    /// Most runs that were not over in one of its minutes; null where nobody has looked.
    queued: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatsQueue)]
struct QueueJson {
    plugin: String,
    ready: i64,
    running: i64,
    waiting: i64,
    blocked: i64,
    oldest_s: Option<u64>,
}

/// What is summed up in one step.
#[derive(Default)]
struct Step {
    received: i64,
    duplicates: i64,
    rejected: i64,
    succeeded: i64,
    failed: i64,
    dead: i64,
    ack: Latencies,
    run: Latencies,
    queued: Option<i64>,
}

/// `GET stats?window=1h&step=1m`.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "seeing", summary = "Counts over time, and the depth of the queue",
    params(StatsQuery),
    responses((status = 200, description = "One entry for each step, oldest first", body = StatsJson)),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<StatsJson>, AdminError> {
    let query = StatsQuery {
        window: parameters.take("window"),
        step: parameters.take("step"),
    };
    parameters.finish()?;
    let window_text = query.window.unwrap_or_else(|| WINDOW_DEFAULT.to_owned());
    let window = duration("window", &window_text, &WINDOWS)?;
    let step_text = query.step.unwrap_or_else(|| STEP_DEFAULT.to_owned());
    let step = duration("step", &step_text, &STEPS)?;
    if window.as_millis() / step.as_millis() > STEPS_MAX {
        let problem =
            format!("a window of {window_text} has more than {STEPS_MAX} steps of {step_text}");
        return Err(AdminError::Invalid(problem));
    }
    let now = admin.clock.now();
    let series = series(&admin, now, window, step).await?;
    let queue = queue(&admin, now).await?;
    let attempts = attempts(&admin, now.minus(ATTEMPTS_OF)).await?;
    Ok(Json(StatsJson {
        window: window_text,
        step_s: step.as_secs(),
        series,
        queue,
        attempts,
    }))
}

/// One entry for each step, oldest first; nothing happened in those that are zero.
async fn series(
    admin: &Admin,
    now: Timestamp,
    window: Duration,
    step: Duration,
) -> Result<Vec<StepJson>, AdminError> {
    let step_ms = millis(step);
    let start_of = |ms: i64| ms - ms.rem_euclid(step_ms);
    let first = start_of(now.minus(window).millis()) + step_ms;
    let mut steps: BTreeMap<i64, Step> = BTreeMap::new();
    let mut start = first;
    while start <= now.millis() {
        steps.insert(start, Step::default());
        start += step_ms;
    }
    let since = Timestamp::from_millis(first);
    let (present, present_sources, present_plugins) = admin.metrics.minutes.peek();
    let (sources, plugins) = admin.store.steps(since, step_ms, present).await?;
    let present = present_sources.into_iter().map(|minute| SourceStep {
        start_ms: start_of(minute.minute_ms),
        received: minute.received,
        duplicates: minute.duplicates,
        rejected: minute.rejected,
        ack: format!("[{}]", minute.ack),
    });
    for row in sources.into_iter().chain(present) {
        if let Some(step) = steps.get_mut(&row.start_ms) {
            step.received += row.received;
            step.duplicates += row.duplicates;
            step.rejected += row.rejected;
            step.ack.add_all(&row.ack);
        }
    }
    let present = present_plugins.into_iter().map(|minute| PluginStep {
        start_ms: start_of(minute.minute_ms),
        succeeded: minute.succeeded,
        failed: minute.failed,
        dead: minute.dead,
        run: format!("[{}]", minute.run),
    });
    for row in plugins.into_iter().chain(present) {
        if let Some(step) = steps.get_mut(&row.start_ms) {
            step.succeeded += row.succeeded;
            step.failed += row.failed;
            step.dead += row.dead;
            step.run.add_all(&row.run);
        }
    }
    for row in admin.store.queue_steps(since, step_ms).await? {
        if let Some(step) = steps.get_mut(&row.start_ms) {
            step.queued = Some(row.queued);
        }
    }
    Ok(steps
        .into_iter()
        .map(|(start, step)| step_json(start, &step))
        .collect())
}

fn step_json(start: i64, step: &Step) -> StepJson {
    StepJson {
        at: Timestamp::from_millis(start),
        received: step.received,
        duplicates: step.duplicates,
        rejected: step.rejected,
        succeeded: step.succeeded,
        failed: step.failed,
        dead: step.dead,
        ack_p50_ms: step.ack.quantile_ms(0.5),
        ack_p99_ms: step.ack.quantile_ms(0.99),
        run_p50_ms: step.run.quantile_ms(0.5),
        run_p99_ms: step.run.quantile_ms(0.99),
        queued: step.queued,
    }
}

async fn queue(admin: &Admin, now: Timestamp) -> Result<Vec<QueueJson>, AdminError> {
    let board = admin.board.load_full();
    let ids = board.entries.values().filter_map(|entry| entry.id);
    let counts = admin.store.runs_of_plugins(ids).await?;
    let mut queue = Vec::new();
    for entry in board.entries.values() {
        let Some(live) = counts_of(entry, &counts) else {
            continue;
        };
        let [(_, ready), (_, running), (_, waiting), (_, blocked)] =
            states(&live, entry.can_run(admin.clock.now()));
        queue.push(QueueJson {
            plugin: entry.name.to_string(),
            ready,
            running,
            waiting,
            blocked,
            oldest_s: live
                .oldest_ms
                .map(|ms| now.since(Timestamp::from_millis(ms)).as_secs()),
        });
    }
    Ok(queue)
}

/// By plugin, the present minute included.
async fn attempts(admin: &Admin, since: Timestamp) -> Result<Vec<AttemptsJson>, AdminError> {
    let (present, _, minutes) = admin.metrics.minutes.peek();
    let sums = admin.store.plugin_sums(since, present).await?;
    let mut sums: BTreeMap<String, PluginSum> = sums
        .into_iter()
        .map(|sum| (sum.plugin.clone(), sum))
        .collect();
    // Nothing may have been counted for longer than that.
    for minute in minutes
        .iter()
        .filter(|minute| minute.minute_ms >= since.millis())
    {
        sums.entry(minute.plugin.clone()).or_default().add(minute);
    }
    let json = |(plugin, sum): (String, PluginSum)| AttemptsJson {
        plugin,
        succeeded: sum.succeeded,
        failed: sum.failed,
        dead: sum.dead,
        last_succeeded_at: sum.last_succeeded,
        failed_since: sum.failed_since,
    };
    Ok(sums.into_iter().map(json).collect())
}

fn duration(
    name: &str,
    text: &str,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, AdminError> {
    let wrong = |why: String| AdminError::Invalid(format!("parameter `{name}`: {why}"));
    // A configuration may part number and unit.
    if text.contains(char::is_whitespace) {
        return Err(wrong(format!("`{text}` has a blank in it")));
    }
    let duration = units::duration(text).map_err(|error| wrong(error.to_string()))?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(wrong(format!(
        "`{text}` is outside {:?} to {:?}",
        bounds.start(),
        bounds.end()
    )))
}
