//! Events: the list that goes on by itself, one event with its body, and replays.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Begun, Items, segment};
use super::body::Shown;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::list::{Filter, Listed};
use super::operations;
use super::plugins::Plugin;
use super::runs::Run;
use super::shown;
use super::sources::source_names;
use super::spans::{Span, spans};

/// What selects events, in a list and in bulk.
const FILTERS: [&str; 5] = ["source", "kind", "since", "until", "q"];

/// An event: in a list with its runs counted, alone with each of them.
#[derive(Deserialize)]
pub(super) struct Event<R = BTreeMap<String, i64>> {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) provider: String,
    pub(super) kind: String,
    pub(super) delivery_id: Option<String>,
    pub(super) received_at: String,
    pub(super) size_bytes: i64,
    pub(super) content_type: Option<String>,
    pub(super) handshake: bool,
    pub(super) dedup_conflict: bool,
    pub(super) runs: R,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    pub(super) no_run_reason: Option<String>,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    filter: Filter,
    sources: Vec<String>,
    spans: Vec<Span>,
    list: Listed<Event>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    event: Event<Vec<Run>>,
    body: Shown,
    body_address: String,
    plugins: Vec<String>,
}

#[derive(Template)]
#[template(path = "replay.html")]
struct ReplayPage {
    frame: Frame,
    filter: Filter,
    plugins: Vec<String>,
    /// The one that is chosen, if one is.
    plugin: String,
    key: String,
}

impl EventsPage {
    /// Whether it looks again by itself: not for what takes the host long to find.
    fn is_live(&self) -> bool {
        !self.list.newer && self.filter.value("q").is_empty()
    }
}

/// `GET /events`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let filter = Filter::of(&visit, &FILTERS);
    frame::page(&EventsPage {
        frame: visit.frame("events", "Events"),
        list: filter.list(&visit, "/events").await?,
        sources: source_names(&visit),
        spans: spans(visit.now, "/events", &filter),
        filter,
    })
}

/// `GET /events/{id}`.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let path = format!("events/{}", segment(&id));
    let event: Event<Vec<Run>> = visit.get(&path).await?;
    let body = Shown::at(&visit, &format!("{path}/body"), &event.source).await?;
    frame::page(&EventPage {
        frame: visit.frame("events", format!("Event {}", event.kind)),
        plugins: plugin_names(&visit).await?,
        body_address: format!("{}/body", event.address()),
        body,
        event,
    })
}

/// `GET /events/{id}/body`: the exact bytes, never as a page.
pub(super) async fn body(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let path = format!("events/{}/body", segment(&id));
    let mut response = visit.open(&path).await?;
    let name = format!("attachment; filename=\"event-{}.bin\"", shown::short(&id));
    if let Ok(disposition) = HeaderValue::try_from(name) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// `POST /events/{id}/replay`.
pub(super) async fn replay(Path(id): Path<String>, form: Form) -> Result<Response<Body>, Failure> {
    #[derive(Deserialize)]
    struct Replayed {
        runs: Vec<Run>,
    }
    let visit = &form.visit;
    let plugin = form.field("plugin");
    let body = plugin.map_or_else(|| json!({}), |plugin| json!({ "plugin": plugin }));
    let path = format!("events/{}/replay", segment(&id));
    let page = format!("/events/{}", segment(&id));
    match visit.post::<Replayed>(&path, &body).await {
        Ok(Replayed { runs }) => {
            if let [run] = &runs[..] {
                visit.tell(true, &format!("Replayed as run {}.", run.id), None);
                return Ok(frame::go_to(&run.address()));
            }
            let runs = shown::counted(runs.len() as i64, "run");
            visit.tell(true, &format!("Replayed: {runs} more."), None);
        }
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to(&page))
}

/// Says on the next page why something was not done; what is more than that stays a failure.
pub(super) fn told(visit: &Visit, failure: Failure) -> Result<(), Failure> {
    match &failure {
        Failure::Refused(problem) if problem.status != 401 => {
            visit.tell(false, &shown::capitalised(&failure.sentence()), None);
            Ok(())
        }
        _ => Err(failure),
    }
}

/// `GET /events/replay`: asks before every event of a filter is replayed.
pub(super) async fn ask_replay(visit: Visit) -> Result<Response<Body>, Failure> {
    let plugin = visit.asked("plugin").unwrap_or_default().to_owned();
    let mut plugins = plugin_names(&visit).await?;
    // One that is not there is refused, and never taken for all of them.
    if !plugin.is_empty() && !plugins.contains(&plugin) {
        plugins.push(plugin.clone());
    }
    frame::page(&ReplayPage {
        frame: visit.frame("events", "Replay events"),
        filter: Filter::of(&visit, &FILTERS),
        plugins,
        plugin,
        key: uuid::Uuid::new_v4().to_string(),
    })
}

/// `POST /events/replay`.
pub(super) async fn replay_all(form: Form) -> Result<Response<Body>, Failure> {
    let mut body = json!({
        "filter": form.fields(&FILTERS),
        "dry_run": form.field("dry_run").is_some(),
    });
    if let Some(plugin) = form.field("plugin") {
        body["plugin"] = Value::from(plugin);
    }
    begin(&form, "events/replay", &body).await
}

/// Begins bulk work, and shows how far it is.
pub(super) async fn begin(
    form: &Form,
    path: &str,
    body: &Value,
) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let key = form.field("key").unwrap_or_default();
    match visit.post_once::<Begun>(path, body, key).await {
        Ok(begun) => Ok(frame::go_to(&operations::address(&begun.operation_id))),
        Err(failure) => {
            told(visit, failure)?;
            Ok(frame::go_to(form.back("/operations")))
        }
    }
}

/// The plugins that a form offers.
pub(super) async fn plugin_names(visit: &Visit) -> Result<Vec<String>, Failure> {
    let plugins: Items<Plugin> = visit.get("plugins?limit=1000").await?;
    Ok(plugins
        .items
        .into_iter()
        .map(|plugin| plugin.name)
        .collect())
}

impl<R> Event<R> {
    /// Why no plugin ran on it, as a sentence.
    fn why_no_run(&self) -> &str {
        match self.no_run_reason.as_deref() {
            Some("no_trigger") | None => "No plugin's trigger matched when it came.",
            Some("handshake") => "It is a handshake, which matches no trigger.",
            Some("dedup_conflict") => {
                "Another body came before under its delivery id; nothing runs until it is replayed."
            }
            Some(reason) => reason,
        }
    }

    /// Its page.
    pub(super) fn address(&self) -> String {
        format!("/events/{}", segment(&self.id))
    }

    /// The page of what it came from: a source, or the plugin that emitted it.
    fn origin(&self) -> String {
        match self.source.strip_prefix("plugin:") {
            Some(plugin) => format!("/plugins/{}", segment(plugin)),
            None => format!("/sources/{}", segment(&self.source)),
        }
    }
}
