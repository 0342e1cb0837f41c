//! `quarantine`: refused requests that were set aside; list, show, body, release.
//!
//! What may be a sender's credential is never shown, though it is kept: a request could not
//! be verified again without it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::http::Problem;
use crate::ingest::{self, Reason, ReleaseError};
use crate::store::{QuarantineFilter, QuarantinedRow, RawRequest, Request};

use super::access::{Caller, Target};
use super::operations::{BegunAnswer, BegunJson, begin};
use super::page::{Page, Parameters};
use super::problems::JsonBytes;
use super::schema::{JsonTime, Time};
use super::{Admin, AdminError};

/// What the audit log has beside a release that nothing proves.
const FORCED: &str = ", forced: without proof";

/// What an error calls one.
const WHAT: &str = "request in quarantine";

/// A request in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedRequest)]
pub(crate) struct QuarantineJson {
    pub(crate) id: EventId,
    pub(crate) source: String,
    pub(crate) received_at: Timestamp,
    pub(crate) reason: ReasonJson,
    pub(crate) size_bytes: i64,
    pub(crate) remote_addr: Option<String>,
    pub(crate) expires_at: Timestamp,
}

/// One request, whole but for its body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedDetail)]
pub(crate) struct QuarantineDetail {
    #[serde(flatten)]
    pub(crate) about: QuarantineJson,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why it is refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefusalReason)]
pub(crate) struct ReasonJson {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Which requests are meant, in a list and in bulk.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = QuarantineFilter)]
pub(super) struct QuarantineQuery {
    /// Of this source
    #[param(min_length = 1)]
    #[schema(value_type = String, required = false, min_length = 1)]
    source: Option<String>,
    /// With this code of the reason
    #[param(min_length = 1)]
    #[schema(value_type = String, required = false, min_length = 1)]
    reason: Option<String>,
    /// Received at this time (RFC 3339, or Unix seconds) or later
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    since: Option<Timestamp>,
    /// Received before this time
    #[param(value_type = Option<Time>)]
    #[schema(value_type = JsonTime, required = false)]
    until: Option<Timestamp>,
}

/// `POST quarantine/{id}/release`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = ReleaseWish)]
struct Wish {
    force: bool,
}

/// `POST quarantine/release`: a filter must be given, an empty one is everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReleaseAllWish)]
struct Bulk {
    #[schema(value_type = QuarantineQuery)]
    filter: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

/// What became of a release, in the door's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Released)]
pub(crate) struct ReleasedJson {
    pub(crate) status: &'static str,
    /// The event that it is
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) event_id: Option<EventId>,
    /// Instead, the events that it is, if it is several
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    pub(crate) event_ids: Vec<EventId>,
}

/// One page of what was set aside, newest first.
pub(crate) async fn page(
    admin: &Admin,
    filter: QuarantineFilter,
) -> Result<Page<QuarantineJson>, AdminError> {
    let limit = filter.limit;
    let filter = QuarantineFilter {
        limit: limit.saturating_add(1),
        ..filter
    };
    let rows = admin.store.quarantined(&filter).await?;
    let items = rows.into_iter().map(|row| json(admin, row)).collect();
    Ok(Page::new(items, limit, |one: &QuarantineJson| {
        one.id.to_string()
    }))
}

/// One request, with what keeps it now.
pub(crate) async fn one(admin: &Admin, id: &str) -> Result<QuarantineDetail, AdminError> {
    let (mut row, request) = found(admin, id).await?;
    let source = admin.sources.named(&row.source);
    let provider = source.as_ref().map(|source| &source.config.provider);
    let headers = ingest::shown_headers(provider, &request.headers);
    let reason = admin.release.reason(&row, request).await;
    row.hint = reason.hint;
    Ok(QuarantineDetail {
        about: json(admin, row),
        headers,
    })
}

/// Releases one request; `is_forced` asks for no proof.
pub(crate) async fn release_one(
    admin: &Admin,
    id: &str,
    is_forced: bool,
) -> Result<ReleasedJson, AdminError> {
    let released = admin.release.release(parsed(id)?, is_forced).await;
    let released = released.map_err(|error| match error {
        ReleaseError::Store(error) => AdminError::reading(WHAT, id)(error),
        error => error.into(),
    })?;
    let (event_id, event_ids) = match released.events.as_slice() {
        [one] => (Some(*one), Vec::new()),
        _ => (None, released.events),
    };
    Ok(ReleasedJson {
        status: match released.is_duplicate {
            true => "duplicate",
            false => "accepted",
        },
        event_id,
        event_ids,
    })
}

