//! `events`: list, show, the exact body, replay.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::clock::Timestamp;
use crate::dispatch::{Board, new_runs};
use crate::event::{Event, EventId};
use crate::http::Problem;
use crate::run::{PluginId, RunState};
use crate::store::{Cancelled, Erased, EventFilter, EventRow, RunCounts, RunFilter};
use crate::trigger::KindPattern;

use super::page::{Page, Parameters};
use super::plugins::named;
use super::problems::JsonBytes;
use super::runs::{RunJson, runs_json};
use super::schema::{JsonTime, Time};
use super::search::{self, FoundJson, Place};
use super::{Admin, AdminError};

/// Most runs that are shown with one event.
const RUNS_MAX: u32 = 1000;

/// An event in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventJson {
    #[serde(flatten)]
    about: EventAbout,
    runs: BTreeMap<&'static str, i64>,
}

/// One event, whole.
#[derive(Serialize, ToSchema)]
#[schema(as = EventDetail)]
pub(super) struct EventDetail {
    #[serde(flatten)]
    about: EventAbout,
    headers: Vec<(String, String)>,
    runs: Vec<RunJson>,
    no_run_reason: Option<String>,
}

/// The part that one event and an event in a list share.
#[derive(Serialize, ToSchema)]
#[schema(as = EventAbout)]
pub(super) struct EventAbout {
    id: EventId,
    source: String,
    provider: String,
    kind: String,
    delivery_id: Option<String>,
    received_at: Timestamp,
    size_bytes: i64,
    content_type: Option<String>,
    handshake: bool,
    dedup_conflict: bool,
    /// Released from quarantine without proof.
    forced: bool,
}

/// `POST events/{id}/replay`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Replay)]
struct Replay {
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    plugin: Option<String>,
}

/// Which events are meant, in a list and in bulk.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = EventFilter)]
pub(super) struct EventQuery {
    /// Of this source
    #[param(min_length = 1)]
    #[schema(value_type = String, required = false, min_length = 1)]
    source: Option<String>,
    /// Of a kind that fits; `*` is one segment, `**` the rest
    #[schema(value_type = KindPattern, required = false)]
    kind: Option<KindPattern>,
    /// Received at this time (RFC 3339, or Unix seconds) or later
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    since: Option<Timestamp>,
    /// Received before this time
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    until: Option<Timestamp>,
}

/// The runs that a replay began.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
pub(super) struct ReplayedJson {
    runs: Vec<RunJson>,
}

/// `GET events`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", summary = "Lists events, newest first",
    params(EventQuery, ("q" = Option<String>, Query, min_length = 1, description = "Looks for this in ids, kinds and indexed values, then in the newest bodies"), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^((bodies[.](kinds[.])?(unread[.])?|kinds[.])?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|bodies[.](kinds[.])?)$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = FoundJson)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Response<Body>, AdminError> {
    let limit = parameters.limit()?;
    let filter = EventFilter::from(EventQuery::take(&mut parameters)?);
    let place = parameters.parse::<Place>("cursor")?;
    let q = parameters.take("q");
    parameters.finish()?;
    if let Some(q) = q {
        let found = search::find(&admin, &q, filter, place, limit);
        return Ok(found.await?.into_response());
    }
    // A search that goes on without what it sought is a list from there on.
    let filter = EventFilter {
        before: place.and_then(|place| place.before),
        limit: limit + 1,
        ..filter
    };
    let page = admin.store.events(&filter).await?;
    let looked_to = page.looked_to.filter(|_| !page.is_end);
    let items = events_json(&admin, page.events).await?;
    let cursor = |event: &EventJson| event.about.id.to_string();
    let page = Page::new(items, limit, cursor).or_behind(looked_to.map(|id| id.to_string()));
    Ok(page.json().into_response())
}

