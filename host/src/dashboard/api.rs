//! The dashboard as a client of the admin API in its own process.

use std::future::ready;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_service::Service as _;
use url::form_urlencoded;

use crate::admin::while_good;

use super::failure::{Failure, Problem};
use super::frame::Visit;

/// What a segment of a path cannot hold as it is.
const OF_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The longest answer that is read whole; lists are shorter by far.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
    /// Of a search.
    #[serde(default)]
    pub(super) searched: Option<Searched>,
}

/// What a search has looked into beside ids, kinds and indexed values.
#[derive(Deserialize)]
pub(super) struct Searched {
    pub(super) bodies: i64,
    pub(super) bodies_since: Option<String>,
    pub(super) is_complete: bool,
}

/// The answer to what is done in bulk.
#[derive(Deserialize)]
pub(super) struct Begun {
    pub(super) operation_id: String,
}

impl Visit {
    /// `GET /api/v1/{path}`, as this.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.ask(Method::GET, path, Body::empty()).await?;
        read(response).await
    }

    /// `GET /api/v1/{path}`, its answer as it is.
    pub(super) async fn open(&self, path: &str) -> Result<Response<Body>, Failure> {
        self.ask(Method::GET, path, Body::empty()).await
    }

    /// The same with a header.
    pub(super) async fn open_with(
        &self,
        path: &str,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.request(Method::GET, path, Body::empty())?;
        request.headers_mut().extend(header);
        let response = self.send(request).await?;
        let (desk, session) = (Arc::clone(&self.desk), self.session.clone());
        Ok(while_good(response, move || {
            let now = desk.dashboard.clock.now();
            ready(desk.sessions.is_good(&session, now))
        }))
    }

    /// `POST /api/v1/{path}` with JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        let response = self
            .ask(Method::POST, path, Body::from(body.to_string()))
            .await?;
        read(response).await
    }

    /// The same, done once however often the button is pressed: `key` names the form.
    pub(super) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        key: &str,
    ) -> Result<T, Failure> {
        let mut request = self.request(Method::POST, path, Body::from(body.to_string()))?;
        if let (false, Ok(key)) = (key.is_empty(), HeaderValue::from_str(key)) {
            request.headers_mut().insert("idempotency-key", key);
        }
        read(self.send(request).await?).await
    }

    /// `POST /api/v1/{path}` with JSON, or nothing where it is null; its answer is not
    /// looked at, once it is good.
    pub(super) async fn do_to(&self, path: &str, body: &serde_json::Value) -> Result<(), Failure> {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.ask(Method::POST, path, body).await.map(drop)
    }

    /// A request whose answer is not looked at, once it is good.
    pub(super) async fn act(&self, method: Method, path: &str) -> Result<(), Failure> {
        self.ask(method, path, Body::empty()).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Response<Body>, Failure> {
        self.send(self.request(method, path, body)?).await
    }

    fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>, Failure> {
        let caller = self.caller.clone().ok_or(Failure::SignedOut)?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| Failure::Broken(format!("asking {path}: {error}")))?;
        // Whoever asks by the dashboard may do what the token may, and is noted alike.
        request.extensions_mut().insert(caller);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let response = match self.desk.dashboard.api.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }
}

async fn read<T: DeserializeOwned>(response: Response<Body>) -> Result<T, Failure> {
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    let body = whole(response).await?;
    let json: &[u8] = if is_empty { b"null" } else { &body };
    serde_json::from_slice(json)
        .map_err(|error| Failure::Broken(format!("the API's answer is not as expected: {error}")))
}

async fn refusal(response: Response<Body>) -> Failure {
    let status = response.status();
    let problem = match whole(response).await {
        Ok(body) => serde_json::from_slice::<Problem>(&body).ok(),
        Err(failure) => return failure,
    };
    Failure::Refused(problem.unwrap_or_else(|| {
        Problem {
            title: status
                .canonical_reason()
                .unwrap_or("refused")
                .to_lowercase(),
            status: status.as_u16(),
            detail: String::new(),
            request_id: String::new(),
        }
    }))
}

async fn whole(response: Response<Body>) -> Result<Bytes, Failure> {
    axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX)
        .await
        .map_err(|error| Failure::Broken(format!("the API's answer cannot be read: {error}")))
}

/// A path with a query of those values that are given.
pub(super) fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, OF_SEGMENT).to_string()
}
