//! What stands in the way of a page, and the page that says so.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::frame::{self, Frame, Visit};
use super::shown;

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

/// The page is made by the layer around all pages, which knows the visit.
impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(self);
        response
    }
}
