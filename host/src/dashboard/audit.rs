//! The audit log: who changed what, and how that was answered.

use askama::Template;
use axum::body::Body;
use axum::http::Response;
use serde::Deserialize;

use super::failure::Failure;
use super::frame::{self, Frame, Visit};
use super::list::{Filter, Listed};

/// What selects changes.
const FILTERS: [&str; 4] = ["token", "action", "since", "until"];

/// A change that was asked for.
#[derive(Deserialize)]
struct Change {
    at: String,
    token: String,
    action: String,
    target: Option<String>,
    remote_addr: Option<String>,
    status: Option<u16>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    filter: Filter,
    list: Listed<Change>,
}

/// `GET /audit`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let filter = Filter::of(&visit, &FILTERS);
    frame::page(&AuditPage {
        frame: visit.frame("audit", "Audit log"),
        list: filter.list(&visit, "/audit").await?,
        filter,
    })
}

impl Change {
    /// How it ended, in one word.
    fn ending(&self) -> &'static str {
        match self.status {
            Some(200..=399) => "done",
            Some(403) => "forbidden",
            Some(_) => "refused",
            // Its host was stopped meanwhile.
            None => "unknown",
        }
    }
}
