//! `operations`: bulk replay and retry, and how far they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::config::units;
use crate::dispatch::Board;
use crate::http::Problem;
use crate::run::RunState;
use crate::store::{
    Begun, Ended, NewOperation, OperationId, OperationRow, OperationState, Request,
};

use super::access::{Caller, Target};
use super::events::EventQuery;
use super::page::{Page, Parameters};
use super::plugins::named;
use super::problems::JsonBytes;
use super::runs::RunQuery;
use super::schema::RETRIED;
use super::{Admin, AdminError};

/// The longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// An operation.
#[derive(Serialize, ToSchema)]
#[schema(as = Operation)]
pub(super) struct OperationJson {
    id: String,
    what: String,
    /// Whether it only counts: then `total` says how many would be done.
    dry_run: bool,
    /// What it is over, as the parameters of the list that it is of; null where that is not
    /// known.
    filter: Option<BTreeMap<&'static str, String>>,
    /// Of which plugin, where that is no part of the filter: for a replay the one that gets
    /// the new runs, null for every one that an event triggers.
    plugin: Option<String>,
    /// Whether a release asks for no proof.
    forced: bool,
    state: &'static str,
    done: i64,
    total: Option<i64>,
    /// The token that it was begun with; null if the host itself began it.
    created_by: Option<String>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    error: Option<String>,
}

