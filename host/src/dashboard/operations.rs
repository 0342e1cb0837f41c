//! Operations: the list of bulk work; one with what it is over and what came of it; its end.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response};
use serde::Deserialize;

use super::api::{segment, with_query};
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::list::{Filter, Listed};

mod words;

/// Bulk work.
#[derive(Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    what: String,
    dry_run: bool,
    /// None if this version cannot read what it is over.
    filter: Option<BTreeMap<String, String>>,
    plugin: Option<String>,
    forced: bool,
    pub(super) state: String,
    done: i64,
    total: Option<i64>,
    created_by: Option<String>,
    created_at: String,
    finished_at: Option<String>,
    pub(super) error: Option<String>,
}

/// Where to look at what an operation is of.
struct Link {
    name: &'static str,
    address: String,
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    list: Listed<Operation>,
}

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    frame: Frame,
    operation: Operation,
}

/// `GET /operations`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    frame::page(&OperationsPage {
        frame: visit.frame("operations", "Operations"),
        list: Filter::new([]).list(&visit, "/operations").await?,
    })
}

/// `GET /operations/{id}`.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let operation: Operation = visit.get(&format!("operations/{}", segment(&id))).await?;
    frame::page(&OperationPage {
        frame: visit.frame("operations", format!("Operation {}", operation.id)),
        operation,
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
    Ok(frame::go_to(form.back("/operations")))
}

/// The page of an operation.
pub(super) fn address(id: &str) -> String {
    format!("/operations/{}", segment(id))
}

impl Operation {
    fn address(&self) -> String {
        address(&self.id)
    }

    fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Whether its button ends it: what a forgotten plugin left has to be ended by somebody.
    fn can_cancel(&self) -> bool {
        self.is_running() && self.what != "forget"
    }

    /// Where the same is asked for in earnest, of what was only counted; nothing where the
    /// dashboard does not do it, or nothing is to be done.
    fn in_earnest(&self) -> Option<Link> {
        let is_counted = self.dry_run && self.state == "succeeded" && self.total > Some(0);
        if !is_counted || self.forced || self.filter.is_none() {
            return None;
        }
        let (name, path) = match self.what.as_str() {
            "replay" => ("Replay them…", "/events/replay"),
            "retry" => ("Retry them…", "/runs/retry"),
            "release" => ("Release them…", "/quarantine/release"),
            _ => return None,
        };
        let plugin = self.plugin.as_deref().map(|name| ("plugin", name));
        Some(Link {
            name,
            address: self.filtered(path, &["plugin", "state", "event", "reason"], plugin),
        })
    }

    /// Whether what was only counted is begun in earnest elsewhere: here nothing is released
    /// without proof.
    fn is_for_the_command_line(&self) -> bool {
        self.dry_run && self.forced && self.total > Some(0)
    }

    /// Where what it is of is listed.
    fn links(&self) -> Vec<Link> {
        let link = |name, address| Link { name, address };
        let plugin = self.plugin.as_deref();
        let runs_since = || {
            let since = ("since", Some(self.created_at.as_str()));
            with_query("/runs", &[("plugin", plugin), since])
        };
        let mut links = Vec::new();
        match self.what.as_str() {
            "replay" => {
                links.push(link("Events that fit", self.filtered("/events", &[], None)));
                if !self.dry_run {
                    links.push(link("Runs since it began", runs_since()));
                }
            }
            "retry" => {
                let fit: &[&str] = match self.dry_run {
                    true => &["plugin", "state", "event"],
                    false => &["plugin", "event"],
                };
                let name = match self.dry_run {
                    true => "Runs that fit",
                    false => "These runs, in whatever state they are now",
                };
                links.push(link(name, self.filtered("/runs", fit, None)));
            }
            "release" => {
                let source = self.filter.as_ref().and_then(|filter| filter.get("source"));
                let source = [("source", source.map(String::as_str))];
                let quarantine = with_query("/quarantine", &source);
                links.push(link("What is in quarantine now", quarantine));
                if !self.dry_run {
                    links.push(link("Events", with_query("/events", &source)));
                }
            }
            "catch_up" => links.push(link("Its runs since then", runs_since())),
            "forget" => links.push(link("Its runs", with_query("/runs", &[("plugin", plugin)]))),
            _ => {}
        }
        links
    }

    /// An address with what it is over: these parameters beside those that all lists of
    /// events, runs and requests know, and one more.
    fn filtered(&self, path: &str, names: &[&str], more: Option<(&str, &str)>) -> String {
        let everywhere = ["source", "kind", "since", "until"];
        let filter = self.filter.iter().flatten();
        let fits = |name: &str| everywhere.contains(&name) || names.contains(&name);
        let pairs = filter.filter(|(name, _)| fits(name));
        let pairs = pairs.map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let more = more.map(|(name, value)| (name, Some(value)));
        with_query(path, &pairs.chain(more).collect::<Vec<_>>())
    }
}
