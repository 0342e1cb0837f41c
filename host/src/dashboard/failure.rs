//! What stands in the way of a page, and the page that says so.

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::frame::{self, Frame, Visit};
use super::shown;
use crate::http;

/// Most of a refusal that is shown.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// Why somebody does not get the page that was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("sign in first")]
    SignedOut,
    #[error("{}", .0.detail)]
    Refused(Problem),
    #[error("this form is not of your session; go back, load the page again and repeat it")]
    ForeignForm,
    #[error("nothing is at `{0}`")]
    NoPage(String),
    #[error(
        "`{method}` is not answered at `{path}`; what is done there is done by a button of a page"
    )]
    WrongMethod { method: Method, path: String },
    #[error("the database does not answer; this page comes back when it does")]
    Away(String),
    #[error("{0}")]
    Broken(String),
}

/// What the API says when it does not do what it is asked.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Problem {
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) detail: String,
    #[serde(default)]
    pub(super) request_id: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    status: u16,
    title: String,
    detail: String,
    request_id: String,
}

impl Problem {
    /// What was asked for makes no sense.
    pub(super) fn bad(detail: String) -> Self {
        Self {
            title: "bad request".to_owned(),
            status: StatusCode::BAD_REQUEST.as_u16(),
            detail,
            request_id: String::new(),
        }
    }

    /// There is nothing of this name.
    pub(super) fn not_found(detail: String) -> Self {
        Self {
            title: "not found".to_owned(),
            status: StatusCode::NOT_FOUND.as_u16(),
            detail,
            request_id: String::new(),
        }
    }
}

impl Failure {
    /// A sentence for the page that somebody came from.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Refused(problem) if problem.detail.is_empty() => problem.title.clone(),
            failure => failure.to_string(),
        }
    }

    /// The page; who is not signed in is sent to where that is done.
    pub(super) fn page(&self, visit: &Visit) -> Response<Body> {
        let (status, title, request_id) = match self {
            Self::SignedOut => return frame::go_to(&visit.sign_in_address()),
            Self::Refused(problem) => (
                StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY),
                problem.title.as_str(),
                problem.request_id.clone(),
            ),
            Self::ForeignForm => (StatusCode::FORBIDDEN, "not your form", String::new()),
            Self::NoPage(_) => (StatusCode::NOT_FOUND, "not found", String::new()),
            Self::WrongMethod { .. } => {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                (status, "not done this way", String::new())
            }
            Self::Away(error) => {
                tracing::error!(%error, "the dashboard cannot tell who asks");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, "unavailable", String::new())
            }
            Self::Broken(error) => {
                tracing::error!(%error, "a page of the dashboard cannot be made");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                (status, "failed", String::new())
            }
        };
        let title = shown::capitalised(title);
        let page = FailurePage {
            frame: visit.frame("", title.clone()),
            status: status.as_u16(),
            title,
            detail: self.sentence(),
            request_id,
        };
        frame::html(status, &page).unwrap_or_else(|_| status.into_response())
    }
}

/// Where no page is: a browser is given one that says so, a program what the API answers.
pub(super) async fn nothing_here(request: Request) -> Response<Body> {
    if is_browser(request.headers()) {
        return Failure::NoPage(request.uri().path().to_owned()).into_response();
    }
    http::not_found(request).await
}

/// The same where a page is that is not to be asked so.
pub(super) async fn wrong_method(request: Request) -> Response<Body> {
    if !is_browser(request.headers()) {
        return http::wrong_method(request).await;
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    Failure::WrongMethod { method, path }.into_response()
}

/// Whether somebody wants to read what is answered.
fn is_browser(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/html"))
}

/// What was refused before a page could be asked, as the page that says so.
pub(super) async fn of_answer(response: Response<Body>) -> Result<Response<Body>, Failure> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_text || !(status.is_client_error() || status.is_server_error()) {
        return Ok(response);
    }
    let text = axum::body::to_bytes(response.into_body(), DETAIL_BYTES_MAX).await;
    let text = text.unwrap_or_default();
    Err(Failure::Refused(Problem {
        title: status
            .canonical_reason()
            .unwrap_or("refused")
            .to_lowercase(),
        status: status.as_u16(),
        detail: String::from_utf8_lossy(&text).into_owned(),
        request_id: String::new(),
    }))
}

/// The page is made by the layer around all pages, which knows the visit.
impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(self);
        response
    }
}
