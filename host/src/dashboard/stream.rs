//! The API's stream of events, for pages: a browser's stream can show no token.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Response};

use super::failure::Failure;
use super::frame::Visit;

/// Where a browser that comes back goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /stream`: each event as it is stored.
pub(super) async fn follow(visit: Visit, headers: HeaderMap) -> Result<Response<Body>, Failure> {
    let last = headers.get(LAST_EVENT_ID).cloned();
    let last = last.map(|last| (LAST_EVENT_ID, last));
    visit.open_with("stream", last).await
}
