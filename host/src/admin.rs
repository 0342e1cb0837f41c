//! The admin API: what operators and programs see and steer (`/api/v1`).
//!
//! Everything needs a token, before path or body is looked at (`access`). Each
//! resource has a file of its own with its JSON; rows of the store become JSON there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use tokio::sync::{Mutex, Notify, watch};

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::dispatch::{ControlError, Controls, SharedBoard, Shelf, Wakeup};
use crate::http::Problem;
use crate::ingest::{Door, Release, Sources};
use crate::metrics::{Depth, Metrics};
use crate::plugin::Rescan;
use crate::store::{DamagedRequest, Store, StoreError};

use access::{Routes, administers, operates, reads, reveals};

mod access;
mod audit;
mod backup;
mod document;
mod events;
mod export;
mod journals;
mod operations;
mod page;
mod plugins;
mod problems;
pub(crate) mod quarantine;
mod runs;
mod samples;
mod schema;
mod search;
mod sources;
mod stats;
mod stream;
mod tokens;

pub use access::Access;
pub(crate) use access::{Caller, while_good};
pub(crate) use backup::SHA256_HEADER as BACKUP_SHA256;
pub use search::Searches;
pub use stream::Streams;

use quarantine::ReasonJson;

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
    /// What becomes of refused requests.
    pub release: Release,
    /// What is in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// Asks for a scan of the plugins directory.
    pub rescan: Rescan,
    /// Asks plugins for other versions, or to be gone.
    pub controls: Controls,
    /// Where versions are kept.
    pub shelf: Shelf,
    /// The time.
    pub clock: Clock,
    /// Who may ask what.
    pub access: Access,
    /// Whether `/metrics` answers everybody.
    pub metrics_open: bool,
    /// This host's name, for people.
    pub host_name: Arc<str>,
    /// Where the host keeps files of its own.
    pub data_dir: PathBuf,
    /// Held while a backup is made.
    pub backup_turn: Arc<Mutex<()>>,
    /// Where injected events go in.
    pub door: Arc<Door>,
    /// Who follows the events.
    pub streams: Streams,
    /// Who searches the events.
    pub searches: Searches,
    /// The public address, for samples that operators send.
    pub public: Router,
}