/// Rows as JSON, each with how many runs it has.
pub(super) async fn events_json(
    admin: &Admin,
    rows: Vec<EventRow>,
) -> Result<Vec<EventJson>, AdminError> {
    let ids: Vec<EventId> = rows.iter().map(|row| row.id).collect();
    let counts = admin.store.run_counts(&ids).await?;
    let counts = by_event(&admin.board.load(), counts, admin.clock.now());
    let json = |row| event_json(row, &counts);
    Ok(rows.into_iter().map(json).collect())
}

/// `GET events/{id}`.
#[utoipa::path(
    get, path = "/api/v1/events/{id}", tag = "events", summary = "Shows one event with its headers and runs",
    params(("id" = EventId, Path, description = "The event's id")),
    responses((status = 200, description = "The event", body = EventDetail), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<EventDetail>, AdminError> {
    let (row, event) = stored(&admin, &id).await?;
    let board = admin.board.load_full();
    let filter = RunFilter {
        event: Some(event.id),
        blocked: board.blocked(admin.clock.now()),
        limit: RUNS_MAX,
        ..RunFilter::default()
    };
    let runs = runs_json(&board, admin.store.runs(&filter).await?);
    let header = |(name, value): (&str, &[u8])| {
        (name.to_owned(), String::from_utf8_lossy(value).into_owned())
    };
    Ok(Json(EventDetail {
        headers: event.headers.visible().map(header).collect(),
        // A replay gives runs to an event that had none.
        no_run_reason: row.no_run_reason.clone().filter(|_| runs.is_empty()),
        about: about(row),
        runs,
    }))
}

/// `GET events/{id}/body`: the exact bytes.
#[utoipa::path(
    get, path = "/api/v1/events/{id}/body", tag = "events", summary = "Gives the exact bytes of the body",
    params(("id" = EventId, Path, description = "The event's id")),
    responses((status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream"), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn body(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, AdminError> {
    let (_, event) = stored(&admin, &id).await?;
    // Bytes of strangers: never to be taken for a page by a browser.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, event.body.clone()).into_response())
}

/// `POST events/{id}/replay {"plugin"?}`: a new run for one plugin, or for each
/// whose trigger matches now.
#[utoipa::path(
    post, path = "/api/v1/events/{id}/replay", tag = "events", summary = "Starts new runs of a stored event",
    params(("id" = EventId, Path, description = "The event's id")),
    request_body(content = Option<Replay>),
    responses((status = 202, description = "The new runs", body = ReplayedJson), (status = 409, description = "No trigger matches", body = Problem, content_type = "application/problem+json"), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: JsonBytes,
) -> Result<(StatusCode, Json<ReplayedJson>), AdminError> {
    let wanted: Option<Replay> = body.object_if_any()?;
    let plugin = wanted.and_then(|wanted| wanted.plugin);
    let (_, event) = stored(&admin, &id).await?;
    let board = admin.board.load_full();
    let plugin = plugin.map(|name| named::runnable_id(&board, &name));
    let plugin = named::explained(&admin, plugin.transpose()).await?;
    let new = new_runs(&board, &event, plugin).await?;
    if new.is_empty() {
        let kind = &event.kind;
        return Err(AdminError::NotNow(format!(
            "no plugin's trigger matches `{kind}` from source `{}`",
            event.source
        )));
    }
    let plugins: Vec<PluginId> = new.iter().map(|run| run.plugin).collect();
    let runs = admin.store.replay(event.id, new).await?;
    // It may have been removed since it was read.
    let runs = runs.ok_or_else(|| AdminError::unknown("event", event.id))?;
    admin.wakeup.ring_everywhere(&plugins);
    let mut items = Vec::with_capacity(runs.len());
    for run in runs {
        let filter = RunFilter {
            id: Some(run),
            blocked: board.blocked(admin.clock.now()),
            limit: 1,
            ..RunFilter::default()
        };
        items.extend(runs_json(&board, admin.store.runs(&filter).await?));
    }
    Ok((StatusCode::ACCEPTED, Json(ReplayedJson { runs: items })))
}

/// `DELETE events/{id}`: erases it with its runs, unless one of them needs it; with
/// `?cancel=true` such runs are cancelled first.
#[utoipa::path(
    delete, path = "/api/v1/events/{id}", tag = "events",
    summary = "Erases an event with its runs",
    params(("id" = EventId, Path, description = "The event's id"), ("cancel" = Option<bool>, Query, description = "Cancel runs that need it")),
    responses((status = 204, description = "It is gone"), (status = 409, description = "A run needs it", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn erase(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<StatusCode, AdminError> {
    let cancels: bool = parameters.parse("cancel")?.unwrap_or(false);
    parameters.finish()?;
    let unknown = || AdminError::unknown("event", &id);
    let event: EventId = id.parse().map_err(|_| unknown())?;
    let mut erased = admin.store.erase_event(event).await?;
    if let (Erased::Needed(runs), true) = (&erased, cancels) {
        for run in runs {
            if let Cancelled::Done(plugin) = admin.store.cancel(*run).await? {
                admin.wakeup.lost(&[*run]);
                admin.wakeup.ring_everywhere(&[plugin]);
            }
        }
        erased = admin.store.erase_event(event).await?;
    }
    match erased {
        Erased::Gone => Ok(StatusCode::NO_CONTENT),
        Erased::Unknown => Err(unknown()),
        Erased::Needed(runs) => {
            let runs: Vec<String> = runs.iter().take(10).map(ToString::to_string).collect();
            let runs = runs.join(", ");
            Err(AdminError::NotNow(format!(
                "runs need event `{id}` ({runs}); cancel them, or ask with `?cancel=true`"
            )))
        }
    }
}

impl EventQuery {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, AdminError> {
        Ok(Self {
            source: parameters.take("source"),
            kind: parameters.parse("kind")?,
            since: parameters.time("since")?,
            until: parameters.time("until")?,
        })
    }
}

impl From<EventQuery> for EventFilter {
    fn from(query: EventQuery) -> Self {
        Self {
            source: query.source,
            kind: query.kind,
            since: query.since,
            until: query.until,
            ..Self::default()
        }
    }
}

/// The event with this id; a text that is no id names no event.
async fn stored(admin: &Admin, id: &str) -> Result<(EventRow, Arc<Event>), AdminError> {
    let unknown = || AdminError::unknown("event", id);
    let parsed: EventId = id.parse().map_err(|_| unknown())?;
    let found = admin.store.event(parsed).await;
    let found = found.map_err(AdminError::reading("event", id))?;
    found.ok_or_else(unknown)
}

type Counts = BTreeMap<EventId, BTreeMap<&'static str, i64>>;

/// Counts by event and state as users see it.
fn by_event(board: &Board, rows: Vec<RunCounts>, now: Timestamp) -> Counts {
    let blocked = board.blocked(now);
    let mut counts = Counts::new();
    for row in rows {
        let stored = row.state;
        let waits = matches!(stored, RunState::Ready | RunState::Waiting);
        let state = if waits && blocked.contains(&row.plugin) {
            RunState::Blocked
        } else {
            stored
        };
        *counts
            .entry(row.event)
            .or_default()
            .entry(state.as_str())
            .or_default() += row.count;
    }
    counts
}

pub(super) fn about(row: EventRow) -> EventAbout {
    EventAbout {
        id: row.id,
        source: row.source,
        provider: row.provider,
        kind: row.kind,
        delivery_id: row.delivery_id,
        received_at: row.received_at,
        size_bytes: row.size_bytes,
        content_type: row.content_type,
        handshake: row.is_handshake,
        dedup_conflict: row.dedup_conflict,
        forced: row.is_forced,
    }
}

fn event_json(row: EventRow, counts: &Counts) -> EventJson {
    let runs = counts.get(&row.id).cloned().unwrap_or_default();
    EventJson {
        runs,
        about: about(row),
    }
}
