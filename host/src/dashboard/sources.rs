//! Sources: the address that a provider is given, what came by it, and what was refused.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Deserialize;
use serde_json::Value;

use super::api::{Items, segment, with_query};
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::quarantine::Entry;

/// An inbound address.
#[derive(Deserialize)]
pub(super) struct Source {
    pub(super) name: String,
    paths: Vec<String>,
    provider: String,
    covers_body: bool,
    pub(super) paused: bool,
    last_event_at: Option<String>,
    pub(super) received_1h: i64,
    pub(super) rejected_1h: i64,
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    n: i64,
    last_matched_at: Option<String>,
}

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    frame: Frame,
    /// Before each path; empty where it is not known.
    public_url: String,
    sources: Vec<(Source, Vec<Entry>)>,
}

/// `GET /sources`: each with its last failures.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let sources: Items<Source> = visit.get("sources?limit=1000").await?;
    let mut shown = Vec::with_capacity(sources.items.len());
    for source in sources.items {
        let failures = if source.rejected_1h > 0 {
            let pairs = [("source", Some(source.name.as_str())), ("limit", Some("3"))];
            let failures: Items<Entry> = visit.get(&with_query("quarantine", &pairs)).await?;
            failures.items
        } else {
            Vec::new()
        };
        shown.push((source, failures));
    }
    frame::page(&SourcesPage {
        frame: visit.frame("sources", "Sources"),
        public_url: visit.desk.dashboard.public_url.clone(),
        sources: shown,
    })
}

/// `POST /sources/{name}/{action}`.
pub(super) async fn act(
    Path((name, action)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let done = match action.as_str() {
        "pause" => "Paused: its webhooks are answered with 503, and come again.",
        "resume" => "Resumed.",
        _ => return Err(Failure::NoPage(format!("/sources/{name}/{action}"))),
    };
    let path = format!("sources/{}/{action}", segment(&name));
    match visit.do_to(&path, &Value::Null).await {
        Ok(()) => visit.tell(true, done, None),
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to("/sources"))
}

impl Source {
    /// The address that its provider is given.
    fn urls(&self, public_url: &str) -> Vec<String> {
        let url = |path: &String| format!("{}{path}", public_url.trim_end_matches('/'));
        self.paths.iter().map(url).collect()
    }

    fn events(&self) -> String {
        with_query("/events", &[("source", Some(&self.name))])
    }

    fn quarantine(&self) -> String {
        with_query("/quarantine", &[("source", Some(&self.name))])
    }

    fn send(&self) -> String {
        with_query("/send", &[("source", Some(&self.name))])
    }
}