/// `GET quarantine?source=&reason=&since=&until=&limit=&cursor=`.
#[utoipa::path(
    get, path = "/api/v1/quarantine", tag = "quarantine",
    summary = "Lists refused requests, newest first",
    params(QuarantineQuery, ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<EventId>, Query, description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<QuarantineJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<QuarantineJson>>, AdminError> {
    let filter = QuarantineFilter {
        limit: parameters.limit()?,
        before: parameters.parse("cursor")?,
        ..QuarantineQuery::take(&mut parameters)?.into()
    };
    parameters.finish()?;
    page(&admin, filter).await.map(Page::json)
}

/// `GET quarantine/{id}`.
#[utoipa::path(
    get, path = "/api/v1/quarantine/{id}", tag = "quarantine",
    summary = "Shows one refused request and what keeps it now",
    params(("id" = EventId, Path, description = "The request's id")),
    responses((status = 200, description = "The request", body = QuarantineDetail), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<QuarantineDetail>, AdminError> {
    one(&admin, &id).await.map(Json)
}

/// `GET quarantine/{id}/body`: the exact bytes, but for a credential among them.
#[utoipa::path(
    get, path = "/api/v1/quarantine/{id}/body", tag = "quarantine",
    summary = "Gives the exact bytes, but for a credential among them",
    params(("id" = EventId, Path, description = "The request's id")),
    responses((status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream"), (status = 409, description = "A credential cannot be taken out", body = Problem, content_type = "application/problem+json"), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn body(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, AdminError> {
    let (row, request) = found(&admin, &id).await?;
    let source = admin.sources.named(&row.source);
    let provider = source.as_ref().map(|source| &source.config.provider);
    let body = ingest::shown_body(provider, request.body);
    let body = body.ok_or_else(|| {
        AdminError::NotNow(
            "the body carries the sender's credential at a place that cannot be found in it, so that \
             it is not shown"
                .to_owned(),
        )
    })?;
    // Bytes of strangers: never to be taken for a page by a browser.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, body).into_response())
}

/// `POST quarantine/{id}/release {"force"?}`: 202 with the events it is now, 200 if all of
/// them had come before.
#[utoipa::path(
    post, path = "/api/v1/quarantine/{id}/release", tag = "quarantine",
    summary = "Verifies a refused request again and makes it its events",
    params(("id" = EventId, Path, description = "The request's id")),
    request_body(content = Option<Wish>),
    responses((status = 202, description = "It is these events now", body = ReleasedJson), (status = 200, description = "It had come before", body = ReleasedJson), (status = 409, description = "Not now", body = Problem, content_type = "application/problem+json"), (status = 410, description = "It is damaged", body = Problem, content_type = "application/problem+json"), (status = 422, description = "It is refused still", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: JsonBytes,
) -> Result<(StatusCode, Extension<Target>, Json<ReleasedJson>), AdminError> {
    let wish: Wish = body.object_if_any()?.unwrap_or_default();
    let released = release_one(&admin, &id, wish.force).await?;
    let target = match wish.force {
        true => format!("{id}{FORCED}"),
        false => id,
    };
    let status = match released.status {
        "accepted" => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((status, Extension(Target(target)), Json(released)))
}

/// `POST quarantine/release {filter, "force"?, "dry_run"?}`: releases all that fit and are
/// genuine now, oldest first.
#[utoipa::path(
    post, path = "/api/v1/quarantine/release", tag = "operations",
    summary = "Releases all refused requests that fit and are genuine now",
    params(("idempotency-key" = Option<String>, Header, pattern = "^[!-~]([\\t -~]{0,253}[!-~])?$", description = "The same key begins the same operation once")),
    request_body(content = Bulk),
    responses((status = 202, description = "It has begun", body = BegunJson), (status = 409, description = "The key stands for another operation", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn release_all(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<BegunAnswer, AdminError> {
    let bulk: Bulk = body.object()?;
    let mut parameters = Parameters::of_object(bulk.filter)?;
    let filter = QuarantineQuery::take(&mut parameters)?.into();
    parameters.finish()?;
    let request = Request::Release {
        filter,
        is_forced: bulk.force,
    };
    let (status, Extension(Target(mut target)), begun) =
        begin(&admin, &caller, &headers, request, bulk.dry_run).await?;
    if bulk.force {
        target.push_str(FORCED);
    }
    Ok((status, Extension(Target(target)), begun))
}

impl QuarantineQuery {
    fn take(parameters: &mut Parameters) -> Result<Self, AdminError> {
        Ok(Self {
            source: parameters.take("source"),
            reason: parameters.take("reason"),
            since: parameters.time("since")?,
            until: parameters.time("until")?,
        })
    }
}

impl From<QuarantineQuery> for QuarantineFilter {
    fn from(query: QuarantineQuery) -> Self {
        Self {
            source: query.source,
            reason: query.reason,
            since: query.since,
            until: query.until,
            ..Self::default()
        }
    }
}

fn parsed(id: &str) -> Result<EventId, AdminError> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: impl ToString) -> AdminError {
    AdminError::unknown(WHAT, id)
}

/// The request with this id; a text that is no id names none.
async fn found(admin: &Admin, id: &str) -> Result<(QuarantinedRow, RawRequest), AdminError> {
    let parsed = parsed(id)?;
    let found = admin.store.quarantined_request(parsed).await;
    let found = found.map_err(AdminError::reading(WHAT, id))?;
    found.ok_or_else(|| unknown(id))
}

fn json(admin: &Admin, row: QuarantinedRow) -> QuarantineJson {
    let kept = admin.config.borrow().retention.quarantine;
    QuarantineJson {
        expires_at: row.received_at.plus(kept),
        id: row.id,
        source: row.source,
        received_at: row.received_at,
        reason: ReasonJson {
            code: row.code,
            message: row.message,
            hint: row.hint,
        },
        size_bytes: row.size_bytes,
        remote_addr: row.remote_addr,
    }
}

impl From<Reason> for ReasonJson {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code,
            message: reason.message,
            hint: reason.hint,
        }
    }
}

impl From<ReleaseError> for AdminError {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::Unknown(id) => unknown(id),
            ReleaseError::Refused(reason) => Self::Refused(reason.into()),
            ReleaseError::Store(error) => Self::Store(error),
            ReleaseError::NoVerdict(_) | ReleaseError::Stopping => {
                Self::Unavailable(error.to_string())
            }
            ReleaseError::NoSource(_)
            | ReleaseError::Question
            | ReleaseError::NotStored
            | ReleaseError::Unconfirmed(_) => Self::NotNow(error.to_string()),
        }
    }
}
