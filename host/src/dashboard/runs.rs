//! Runs: the list, one run with its attempts, retries and cancelling.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::api::segment;
use super::compare::{Comparison, compare};
use super::events::{begin, plugin_names, told};
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::journal::{Call, Timeline};
use super::list::{Filter, Listed};
use super::plugins::Plugin;
use super::spans::{Span, spans};

mod offer;

use offer::{Offer, offer};

/// What selects runs, in a list and in bulk.
const FILTERS: [&str; 5] = ["plugin", "state", "event", "since", "until"];
/// The states that can be asked for.
const STATES: [&str; 7] = [
    "ready",
    "running",
    "waiting",
    "blocked",
    "succeeded",
    "dead",
    "cancelled",
];

/// A run; alone also with its attempts.
#[derive(Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) event_id: String,
    pub(super) plugin: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) attempt: i64,
    pub(super) max_attempts: i64,
    pub(super) created_at: String,
    pub(super) next_attempt_at: Option<String>,
    pub(super) finished_at: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) data: Option<Box<RawValue>>,
    pub(super) error: Option<Problem>,
    pub(super) digest: Option<String>,
    #[serde(default)]
    pub(super) blocks_key: bool,
    #[serde(default)]
    pub(super) waits_behind: Option<String>,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
}

/// Why an attempt or a run failed.
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) message: String,
}

/// One try.
#[derive(Deserialize)]
pub(super) struct Attempt {
    pub(super) n: i64,
    pub(super) digest: Option<String>,
    pub(super) version: Option<String>,
    pub(super) host: String,
    pub(super) started_at: String,
    pub(super) duration_ms: f64,
    pub(super) cpu_ms: f64,
    pub(super) memory_bytes: i64,
    pub(super) egress_bytes: i64,
    pub(super) outcome: String,
    pub(super) error: Option<Problem>,
    pub(super) logs: Vec<Line>,
    pub(super) journal: Vec<Call>,
    #[serde(default)]
    pub(super) journal_size_bytes: i64,
}

/// A line that a plugin wrote.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) at: String,
    pub(super) level: String,
    pub(super) message: String,
    pub(super) fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    filter: Filter,
    plugins: Vec<String>,
    states: [&'static str; 7],
    spans: Vec<Span>,
    offer: Offer,
    list: Listed<Run>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    run: Run,
    /// Why its plugin does not take it.
    rest: Option<String>,
    untried: Option<Untried>,
    attempts: Vec<Shown>,
}

/// A version that is active now, and has not tried the run.
struct Untried {
    digest: String,
    version: Option<String>,
    since: Option<String>,
    /// The version that made the last attempt.
    before: String,
}

/// An attempt as its page shows it.
struct Shown {
    attempt: Attempt,
    timeline: Timeline,
    /// To the attempt before it.
    comparison: Option<Comparison>,
    is_open: bool,
}

#[derive(Template)]
#[template(path = "retry.html")]
struct RetryPage {
    frame: Frame,
    filter: Filter,
    key: String,
}

/// `GET /runs`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let filter = Filter::of(&visit, &FILTERS);
    let (list, plugins) = tokio::join!(filter.list(&visit, "/runs"), plugin_names(&visit));
    let list = list?;
    frame::page(&RunsPage {
        frame: visit.frame("runs", "Runs"),
        plugins: plugins?,
        states: STATES,
        spans: spans(visit.now, "/runs", &filter),
        offer: offer(&filter, &list),
        list,
        filter,
    })
}

/// `GET /runs/{id}`: the last attempt stands first, and open.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let mut run: Run = visit.get(&format!("runs/{}", segment(&id))).await?;
    let plugin = plugin_of(&visit, &run).await?;
    let attempts = std::mem::take(&mut run.attempts);
    let mut shown: Vec<Shown> = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let before = shown.last().map(|before| &before.attempt);
        shown.push(Shown {
            comparison: before.map(|before| compare(before, &attempt)),
            timeline: Timeline::of(&attempt.journal, attempt.duration_ms),
            attempt,
            is_open: false,
        });
    }
    shown.reverse();
    if let Some(last) = shown.first_mut() {
        last.is_open = true;
    }
    let frame = visit.frame("runs", format!("Run {}", run.id));
    frame::page(&RunPage {
        rest: run.rest(plugin.as_ref(), &frame.host_name),
        untried: run.untried(plugin.as_ref(), shown.first()),
        frame,
        run,
        attempts: shown,
    })
}

