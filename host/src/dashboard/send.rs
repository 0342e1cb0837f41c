//! Sending a sample event from the page, signed with the source's secret.

use askama::Template;
use axum::body::Body;
use axum::http::Response;
use serde::Deserialize;
use serde_json::json;

use super::api::{Items, segment, with_query};
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::shown;
use super::sources::source_names;

/// What a provider would send.
#[derive(Deserialize)]
struct Sample {
    kind: String,
    content_type: String,
    body: String,
}

/// What the public address answered.
#[derive(Deserialize)]
struct Sent {
    status: u16,
    answer: String,
    event_id: Option<String>,
}

#[derive(Template)]
#[template(path = "send.html")]
struct SendPage {
    frame: Frame,
    sources: Vec<String>,
    source: String,
    samples: Vec<Sample>,
    /// Which of them is shown.
    kind: String,
    body: String,
    content_type: String,
}

/// `GET /send?source=&kind=`.
pub(super) async fn show(visit: Visit) -> Result<Response<Body>, Failure> {
    let sources = source_names(&visit);
    let asked = visit.asked("source").map(str::to_owned);
    let source = asked
        .or_else(|| sources.first().cloned())
        .unwrap_or_default();
    let samples = if source.is_empty() {
        Vec::new()
    } else {
        let path = format!("sources/{}/samples", segment(&source));
        visit.get::<Items<Sample>>(&path).await?.items
    };
    let asked = visit.asked("kind").unwrap_or_default();
    let found = samples.iter().find(|sample| sample.kind == asked);
    let shown = found.or_else(|| samples.first());
    let text = |of: fn(&Sample) -> &String| shown.map(of).cloned().unwrap_or_default();
    frame::page(&SendPage {
        frame: visit.frame("send", "Send a sample"),
        kind: text(|sample| &sample.kind),
        body: text(|sample| &sample.body),
        content_type: text(|sample| &sample.content_type),
        samples,
        sources,
        source,
    })
}

/// `POST /send`: to the event that it became.
pub(super) async fn send(form: Form) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let source = form.field("source").unwrap_or_default();
    // Browsers send every line's end as two characters.
    let body = form.field("body").unwrap_or_default().replace("\r\n", "\n");
    let wanted = json!({ "kind": form.field("kind"), "body": body });
    let path = format!("sources/{}/samples", segment(source));
    let again = [("source", Some(source)), ("kind", form.field("kind"))];
    let again = with_query("/send", &again);
    match visit.post::<Sent>(&path, &wanted).await {
        Ok(sent) => {
            let is_good = (200..300).contains(&sent.status);
            let event = sent.event_id.filter(|_| is_good);
            if let Some(event) = &event {
                let told = format!("Sent; the host answered {}.", sent.status);
                visit.tell(true, &told, None);
                return Ok(frame::go_to(&format!("/events/{}", segment(event))));
            }
            let answer = shown::beginning(&sent.answer, 400);
            let told = format!("The host answered {}: {answer}", sent.status);
            visit.tell(is_good, &told, None);
        }
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to(&again))
}
