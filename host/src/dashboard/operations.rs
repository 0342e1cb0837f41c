//! Operations: how far bulk work is, and its end.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response};
use serde::Deserialize;

use super::api::segment;
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::list::{Filter, Listed};

/// Bulk work.
#[derive(Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    what: String,
    pub(super) state: String,
    done: i64,
    total: Option<i64>,
    created_at: String,
    finished_at: Option<String>,
    pub(super) error: Option<String>,
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    list: Listed<Operation>,
}

/// `GET /operations`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    frame::page(&OperationsPage {
        frame: visit.frame("operations", "Operations"),
        list: Filter::new([]).list(&visit, "/operations").await?,
    })
}

/// `POST /operations/{id}/cancel`.
pub(super) async fn cancel(Path(id): Path<String>, form: Form) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let path = format!("operations/{}", segment(&id));
    match visit.act(Method::DELETE, &path).await {
        Ok(()) => visit.tell(true, "Cancelled; what it has done stays.", None),
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to("/operations"))
}

impl Operation {
    fn is_running(&self) -> bool {
        self.state == "running"
    }
}
