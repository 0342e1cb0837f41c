//! The audit log: who changed what, and how that was answered.

use askama::Template;
use axum::body::Body;
use axum::http::Response;
use serde::Deserialize;

use super::api::with_query;
use super::events::listed;
use super::failure::Failure;
use super::frame::{self, Frame, Visit};

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
    changes: Vec<Change>,
    problem: Option<String>,
    newer: bool,
    older: Option<String>,
}

/// What is looked for, as the form shows it.
struct Filter {
    token: String,
    action: String,
    since: String,
    until: String,
}

impl Filter {
    fn of(visit: &Visit) -> Self {
        let asked = |name: &str| visit.asked(name).unwrap_or_default().to_owned();
        Self {
            token: asked("token"),
            action: asked("action"),
            since: asked("since"),
            until: asked("until"),
        }
    }

    fn pairs(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("token", Some(&self.token)),
            ("action", Some(&self.action)),
            ("since", Some(&self.since)),
            ("until", Some(&self.until)),
        ]
    }

    fn address(&self) -> String {
        with_query("/audit", &self.pairs())
    }

    fn is_empty(&self) -> bool {
        let mut pairs = self.pairs().into_iter();
        pairs.all(|(_, value)| value.is_none_or(str::is_empty))
    }
}

/// `GET /audit`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let filter = Filter::of(&visit);
    let cursor = visit.asked("cursor");
    let page = [("cursor", cursor), ("limit", Some("50"))];
    let pairs = [&filter.pairs()[..], &page].concat();
    let (found, problem) = listed(visit.get(&with_query("audit", &pairs)).await)?;
    let older = found.next_cursor.map(|next| {
        let next = [("cursor", Some(next.as_str()))];
        with_query("/audit", &[&filter.pairs()[..], &next].concat())
    });
    frame::page(&AuditPage {
        frame: visit.frame("audit", "Audit log"),
        newer: cursor.is_some(),
        older,
        changes: found.items,
        problem,
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
