//! `runs`: list, show with attempts and logs, retry, cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::clock::Timestamp;
use crate::config::units;
use crate::dispatch::Board;
use crate::event::EventId;
use crate::http::Problem;
use crate::run::{RunId, RunState};
use crate::store::{AttemptRow, Cancelled, Retried, RunFilter, RunRow, VersionRow};

use super::page::{Page, Parameters};
use super::plugins::named;
use super::schema::{JsonTime, RetriedState, Time};
use super::{Admin, AdminError, journals};

/// A run.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
pub(super) struct RunJson {
    id: RunId,
    event_id: EventId,
    plugin: String,
    source: String,
    kind: String,
    state: RunState,
    attempt: u32,
    max_attempts: u32,
    created_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    outcome: Option<String>,
    summary: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    error: Option<ErrorJson>,
    /// The version of its plugin that made the last attempt that has ended.
    digest: Option<String>,
}

/// One run with its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = RunDetail)]
pub(super) struct RunDetail {
    #[serde(flatten)]
    run: RunJson,
    /// It is dead, and the runs of its ordering key wait behind it until it is retried or
    /// cancelled.
    blocks_key: bool,
    /// It is blocked by its ordering key until this run is over; a dead one that blocks the key
    /// until it is retried or cancelled.
    waits_behind: Option<RunId>,
    attempts: Vec<AttemptJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RunError)]
struct ErrorJson {
    code: String,
    message: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptJson {
    n: i64,
    digest: Option<String>,
    /// What its author calls the version with this digest, if that was noted.
    version: Option<String>,
    host: String,
    started_at: Timestamp,
    duration_ms: f64,
    cpu_ms: f64,
    memory_bytes: i64,
    egress_bytes: i64,
    host_calls_ms: f64,
    outcome: String,
    error: Option<ErrorJson>,
    logs: Vec<LogJson>,
    /// Empty if it is not kept, or too long to be shown here.
    #[schema(value_type = Vec<serde_json::Value>)]
    journal: Vec<Box<RawValue>>,
    /// As it is kept, packed; it is read whole at `runs/{id}/attempts/{n}/journal`.
    journal_size_bytes: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogLine)]
