//! Quarantine: requests that failed, why, and their release.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::segment;
use super::body::Shown;
use super::events::{begin, told};
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::list::{Filter, Listed};
use super::shown;
use super::sources::source_names;

/// What selects requests in bulk.
const FILTERS: [&str; 4] = ["source", "reason", "since", "until"];

/// A request that was kept though it failed.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) received_at: String,
    pub(super) reason: Reason,
    size_bytes: i64,
    remote_addr: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

/// Why it failed.
#[derive(Deserialize)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    filter: Filter,
    sources: Vec<String>,
    list: Listed<Entry>,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct EntryPage {
    frame: Frame,
    entry: Entry,
    body: Shown,
    body_address: String,
    /// Why the body is not shown.
    hidden: String,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    frame: Frame,
    filter: Filter,
    key: String,
}

/// `GET /quarantine`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let filter = Filter::of(&visit, &["source"]);
    frame::page(&QuarantinePage {
        frame: visit.frame("quarantine", "Quarantine"),
        list: filter.list(&visit, "/quarantine").await?,
        sources: source_names(&visit),
        filter,
    })
}

/// `GET /quarantine/{id}`.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let path = format!("quarantine/{}", segment(&id));
    let entry: Entry = visit.get(&path).await?;
    // A credential in it may keep it from being shown.
    let shown = Shown::at(&visit, &format!("{path}/body"), &entry.source).await;
    let (body, hidden) = match shown {
        Ok(body) => (body, String::new()),
        Err(Failure::Refused(problem)) if problem.status == 409 => (Shown::Empty, problem.detail),
        Err(failure) => return Err(failure),
    };
    frame::page(&EntryPage {
        body_address: format!("{}/body", entry.address()),
        body,
        hidden: shown::capitalised(&hidden),
        frame: visit.frame("quarantine", format!("Request to {}", entry.source)),
        entry,
    })
}

/// `GET /quarantine/{id}/body`: the bytes, never as a page.
pub(super) async fn body(visit: Visit, Path(id): Path<String>) -> Result<Response<Body>, Failure> {
    let path = format!("quarantine/{}/body", segment(&id));
    visit.open(&path).await
}

/// `POST /quarantine/{id}/release`: as if it came now, verified as of when it came.
pub(super) async fn release(Path(id): Path<String>, form: Form) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let path = format!("quarantine/{}/release", segment(&id));
    match visit.post::<Value>(&path, &json!({})).await {
        Ok(released) => {
            let several = released.get("event_ids").and_then(Value::as_array);
            if let Some(several) = several {
                let text = format!("Released as {} events.", several.len());
                visit.tell(true, &text, None);
                return Ok(frame::go_to("/events"));
            }
            visit.tell(true, "Released.", None);
            let event = released.get("event_id").and_then(Value::as_str);
            Ok(frame::go_to(&event.map_or_else(
                || "/quarantine".to_owned(),
                |event| format!("/events/{}", segment(event)),
            )))
        }
        Err(failure) => {
            told(visit, failure)?;
            Ok(frame::go_to(&format!("/quarantine/{}", segment(&id))))
        }
    }
}

/// `GET /quarantine/release`: asks before everything of a filter is released.
pub(super) async fn ask_release(visit: Visit) -> Result<Response<Body>, Failure> {
    frame::page(&ReleasePage {
        frame: visit.frame("quarantine", "Release requests"),
        filter: Filter::of(&visit, &FILTERS),
        key: uuid::Uuid::new_v4().to_string(),
    })
}

/// `POST /quarantine/release`.
pub(super) async fn release_all(form: Form) -> Result<Response<Body>, Failure> {
    let body = json!({
        "filter": form.fields(&FILTERS),
        "dry_run": form.field("dry_run").is_some(),
    });
    begin(&form, "quarantine/release", &body).await
}

impl Entry {
    /// Its page.
    pub(super) fn address(&self) -> String {
        format!("/quarantine/{}", segment(&self.id))
    }
}
