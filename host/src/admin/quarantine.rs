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
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::ingest::{self, Reason, ReleaseError, Released};
use crate::store::{QuarantineFilter, QuarantinedRow, RawRequest, Request};

use super::access::Target;
use super::operations::{BegunAnswer, begin};
use super::page::{Page, Parameters};
use super::{Admin, AdminError};

/// What the audit log has beside a release that nothing proves.
const FORCED: &str = ", forced: without proof";

/// A request in a list.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(crate) struct QuarantineDetail {
    #[serde(flatten)]
    pub(crate) about: QuarantineJson,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why it is refused.
#[derive(Debug, Serialize)]
pub(crate) struct ReasonJson {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// `POST quarantine/{id}/release`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    force: bool,
}

/// `POST quarantine/release`: a filter must be given, an empty one is everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    filter: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

/// What became of a release, in the door's words.
#[derive(Debug, Serialize)]
pub(crate) struct ReleasedJson {
    pub(crate) status: &'static str,
    pub(crate) event_id: EventId,
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
    let id = parsed(id)?;
    let (status, event_id) = match admin.release.release(id, is_forced).await? {
        Released::New(event) => ("accepted", event),
        Released::Duplicate(first) => ("duplicate", first),
    };
    Ok(ReleasedJson { status, event_id })
}

/// `GET quarantine?source=&reason=&since=&until=&limit=&cursor=`.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<QuarantineJson>>, AdminError> {
    let filter = QuarantineFilter {
        limit: parameters.limit()?,
        before: parameters.parse("cursor")?,
        ..filter(&mut parameters)?
    };
    parameters.finish()?;
    page(&admin, filter).await.map(Page::json)
}

/// What says which requests are meant, in a list and in bulk.
fn filter(parameters: &mut Parameters) -> Result<QuarantineFilter, AdminError> {
    Ok(QuarantineFilter {
        source: parameters.take("source"),
        reason: parameters.take("reason"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        ..QuarantineFilter::default()
    })
}

/// `GET quarantine/{id}`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<QuarantineDetail>, AdminError> {
    one(&admin, &id).await.map(Json)
}

/// `GET quarantine/{id}/body`: the exact bytes, but for a credential among them.
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

/// `POST quarantine/{id}/release {"force"?}`: 202 with the event it is now, 200 if it had
/// come before.
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Extension<Target>, Json<ReleasedJson>), AdminError> {
    let wish = if body.is_empty() {
        Wish::default()
    } else {
        read(&body)?
    };
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
pub(super) async fn release_all(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<BegunAnswer, AdminError> {
    let bulk: Bulk = read(&body)?;
    let mut parameters = Parameters::of_object(bulk.filter)?;
    let filter = filter(&mut parameters)?;
    parameters.finish()?;
    let request = Request::Release {
        filter,
        is_forced: bulk.force,
    };
    let (status, Extension(Target(mut target)), begun) =
        begin(&admin, &headers, request, bulk.dry_run).await?;
    if bulk.force {
        target.push_str(FORCED);
    }
    Ok((status, Extension(Target(target)), begun))
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, AdminError> {
    serde_json::from_slice(body)
        .map_err(|error| AdminError::Invalid(format!("the body is wrong: {error}")))
}

fn parsed(id: &str) -> Result<EventId, AdminError> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: impl ToString) -> AdminError {
    AdminError::unknown("request in quarantine", id)
}

/// The request with this id; a text that is no id names none.
async fn found(admin: &Admin, id: &str) -> Result<(QuarantinedRow, RawRequest), AdminError> {
    let parsed = parsed(id)?;
    let found = admin.store.quarantined_request(parsed).await?;
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
            ReleaseError::NoVerdict(_) => Self::TooMany(error.to_string()),
            ReleaseError::NoSource(_)
            | ReleaseError::Question
            | ReleaseError::NotStored
            | ReleaseError::Stopping => Self::NotNow(error.to_string()),
        }
    }
}