struct LogJson {
    at: Timestamp,
    level: String,
    message: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

/// Which runs are meant, in a list and in bulk.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = RunFilter)]
pub(super) struct RunQuery {
    /// Of this plugin
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    #[schema(value_type = String, required = false, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    plugin: Option<String>,
    /// In this state
    #[schema(value_type = RetriedState, required = false)]
    state: Option<RunState>,
    /// Of this event
    #[schema(value_type = EventId, required = false)]
    event: Option<EventId>,
    /// Stored at this time (RFC 3339, or Unix seconds) or later
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    since: Option<Timestamp>,
    /// Stored before this time
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    until: Option<Timestamp>,
}

/// `GET runs`.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs", summary = "Lists runs, newest first",
    params(RunQuery, ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<RunId>, Query, description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<RunJson>), (status = 404, description = "There is no such plugin", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<RunJson>>, AdminError> {
    let board = admin.board.load_full();
    let limit = parameters.limit()?;
    let before = parameters.place("cursor")?.map(RunId);
    let asked = RunQuery::take(&mut parameters)?.filter(&board);
    parameters.finish()?;
    let filter = RunFilter {
        before,
        limit: limit + 1,
        blocked: board.blocked(admin.clock.now()),
        ..named::explained(&admin, asked).await?
    };
    let items = runs_json(&board, admin.store.runs(&filter).await?);
    Ok(Page::new(items, limit, |run: &RunJson| run.id.to_string()).json())
}

/// `GET runs/{id}`.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs", summary = "Shows one run with its attempts",
    params(("id" = RunId, Path, description = "The run's id")),
    responses((status = 200, description = "The run", body = RunDetail)),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<RunDetail>, AdminError> {
    detail(&admin, run_id(&id)?).await.map(Json)
}

/// `POST runs/{id}/retry`: a dead or cancelled run gets a fresh budget, a waiting
/// one is due now, any other is a conflict.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/retry", tag = "runs", summary = "Grants a run another attempt",
    params(("id" = RunId, Path, description = "The run's id")),
    responses((status = 202, description = "The run", body = RunDetail), (status = 409, description = "Its state does not allow it", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RunDetail>), AdminError> {
    let id = run_id(&id)?;
    match admin.store.retry(id).await? {
        Retried::Due(plugin) => {
            admin.wakeup.ring_everywhere(&[plugin]);
            Ok((StatusCode::ACCEPTED, Json(detail(&admin, id).await?)))
        }
        Retried::Unknown => Err(AdminError::unknown("run", id)),
        Retried::NotNow(state) => {
            let state = state.as_str();
            Err(AdminError::NotNow(format!(
                "run `{id}` is {state}; only waiting, dead and cancelled runs are retried"
            )))
        }
        Retried::EventGone => Err(AdminError::NotNow(format!(
            "the event of run `{id}` is not kept any more"
        ))),
        Retried::PluginGone => Err(AdminError::NotNow(format!(
            "the plugin of run `{id}` was forgotten"
        ))),
    }
}

/// `POST runs/{id}/cancel`: ends a run that is not over, and its guest with it, or a
/// dead one that blocks its ordering key; any other is a conflict.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "runs", summary = "Ends a run",
    params(("id" = RunId, Path, description = "The run's id")),
    responses((status = 202, description = "The run", body = RunDetail), (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RunDetail>), AdminError> {
    let id = run_id(&id)?;
    match admin.store.cancel(id).await? {
        Cancelled::Done(plugin) => {
            admin.wakeup.lost(&[id]);
            // Those behind it may go on.
            admin.wakeup.ring_everywhere(&[plugin]);
            Ok((StatusCode::ACCEPTED, Json(detail(&admin, id).await?)))
        }
        Cancelled::Unknown => Err(AdminError::unknown("run", id)),
        Cancelled::NotNow(state) => {
            let state = state.as_str();
            Err(AdminError::NotNow(format!(
                "run `{id}` is {state}: it is over"
            )))
        }
    }
}

impl RunQuery {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, AdminError> {
        let state = parameters.take("state").map(|text| {
            RunState::parse(&text).ok_or_else(|| {
                AdminError::Invalid(format!("parameter `state`: `{text}` is no state"))
            })
        });
        Ok(Self {
            plugin: parameters.take("plugin"),
            event: parameters.parse("event")?,
            state: state.transpose()?,
            since: parameters.time("since")?,
            until: parameters.time("until")?,
        })
    }

    pub(super) fn filter(self, board: &Board) -> Result<RunFilter, AdminError> {
        let plugin = self.plugin.map(|name| named::any_id_of(board, &name));
        Ok(RunFilter {
            plugin: plugin.transpose()?,
            event: self.event,
            state: self.state,
            since: self.since,
            until: self.until,
            ..RunFilter::default()
        })
    }
}

async fn detail(admin: &Admin, id: RunId) -> Result<RunDetail, AdminError> {
    let board = admin.board.load_full();
    let filter = RunFilter {
        id: Some(id),
        blocked: board.blocked(admin.clock.now()),
        limit: 1,
        ..RunFilter::default()
    };
    let run = admin.store.runs(&filter).await?.pop();
    let run = run.ok_or_else(|| AdminError::unknown("run", id))?;
    let attempts = admin.store.attempts(id).await?;
    let versions = admin.store.versions(run.plugin).await?;
    let blocks_key = run.state == RunState::Dead && admin.store.blocks_its_key(id).await?;
    let waits_behind = match run.state {
        RunState::Blocked => admin.store.first_of_its_key(id).await?,
        _ => None,
    };
    let json = |attempt| attempt_json(attempt, &versions);
    Ok(RunDetail {
        waits_behind,
        attempts: attempts.into_iter().map(json).collect(),
        blocks_key,
        run: run_json(&board, run),
    })
}

/// Rows as JSON, with what only the board knows.
pub(super) fn runs_json(board: &Board, rows: Vec<RunRow>) -> Vec<RunJson> {
    rows.into_iter().map(|row| run_json(board, row)).collect()
}

fn run_json(board: &Board, row: RunRow) -> RunJson {
    let plugin = board.by_id(row.plugin);
    let attempts = plugin.map_or(0, |entry| entry.settings.retry.attempts);
    // A live run's next attempt is due at its time, unless it is under way.
    let is_waiting = matches!(
        row.state,
        RunState::Ready | RunState::Waiting | RunState::Blocked
    );
    RunJson {
        id: row.id,
        event_id: row.event,
        plugin: named::name_of(board, row.plugin),
        source: row.source,
        kind: row.kind,
        state: row.state,
        attempt: row.attempt,
        max_attempts: row
            .max_attempts
            .unwrap_or_else(|| attempts.saturating_add(row.free_attempts)),
        created_at: row.created_at,
        next_attempt_at: row.due_at.filter(|_| is_waiting),
        finished_at: row.finished_at,
        error: error_json(row.error, row.outcome.as_deref()),
        outcome: row.outcome,
        summary: row.summary,
        data: row.data.and_then(|data| RawValue::from_string(data).ok()),
        digest: row.digest.map(hex::encode),
    }
}

fn error_json(message: Option<String>, code: Option<&str>) -> Option<ErrorJson> {
    message.map(|message| ErrorJson {
        code: code.unwrap_or_default().to_owned(),
        message,
    })
}

fn attempt_json(row: AttemptRow, versions: &[VersionRow]) -> AttemptJson {
    let error = error_json(row.error, Some(&row.outcome));
    let digest = row.digest.map(hex::encode);
    let version = versions
        .iter()
        .find(|version| Some(&version.digest) == digest.as_ref());
    AttemptJson {
        n: row.n,
        version: version.and_then(|version| version.version.clone()),
        digest,
        host: row.host,
        started_at: Timestamp::from_millis(row.started_ms),
        duration_ms: row.duration_us as f64 / 1000.0,
        cpu_ms: row.cpu_us as f64 / 1000.0,
        memory_bytes: row.memory_bytes,
        egress_bytes: row.egress_bytes,
        host_calls_ms: row.calls_us as f64 / 1000.0,
        outcome: row.outcome,
        error,
        logs: logs_json(&row.logs),
        journal: journals::calls(row.journal.as_deref()),
        journal_size_bytes: row.journal_bytes,
    }
}

/// A stored line: when (ms), level, message, fields.
pub(super) type StoredLine = (i64, String, String, Vec<(String, String)>);

fn logs_json(stored: &str) -> Vec<LogJson> {
    let lines: Vec<StoredLine> = serde_json::from_str(stored).unwrap_or_default();
    let line = |(at, level, message, fields): StoredLine| LogJson {
        at: Timestamp::from_millis(at),
        level,
        message,
        fields: fields
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
    };
    lines.into_iter().map(line).collect()
}

pub(super) fn run_id(text: &str) -> Result<RunId, AdminError> {
    units::place(text)
        .map(RunId)
        .ok_or_else(|| AdminError::unknown("run", text))
}