/// Its plugin, where that may say why it stands still; none where it was forgotten.
async fn plugin_of(visit: &Visit, run: &Run) -> Result<Option<Plugin>, Failure> {
    if matches!(run.state.as_str(), "ready" | "running" | "succeeded") {
        return Ok(None);
    }
    let path = format!("plugins/{}", segment(&run.plugin));
    match visit.get(&path).await {
        Ok(plugin) => Ok(Some(plugin)),
        Err(Failure::Refused(problem)) if problem.status == 404 => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// `POST /runs/{id}/retry`.
pub(super) async fn retry(Path(id): Path<String>, form: Form) -> Result<Response<Body>, Failure> {
    steer(&id, form, "retry", "It is due now.").await
}

/// `POST /runs/{id}/cancel`.
pub(super) async fn cancel(Path(id): Path<String>, form: Form) -> Result<Response<Body>, Failure> {
    steer(&id, form, "cancel", "Cancelled.").await
}

async fn steer(id: &str, form: Form, action: &str, done: &str) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let id = segment(id);
    match visit
        .act(Method::POST, &format!("runs/{id}/{action}"))
        .await
    {
        Ok(()) => visit.tell(true, done, None),
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to(form.back(&format!("/runs/{id}"))))
}

/// `GET /runs/retry`: asks before every run of a filter is retried.
pub(super) async fn ask_retry(visit: Visit) -> Result<Response<Body>, Failure> {
    frame::page(&RetryPage {
        frame: visit.frame("runs", "Retry runs"),
        filter: Filter::of(&visit, &FILTERS).or("state", "dead"),
        key: uuid::Uuid::new_v4().to_string(),
    })
}

/// `POST /runs/retry`.
pub(super) async fn retry_all(form: Form) -> Result<Response<Body>, Failure> {
    let body = json!({
        "filter": form.fields(&FILTERS),
        "dry_run": form.field("dry_run").is_some(),
    });
    begin(&form, "runs/retry", &body).await
}

impl Run {
    /// Its page.
    pub(super) fn address(&self) -> String {
        format!("/runs/{}", segment(&self.id))
    }

    /// What became of it, in one line.
    pub(super) fn result(&self) -> &str {
        let error = self.error.as_ref().map(|error| error.message.as_str());
        match self.state.as_str() {
            "succeeded" => self.summary.as_deref().unwrap_or_default(),
            _ => error.unwrap_or_default(),
        }
    }

    /// Why its plugin does not take it, behind the plugin's name.
    fn rest(&self, plugin: Option<&Plugin>, host: &str) -> Option<String> {
        if self.state != "blocked" {
            return None;
        }
        let Some(plugin) = plugin else {
            return Some("was forgotten.".to_owned());
        };
        if let Some((_, why)) = plugin.rest() {
            return Some(format!("is {}. {why}", plugin.state));
        }
        let others = &plugin.hosts;
        let is_elsewhere = !others.is_empty() && others.iter().all(|other| other != host);
        is_elsewhere.then(|| {
            let others = others.join(", ");
            format!("does not run on this host, {host}, but on {others}.")
        })
    }

    /// The version that would try it now, where another made the last attempt.
    fn untried(&self, plugin: Option<&Plugin>, last: Option<&Shown>) -> Option<Untried> {
        let plugin = plugin.filter(|_| self.can_retry())?;
        let digest = plugin.digest.clone()?;
        let before = last?.attempt.digest.clone()?;
        (digest != before).then(|| Untried {
            digest,
            version: plugin.version.clone(),
            since: plugin.active_since().map(str::to_owned),
            before,
        })
    }

    fn can_retry(&self) -> bool {
        matches!(self.state.as_str(), "dead" | "cancelled" | "waiting")
    }

    /// What it is called to retry it.
    fn retry_name(&self) -> &'static str {
        match self.state.as_str() {
            "waiting" => "Run now",
            _ => "Retry",
        }
    }

    fn can_cancel(&self) -> bool {
        let is_live = matches!(
            self.state.as_str(),
            "ready" | "running" | "waiting" | "blocked"
        );
        is_live || self.blocks_key
    }

    /// What is asked before it is cancelled.
    fn question(&self) -> String {
        let what = match self.blocks_key {
            true => "The runs behind it on its ordering key go on without it.",
            false => "What it has done outside stays done.",
        };
        format!("Cancel run {}? {what}", self.id)
    }
}

/// A packed journal this small that holds no call is one of an attempt that made none.
const EMPTY_JOURNAL_MAX: i64 = 4096;

impl Attempt {
    /// Whether its calls were kept.
    pub(super) fn has_journal(&self) -> bool {
        self.journal_size_bytes > 0
    }

    /// Whether they were, and are too many for a page.
    pub(super) fn has_long_journal(&self) -> bool {
        self.journal.is_empty() && self.journal_size_bytes > EMPTY_JOURNAL_MAX
    }
}

impl Line {
    /// Its fields, `name=value`.
    pub(super) fn told(&self) -> String {
        let told = self.fields.iter().map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        told.collect::<Vec<_>>().join(" ")
    }
}
