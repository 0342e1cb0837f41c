//! Sources: the address that a provider is given, what came by it, and what was refused.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Deserialize;
use serde_json::Value;

use super::api::{Items, segment, with_query};
use super::events::{Event, told};
use super::failure::{Failure, Problem};
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
    learnt: Option<Learnt>,
}

/// What is told of a secret that the sender brought, to compare with the sender's settings.
#[derive(Deserialize)]
struct Learnt {
    fingerprint: String,
    learnt_at: String,
    refused: Option<Refused>,
}

/// The last other one that came.
#[derive(Deserialize)]
struct Refused {
    fingerprint: String,
    refused_at: String,
}

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    frame: Frame,
    /// Before each path; empty where it is not known.
    public_url: String,
    sources: Vec<(Source, Vec<Entry>)>,
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    frame: Frame,
    public_url: String,
    source: Source,
    failures: Vec<Entry>,
    events: Vec<Event>,
}

/// Failures and events that the page of one source has.
const LATEST: &str = "10";

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

/// `GET /sources/{name}`: what came in by it, and what was refused and why.
pub(super) async fn show(
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response<Body>, Failure> {
    let sources: Items<Source> = visit.get("sources?limit=1000").await?;
    let source = sources.items.into_iter().find(|source| source.name == name);
    let source = source.ok_or_else(|| {
        Failure::Refused(Problem::not_found(format!(
            "there is no source `{name}`; if there was one, its events are kept still"
        )))
    })?;
    let pairs = [("source", Some(name.as_str())), ("limit", Some(LATEST))];
    let failures: Items<Entry> = visit.get(&with_query("quarantine", &pairs)).await?;
    let events: Items<Event> = visit.get(&with_query("events", &pairs)).await?;
    frame::page(&SourcePage {
        frame: visit.frame("sources", format!("Source {name}")),
        public_url: visit.desk.dashboard.public_url.clone(),
        source,
        failures: failures.items,
        events: events.items,
    })
}

/// `POST /sources/{name}/{action}`.
pub(super) async fn act(
    Path((name, action)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let (path, done) = match action.as_str() {
        "pause" => (
            "pause",
            "Paused: its webhooks are answered with 503, and come again.",
        ),
        "resume" => ("resume", "Resumed."),
        "forget-secret" => (
            "secrets/forget",
            "Forgotten: the next secret that its sender brings is its own.",
        ),
        _ => return Err(Failure::NoPage(format!("/sources/{name}/{action}"))),
    };
    let path = format!("sources/{}/{path}", segment(&name));
    match visit.do_to(&path, &Value::Null).await {
        Ok(()) => visit.tell(true, done, None),
        Err(failure) => told(visit, failure)?,
    }
    let page = format!("/sources/{}", segment(&name));
    Ok(frame::go_to(form.back(&page)))
}

/// The sources that a form offers.
pub(super) fn source_names(visit: &Visit) -> Vec<String> {
    let all = visit.desk.dashboard.sources.all().into_iter();
    all.map(|source| source.config.name.to_string()).collect()
}

impl Source {
    /// Its page.
    pub(super) fn address(&self) -> String {
        format!("/sources/{}", segment(&self.name))
    }

    /// Whether its sender gives it its secret.
    fn is_learning(&self) -> bool {
        self.secrets.iter().any(|secret| secret.learnt.is_some())
    }

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
