//! The admin API: what operators and programs see and steer (`/api/v1`).
//!
//! Everything needs the token, before path or body is looked at. Each resource
//! has a file of its own with its JSON; rows of the store become JSON there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use subtle::ConstantTimeEq;
use tokio::sync::{Mutex, Notify};

use crate::clock::{Clock, Timestamp};
use crate::config::Secret;
use crate::dispatch::{ControlError, Controls, SharedBoard, Shelf, Wakeup};
use crate::http::Problem;
use crate::ingest::Sources;
use crate::metrics::{Depth, Metrics};
use crate::plugin::Rescan;
use crate::store::{Store, StoreError};

mod backup;
mod events;
mod journals;
mod operations;
mod page;
mod plugins;
mod runs;
mod sources;
mod stats;

pub(crate) use backup::SHA256_HEADER as BACKUP_SHA256;

/// What the admin API answers with.
pub struct Admin {
    /// Events, runs, state.
    pub store: Store,
    /// Plugins.
    pub board: SharedBoard,
    /// Inbound addresses.
    pub sources: Arc<Sources>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who waits for new runs.
    pub wakeup: Arc<Wakeup>,
    /// Rung when the registry has changed.
    pub registry_changed: Arc<Notify>,
    /// Rung when an operation has begun.
    pub operation_begun: Arc<Notify>,
    /// Asks for a scan of the plugins directory.
    pub rescan: Rescan,
    /// Asks plugins for other versions, or to be gone.
    pub controls: Controls,
    /// Where versions are kept.
    pub shelf: Shelf,
    /// The time.
    pub clock: Clock,
    /// What everybody must show.
    pub token: Secret,
    /// Whether `/metrics` answers everybody.
    pub metrics_open: bool,
    /// This host's name, for people.
    pub host_name: Arc<str>,
    /// Where the host keeps files of its own.
    pub data_dir: PathBuf,
    /// Held while a backup is made.
    pub backup_turn: Arc<Mutex<()>>,
}

/// Why a request of an operator is not answered as asked.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("there is no {what} `{id}`")]
    Unknown { what: &'static str, id: String },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotNow(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The routes, each with its function.
pub(crate) fn routes(admin: Arc<Admin>) -> Router {
    let api = Router::new()
        .route("/events", get(events::list))
        .route("/events/replay", post(operations::replay))
        .route("/events/{id}", get(events::show))
        .route("/events/{id}/body", get(events::body))
        .route("/events/{id}/replay", post(events::replay))
        .route("/runs", get(runs::list))
        .route("/runs/retry", post(operations::retry))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/attempts/{n}/journal", get(journals::show))
        .route("/runs/{id}/retry", post(runs::retry))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/plugins", get(plugins::list))
        .route("/plugins/rescan", post(plugins::rescan))
        .route("/plugins/{name}", get(plugins::show))
        .route("/plugins/{name}/kv", get(plugins::kv))
        .route("/plugins/{name}/pause", post(plugins::pause))
        .route("/plugins/{name}/resume", post(plugins::resume))
        .route("/plugins/{name}/rollback", post(plugins::roll_back))
        .route("/plugins/{name}/unpin", post(plugins::unpin))
        .route("/plugins/{name}/forget", post(plugins::forget))
        .route("/operations", get(operations::list))
        .route(
            "/operations/{id}",
            get(operations::show).delete(operations::cancel),
        )
        .route("/sources", get(sources::list))
        .route("/stats", get(stats::show))
        .route("/backup", post(backup::make));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&admin),
            authenticate,
        ))
        .with_state(admin)
}

/// Lets nobody pass without the token (RFC 6750).
async fn authenticate(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let is_open = admin.metrics_open && request.uri().path() == "/metrics";
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let is_right = token
        .is_some_and(|(_, token)| bool::from(token.trim().as_bytes().ct_eq(admin.token.expose())));
    if is_open || is_right {
        return next.run(request).await;
    }
    let detail = "send the admin token as `Authorization: Bearer …`".to_owned();
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "not authenticated")
        .detail(detail)
        .into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// `GET /metrics`: Prometheus text.
async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response<Body>, AdminError> {
    let board = admin.board.load_full();
    let mut depths = Vec::new();
    for entry in board.entries.values() {
        let Some(id) = entry.id else { continue };
        let live = admin.store.plugin_runs(id).await?;
        let age = |ms| admin.clock.now().since(Timestamp::from_millis(ms));
        depths.push(Depth {
            plugin: entry.name.to_string(),
            states: plugins::states(&live, entry.can_run(admin.clock.now())).to_vec(),
            oldest: live.oldest_ms.map(age),
        });
    }
    let mut states: std::collections::BTreeMap<&'static str, i64> =
        std::collections::BTreeMap::new();
    for state in ["active", "paused", "tripped", "held", "missing", "broken"] {
        states.insert(state, 0);
    }
    for entry in board.entries.values() {
        *states.entry(entry.state().as_str()).or_default() += 1;
    }
    let states: Vec<(&'static str, i64)> = states.into_iter().collect();
    let text = admin.metrics.text(&depths, &states);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

impl From<ControlError> for AdminError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownPlugin(name) => Self::unknown("plugin", name),
            ControlError::UnknownVersion(digest) => Self::unknown("version", digest),
            ControlError::NotNow(why) => Self::NotNow(why),
            ControlError::Store(error) => Self::Store(error),
            ControlError::Stopping => Self::Store(StoreError::Unavailable("the host is stopping")),
        }
    }
}

impl AdminError {
    fn unknown(what: &'static str, id: impl ToString) -> Self {
        Self::Unknown {
            what,
            id: id.to_string(),
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response<Body> {
        let (status, title) = match &self {
            Self::Unknown { .. } => (StatusCode::NOT_FOUND, "not found"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "bad request"),
            Self::NotNow(_) => (StatusCode::CONFLICT, "not possible now"),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let problem = Problem::new(status, title);
        if let Self::Failed(error) = &self {
            tracing::error!(%error, "the admin API cannot do what it was asked");
        }
        if let Self::Store(error) = &self {
            tracing::error!(%error, "the admin API cannot answer");
            return problem
                .detail("the database does not answer".to_owned())
                .retry_after(Duration::from_secs(5))
                .into_response();
        }
        problem.detail(self.to_string()).into_response()
    }
}
