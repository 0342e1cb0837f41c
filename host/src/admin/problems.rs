//! Every error of the admin address is `application/problem+json`, those too that are made
//! before a function of ours is asked; and bodies are JSON where JSON is asked for.

use std::fmt::Display;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Response, header};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::http::Problem;

use super::AdminError;

/// Most of an error's text that is given on.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// A body that says it is JSON, or says nothing.
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Response<Body>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response<Body>> {
        let is_json = is_json(request.headers());
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| rejection.into_response())?;
        if is_json || body.is_empty() {
            return Ok(Self(body));
        }
        Err(AdminError::NotJson.into_response())
    }
}

impl JsonBytes {
    /// The object that it is. A list is none, though serde would make a struct of one.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Result<T, AdminError> {
        let wrong = |why: &dyn Display| AdminError::Invalid(format!("the body is wrong: {why}"));
        let first = self.0.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return Err(wrong(&"it is a list, not an object"));
        }
        serde_json::from_slice(&self.0).map_err(|error| wrong(&error))
    }

    /// The same of what may be left out or null.
    pub(super) fn object_if_any<T: DeserializeOwned>(&self) -> Result<Option<T>, AdminError> {
        match self.0.is_empty() {
            true => Ok(None),
            false => self.object(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    })
}

/// Puts errors that are plain text into the form of all others.
pub(super) async fn as_problems(request: Request, next: Next) -> Response<Body> {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (head, body) = response.into_parts();
    let text = body.collect().await.map(|body| body.to_bytes());
    let text = text.unwrap_or_default();
    let text = &text[..text.len().min(DETAIL_BYTES_MAX)];
    let title = status.canonical_reason().unwrap_or("failed");
    let detail = String::from_utf8_lossy(text).into_owned();
    let mut problem = Problem::new(status, title).detail(detail).into_response();
    if let Some(allow) = head.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}