/// `POST events/replay`: a filter must be given, an empty one is everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayWish)]
pub(super) struct ReplayWish {
    #[schema(value_type = EventQuery)]
    filter: serde_json::Map<String, serde_json::Value>,
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    plugin: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST runs/retry`: the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryWish)]
pub(super) struct RetryWish {
    #[schema(value_type = RunQuery)]
    filter: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to both.
#[derive(Serialize, ToSchema)]
#[schema(as = Begun)]
pub(super) struct BegunJson {
    pub(super) operation_id: String,
}

/// The same, with what the audit log is to say of it.
pub(super) type BegunAnswer = (StatusCode, Extension<Target>, Json<BegunJson>);

/// `POST events/replay {filter, "plugin"?, "dry_run"?}`: new runs for every stored
/// event that fits, oldest first.
#[utoipa::path(
    post, path = "/api/v1/events/replay", tag = "operations", summary = "Starts new runs of all events that fit",
    params(("idempotency-key" = Option<String>, Header, pattern = "^[!-~]([\\t -~]{0,253}[!-~])?$", description = "The same key begins the same operation once")),
    request_body(content = ReplayWish),
    responses((status = 202, description = "It has begun", body = BegunJson), (status = 404, description = "There is no such plugin", body = Problem, content_type = "application/problem+json"),(status = 409, description = "The key stands for another operation", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<BegunAnswer, AdminError> {
    let wish: ReplayWish = body.object()?;
    let mut parameters = Parameters::of_object(wish.filter)?;
    let filter = EventQuery::take(&mut parameters)?.into();
    parameters.finish()?;
    let plugin = wish.plugin.as_deref();
    let plugin = plugin.map(|name| named::runnable_id(&admin.board.load(), name));
    let plugin = named::explained(&admin, plugin.transpose()).await?;
    let request = Request::Replay { filter, plugin };
    begin(&admin, &caller, &headers, request, wish.dry_run).await
}

/// `POST runs/retry {filter, "dry_run"?}`: another attempt for every run that fits,
/// of the dead ones if no state is named.
#[utoipa::path(
    post, path = "/api/v1/runs/retry", tag = "operations", summary = "Grants all runs that fit another attempt",
    params(("idempotency-key" = Option<String>, Header, pattern = "^[!-~]([\\t -~]{0,253}[!-~])?$", description = "The same key begins the same operation once")),
    request_body(content = RetryWish),
    responses((status = 202, description = "It has begun", body = BegunJson), (status = 404, description = "There is no such plugin", body = Problem, content_type = "application/problem+json"),(status = 409, description = "The key stands for another operation", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<BegunAnswer, AdminError> {
    let wish: RetryWish = body.object()?;
    let mut parameters = Parameters::of_object(wish.filter)?;
    let query = RunQuery::take(&mut parameters)?;
    parameters.finish()?;
    let filter = query.filter(&admin.board.load());
    let mut filter = named::explained(&admin, filter).await?;
    let state = *filter.state.get_or_insert(RunState::Dead);
    if !RETRIED.contains(&state) {
        return Err(AdminError::Invalid(format!(
            "parameter `state` is `{}`; only dead, cancelled and waiting runs are retried",
            state.as_str()
        )));
    }
    let request = Request::Retry { filter };
    begin(&admin, &caller, &headers, request, wish.dry_run).await
}

/// Begins an operation, once for each idempotency key.
pub(super) async fn begin(
    admin: &Admin,
    caller: &Caller,
    headers: &HeaderMap,
    request: Request,
    is_dry_run: bool,
) -> Result<BegunAnswer, AdminError> {
    let key = idempotency_key(headers)?;
    let new = NewOperation {
        request,
        is_dry_run,
        created_by: Some(caller.token.to_string()),
        // Apart from the keys that the host itself gives.
        idempotency_key: key.map(|key| format!("api:{key}")),
    };
    let id = match admin.store.begin_operation(new).await? {
        Begun::New(id) => {
            admin.operation_begun.notify_one();
            id
        }
        Begun::Known(id) => id,
        Begun::KeyTaken(id) => {
            return Err(AdminError::NotNow(format!(
                "the idempotency key stands for operation `{id}`, which does something else"
            )));
        }
    };
    let operation_id = id.to_string();
    let target = Extension(Target(format!("operation {operation_id}")));
    Ok((
        StatusCode::ACCEPTED,
        target,
        Json(BegunJson { operation_id }),
    ))
}

/// `GET operations`.
#[utoipa::path(
    get, path = "/api/v1/operations", tag = "operations", summary = "Lists operations, newest first",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,19}$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<OperationJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<OperationJson>>, AdminError> {
    let limit = parameters.limit()?;
    let before = parameters.place("cursor")?.map(OperationId);
    parameters.finish()?;
    let rows = admin.store.operations(before, limit + 1).await?;
    let board = admin.board.load();
    let json = |row| operation_json(&board, row);
    let items = rows.into_iter().map(json).collect();
    Ok(Page::new(items, limit, |item: &OperationJson| item.id.clone()).json())
}

/// `GET operations/{id}`.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}", tag = "operations", summary = "Shows one operation",
    params(("id" = String, Path, pattern = "^[0-9]{1,19}$", description = "The operation's id")),
    responses((status = 200, description = "The operation", body = OperationJson)),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<OperationJson>, AdminError> {
    stored(&admin, operation_id(&id)?).await
}

/// `DELETE operations/{id}`: it does no more; what it has done stays.
#[utoipa::path(
    delete, path = "/api/v1/operations/{id}", tag = "operations", summary = "Ends an operation; what it has done stays",
    params(("id" = String, Path, pattern = "^[0-9]{1,19}$", description = "The operation's id")),
    responses((status = 200, description = "The operation", body = OperationJson), (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<OperationJson>, AdminError> {
    let id = operation_id(&id)?;
    match admin.store.cancel_operation(id).await? {
        Ended::Done => stored(&admin, id).await,
        Ended::Unknown => Err(AdminError::unknown("operation", id)),
        Ended::NotNow(OperationState::Running) => Err(AdminError::NotNow(format!(
            "operation `{id}` ends what a forgotten plugin left; it goes on to its end"
        ))),
        Ended::NotNow(state) => Err(AdminError::NotNow(format!(
            "operation `{id}` is over: it is {}",
            state.as_str()
        ))),
    }
}

async fn stored(admin: &Admin, id: OperationId) -> Result<Json<OperationJson>, AdminError> {
    let row = admin.store.operation(id).await?;
    row.map(|row| Json(operation_json(&admin.board.load(), row)))
        .ok_or_else(|| AdminError::unknown("operation", id))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, AdminError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().ok().map(str::trim);
    key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()))
        .map(Some)
        .ok_or_else(|| {
            AdminError::Invalid(format!(
                "header `Idempotency-Key` must be 1 to {KEY_BYTES_MAX} ASCII characters"
            ))
        })
}

fn operation_json(board: &Board, row: OperationRow) -> OperationJson {
    let request = row.request.as_ref();
    OperationJson {
        id: row.id.to_string(),
        what: row.what,
        dry_run: row.is_dry_run,
        filter: request.map(|request| filter_json(board, request)),
        plugin: request.and_then(|request| plugin_of(board, request)),
        forced: matches!(
            request,
            Some(Request::Release {
                is_forced: true,
                ..
            })
        ),
        state: row.state.as_str(),
        done: row.done,
        total: row.total,
        created_by: row.created_by,
        created_at: row.created_at,
        finished_at: row.finished_at,
        error: row.error,
    }
}

/// What an operation is over, in the parameters of the list that it is of.
fn filter_json(board: &Board, request: &Request) -> BTreeMap<&'static str, String> {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let parameters = match request {
        Request::Replay { filter, .. } => vec![
            ("source", filter.source.clone()),
            ("kind", filter.kind.as_ref().map(ToString::to_string)),
            ("since", time(filter.since)),
            ("until", time(filter.until)),
        ],
        Request::Retry { filter } => vec![
            ("plugin", filter.plugin.map(|id| named::name_of(board, id))),
            ("state", filter.state.map(|state| state.as_str().to_owned())),
            ("event", filter.event.map(|event| event.to_string())),
            ("since", time(filter.since)),
            ("until", time(filter.until)),
        ],
        Request::Release { filter, .. } => vec![
            ("source", filter.source.clone()),
            ("reason", filter.reason.clone()),
            ("since", time(filter.since)),
            ("until", time(filter.until)),
        ],
        Request::CatchUp { since, .. } => vec![("since", time(Some(*since)))],
        Request::Forget { .. } => Vec::new(),
    };
    let given = parameters.into_iter();
    given
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn plugin_of(board: &Board, request: &Request) -> Option<String> {
    match request {
        Request::Replay { plugin, .. } => plugin.map(|id| named::name_of(board, id)),
        Request::CatchUp { plugin, .. } => Some(plugin.clone()),
        Request::Forget { plugin } => Some(named::name_of(board, *plugin)),
        Request::Retry { .. } | Request::Release { .. } => None,
    }
}

fn operation_id(text: &str) -> Result<OperationId, AdminError> {
    units::place(text)
        .map(OperationId)
        .ok_or_else(|| AdminError::unknown("operation", text))
}