/// Why a request of an operator is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("there is no {what} `{id}`")]
    Unknown { what: &'static str, id: String },
    #[error("{0}")]
    NotSeen(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{what} `{id}` cannot be read any more: {problem}")]
    Damaged {
        what: &'static str,
        id: String,
        problem: DamagedRequest,
    },
    #[error("{0}")]
    NotNow(String),
    #[error("it is refused still: {}{}", .0.message, hint(.0))]
    Refused(ReasonJson),
    #[error("{0}")]
    TooMany(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("the body must be JSON, and its `Content-Type` say so or nothing")]
    NotJson,
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The routes of the address.
pub(crate) fn routes(admin: Arc<Admin>) -> Router {
    let routes = Routes::new()
        .nest("/api/v1", api())
        .route("/metrics", reads(get(metrics)));
    document::routes(routes)
        .into_router()
        .layer(middleware::from_fn_with_state(
            Arc::clone(&admin),
            access::authenticate,
        ))
        .layer(middleware::from_fn(problems::as_problems))
        .with_state(admin)
}

/// The paths of the API, as they stand in its document.
pub fn paths() -> Vec<String> {
    Routes::new().nest("/api/v1", api()).paths()
}

/// The routes of the API, each with what it needs and its function.
fn api() -> Routes<Arc<Admin>> {
    let api = Routes::new()
        .route("/events", reads(get(events::list)))
        .route(
            "/events/replay",
            operates("events.replay", post(operations::replay)),
        )
        .route("/events/export", reads(get(export::export)))
        .route("/events/{id}", reads(get(events::show)))
        .route(
            "/events/{id}",
            administers("events.erase", delete(events::erase)),
        )
        .route("/events/{id}/body", reads(get(events::body)))
        .route(
            "/events/{id}/replay",
            operates("events.replay", post(events::replay)),
        )
        .route("/runs", reads(get(runs::list)))
        .route(
            "/runs/retry",
            operates("runs.retry", post(operations::retry)),
        )
        .route("/runs/{id}", reads(get(runs::show)))
        .route(
            "/runs/{id}/attempts/{n}/journal",
            reads(get(journals::show)),
        )
        .route(
            "/runs/{id}/retry",
            operates("runs.retry", post(runs::retry)),
        )
        .route(
            "/runs/{id}/cancel",
            operates("runs.cancel", post(runs::cancel)),
        )
        .route("/operations", reads(get(operations::list)))
        .route("/operations/{id}", reads(get(operations::show)))
        .route(
            "/operations/{id}",
            operates("operations.cancel", delete(operations::cancel)),
        )
        .route("/stream", reads(get(stream::show)))
        .route("/stats", reads(get(stats::show)))
        .route("/tokens", reveals(get(tokens::list)))
        .route(
            "/tokens",
            administers("tokens.create", post(tokens::create)),
        )
        .route(
            "/tokens/{name}",
            administers("tokens.revoke", delete(tokens::revoke)),
        )
        .route("/audit", reveals(get(audit::list)))
        .route("/backup", administers("backup", post(backup::make)));
    plugin_routes(source_routes(quarantine_routes(api)))
}

fn quarantine_routes(routes: Routes<Arc<Admin>>) -> Routes<Arc<Admin>> {
    routes
        .route("/quarantine", reads(get(quarantine::list)))
        .route(
            "/quarantine/release",
            operates("quarantine.release", post(quarantine::release_all)),
        )
        .route("/quarantine/{id}", reads(get(quarantine::show)))
        .route("/quarantine/{id}/body", reads(get(quarantine::body)))
        .route(
            "/quarantine/{id}/release",
            operates("quarantine.release", post(quarantine::release)),
        )
}

fn source_routes(routes: Routes<Arc<Admin>>) -> Routes<Arc<Admin>> {
    routes
        .route("/sources", reads(get(sources::list)))
        .route(
            "/sources/{name}/pause",
            operates("sources.pause", post(sources::pause)),
        )
        .route(
            "/sources/{name}/resume",
            operates("sources.resume", post(sources::resume)),
        )
        .route(
            "/sources/{name}/events",
            operates("sources.inject", post(sources::inject_event)),
        )
        .route("/sources/{name}/samples", reads(get(samples::list)))
        .route(
            "/sources/{name}/samples",
            operates("sources.sample", post(samples::send)),
        )
        .route(
            "/sources/{name}/secrets/forget",
            administers("sources.forget_secret", post(sources::forget_secret)),
        )
}

fn plugin_routes(routes: Routes<Arc<Admin>>) -> Routes<Arc<Admin>> {
    routes
        .route("/plugins", reads(get(plugins::list)))
        // A name that a plugin may have, at an address that is not the plugin's.
        .route("/plugins/rescan", reads(get(plugins::rescan::show_rescan)))
        .route(
            "/plugins/rescan",
            operates("plugins.rescan", post(plugins::rescan::rescan)),
        )
        .route("/plugins/{name}", reads(get(plugins::show)))
        .route("/plugins/{name}/kv", reads(get(plugins::kv::list)))
        .route(
            "/plugins/{name}/pause",
            operates("plugins.pause", post(plugins::pause)),
        )
        .route(
            "/plugins/{name}/resume",
            operates("plugins.resume", post(plugins::resume)),
        )
        .route(
            "/plugins/{name}/rollback",
            operates("plugins.rollback", post(plugins::roll_back)),
        )
        .route(
            "/plugins/{name}/unpin",
            operates("plugins.unpin", post(plugins::unpin)),
        )
        .route(
            "/plugins/{name}/forget",
            operates("plugins.forget", post(plugins::forget)),
        )
}

/// `GET /metrics`: Prometheus text.
async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response<Body>, AdminError> {
    let board = admin.board.load_full();
    let ids = board.entries.values().filter_map(|entry| entry.id);
    let counts = admin.store.runs_of_plugins(ids).await?;
    let mut depths = Vec::new();
    for entry in board.entries.values() {
        let Some(live) = plugins::counts_of(entry, &counts) else {
            continue;
        };
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
    let oldest_snapshot = admin.store.oldest_snapshot().await?;
    let text = admin.metrics.text(&depths, oldest_snapshot, &states);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The hint as the end of a sentence.
fn hint(reason: &ReasonJson) -> String {
    let hint = reason.hint.as_ref();
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

impl From<ControlError> for AdminError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownPlugin(name) => Self::unknown("plugin", name),
            ControlError::UnknownVersion(digest) => Self::unknown("version", digest),
            ControlError::NotNow(why) => Self::NotNow(why),
            ControlError::Store(error) => Self::Store(error),
            ControlError::Stopping => Self::Unavailable("the host is stopping".to_owned()),
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

    /// An error of reading one thing, which is named where that is what is damaged.
    fn reading(what: &'static str, id: impl ToString) -> impl FnOnce(StoreError) -> Self {
        move |error| match error {
            StoreError::Damaged(problem) => Self::Damaged {
                what,
                id: id.to_string(),
                problem,
            },
            error => Self::Store(error),
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response<Body> {
        let (status, title) = match &self {
            Self::Unknown { .. } | Self::NotSeen(_) => (StatusCode::NOT_FOUND, "not found"),
            // Not 503: whoever comes again is answered the same.
            Self::Damaged { .. } => (StatusCode::GONE, "damaged"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "bad request"),
            Self::NotNow(_) => (StatusCode::CONFLICT, "not possible now"),
            Self::TooMany(_) => (StatusCode::SERVICE_UNAVAILABLE, "too many"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused still"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body too large"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type"),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            Self::Store(StoreError::Damaged(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            // Another host may have it, or this one after a restart.
            Self::Store(StoreError::MissingKey(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "missing key")
            }
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let problem = Problem::new(status, title);
        if let Self::Refused(reason) = &self {
            let reason = serde_json::json!({ "reason": reason });
            return problem
                .detail(self.to_string())
                .with(reason)
                .into_response();
        }
        if let Self::Failed(_) | Self::Damaged { .. } = &self {
            tracing::error!(error = %self, "the admin API cannot do what it was asked");
        }
        if let Self::Store(error) = &self {
            tracing::error!(%error, "the admin API cannot answer");
            if let StoreError::MissingKey(_) | StoreError::Damaged(_) = error {
                return problem.detail(error.to_string()).into_response();
            }
            let detail = match error {
                StoreError::Unavailable(_) => error.to_string(),
                _ => "the database does not answer".to_owned(),
            };
            return problem
                .detail(detail)
                .retry_after(Duration::from_secs(5))
                .into_response();
        }
        let problem = match &self {
            Self::TooMany(_) | Self::Unavailable(_) => problem.retry_after(Duration::from_secs(5)),
            _ => problem,
        };
        problem.detail(self.to_string()).into_response()
    }
}
