//! The door: what happens between a request's head and its answer.
//!
//! [`receive`] goes through the checks in the order that the design fixes: size,
//! verification, JSON; source, method and address come before, in `http`. What
//! passes becomes an event with its runs in one commit, and only then is
//! answered with a 2xx. No guest code runs here, and no database work: that is
//! done by tasks of their own, which a disconnect cannot cut off.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::{Clock, Timestamp};
use crate::dispatch::SharedBoard;
use crate::event::{Event, EventId, Headers};
use crate::http::Problem;
use crate::json;
use crate::metrics::Metrics;
use crate::store::NewEvent;

mod answer;
mod batch;
mod body;
pub mod handshake;
pub mod pauses;
pub mod scheme;
mod source;
pub mod verify;

pub use batch::{Batcher, BatcherTask};
pub use source::{Source, Sources};

use answer::{About, Receipt, Refusal};
pub use body::Budget;
use body::ReadBody;
use handshake::{Answer, Outcome, Stage};
use scheme::Provider;
use scheme::selector::{Place, Selector};

/// Longest kind that is kept, in bytes; more is cut.
const KIND_MAX: usize = 512;
/// From this size on, a body is hashed and compressed off the async threads.
const LARGE: usize = 256 << 10;

/// Everything that receiving a webhook needs.
pub struct Door {
    /// Where to put events.
    pub batcher: Batcher,
    /// Which plugins want an event.
    pub board: SharedBoard,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Memory for bodies that are being received or wait for their commit.
    pub budget: Budget,
}

/// What a request is, once it has been looked at.
enum Prepared {
    /// A genuine one in the form in which it is stored, and what is said of it.
    Event {
        new: Box<NewEvent>,
        /// Its part of the memory for bodies.
        part: OwnedSemaphorePermit,
        about: About,
    },
    /// A question that proves nothing: it is answered and not stored.
    Question(Answer),
}

/// What proves a request, taken out of its head.
struct Head {
    method: String,
    /// The address as the sender knows it.
    url: String,
    headers: Headers,
}

/// The answer to a method by which nothing comes to a source.
pub fn wrong_method(source: &Source) -> Problem {
    let methods = source.config.provider.methods.join(", ");
    let detail = format!("webhooks are sent with {methods}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        .detail(detail)
        .allow(methods)
}

/// Answers a webhook of a source that is paused: its sender is to come again.
pub fn is_paused(door: &Door, source: &Source) -> Response<Body> {
    let id = EventId::new(door.clock.now());
    let receipt = Receipt::new(source, &door.metrics, id, Instant::now());
    receipt.refuse(Refusal::Paused)
}

/// Receives one webhook for `source`: verified, stored, acknowledged.
pub async fn receive(door: &Door, source: &Arc<Source>, request: Request<Body>) -> Response<Body> {
    let mut receipt = Receipt::new(
        source,
        &door.metrics,
        EventId::new(door.clock.now()),
        Instant::now(),
    );
    let (head, body) = request.into_parts();
    let read = door
        .budget
        .read(body, &head.headers, source.config.max_body)
        .await;
    let body = match read {
        Ok(body) => body,
        Err(refusal) => return receipt.refuse(refusal),
    };
    // Receipt is when the last byte was read: what follows does not age it.
    let received_at = door.clock.now();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let head = Head {
        method: head.method.as_str().to_owned(),
        url: format!("{}{path}", source.config.public_url),
        headers: headers(&head.headers),
    };
    let prepared = if body.bytes.len() < LARGE {
        prepare(&door.board, source, head, body, received_at)
    } else {
        let (board, source) = (Arc::clone(&door.board), Arc::clone(source));
        let prepare = move || prepare(&board, &source, head, body, received_at);
        let prepared = tokio::task::spawn_blocking(prepare).await;
        prepared.unwrap_or(Err(Refusal::Overloaded("the host is stopping")))
    };
    let (new, part) = match prepared {
        Ok(Prepared::Event { new, part, about }) => {
            receipt.is_about(about);
            (*new, part)
        }
        Ok(Prepared::Question(answer)) => return receipt.answer_question(answer),
        Err(refusal) => return receipt.refuse(refusal),
    };
    match door.batcher.store(new, part).await {
        Ok(ingested) => receipt.acknowledge(ingested),
        Err(refusal) => receipt.refuse(refusal),
    }
}

/// Proves the request, reads kind and delivery id out of it, and finds who wants
/// it: all that takes no waiting.
fn prepare(
    board: &SharedBoard,
    source: &Source,
    head: Head,
    body: ReadBody,
    received_at: Timestamp,
) -> Result<Prepared, Refusal> {
    let ReadBody { bytes: body, part } = body;
    let config = &source.config;
    let (provider, keys) = (&config.provider, &config.keys);
    let request = verify::Request {
        method: &head.method,
        url: &head.url,
        headers: &head.headers,
        body: &body,
    };
    match handshake::challenge(provider, keys, &request, Stage::Unproven) {
        Some(Outcome::Answer(answer)) => return Ok(Prepared::Question(answer)),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        None if !provider.takes(&head.method) => return Err(Refusal::WrongMethod),
        None => {}
    }
    let verified = verify::verify(&provider.proof, keys, &request, received_at);
    let verified = verified.map_err(Refusal::NotGenuine)?;
    source.secret_matched(verified.secret, received_at);
    let stage = Stage::Genuine(verified.secret);
    let answer = match handshake::challenge(provider, keys, &request, stage) {
        Some(Outcome::Answer(answer)) => Some(answer),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        None => None,
    };
    let (kind, delivery_id) = read(provider, &request)?;
    let kind = kind.unwrap_or_else(|| "unknown".to_owned());
    let mut headers = head.headers;
    let idempotency_key = headers
        .text("idempotency-key")
        .or_else(|| headers.text("x-idempotency-key"));
    let dedup_key = delivery_id
        .clone()
        .or_else(|| idempotency_key.map(str::to_owned));
    headers.hide(&provider.credential_headers);
    let event = Event {
        id: EventId::new(received_at),
        source: config.name.clone(),
        provider: provider.name.clone(),
        is_handshake: answer.is_some() || provider.handshake_kinds.contains(&kind),
        kind,
        delivery_id,
        received_at,
        content_type: headers.text("content-type").map(str::to_owned),
        headers,
        body,
    };
    let about = About {
        id: event.id,
        kind: event.kind.clone(),
        delivery_id: event.delivery_id.clone(),
        is_handshake: event.is_handshake,
        answer,
    };
    let runs = board.load().triggers.runs_for(&event);
    let (by_body, window) = (config.dedup_by_body, config.dedup_window);
    let new = NewEvent::new(event, dedup_key.as_deref(), by_body, window, runs);
    let new = Box::new(new);
    Ok(Prepared::Event { new, part, about })
}

/// Kind and delivery id; checks that the body is JSON where it must be.
fn read(
    provider: &Provider,
    request: &verify::Request<'_>,
) -> Result<(Option<String>, Option<String>), Refusal> {
    let document = provider.document(request);
    let document = document.as_deref();
    if document.is_none() && provider.is_json {
        // A form without the field that holds the JSON, or nothing at all.
        json::check(request.body).map_err(Refusal::NotJson)?;
    }
    let is_looked_at = |place: &Place| {
        // An earlier alternative may make a later one unneeded.
        let first = place.0.first().and_then(|selectors| selectors.first());
        first.is_some_and(Selector::is_inside)
    };
    if let Some(document) = document
        && provider.is_json
        && !is_looked_at(&provider.kind)
        && !is_looked_at(&provider.id)
    {
        json::check(document).map_err(Refusal::NotJson)?;
    }
    let value = |place: &Place| match place.find(request, document) {
        Ok(value) => Ok(value),
        // A source that does not promise JSON may send other things too.
        Err(_) if !provider.is_json => Ok(None),
        Err(error) => Err(Refusal::NotJson(error)),
    };
    let cut = |mut kind: String| {
        kind.truncate(kind.floor_char_boundary(KIND_MAX));
        kind
    };
    Ok((value(&provider.kind)?.map(cut), value(&provider.id)?))
}

fn headers(map: &HeaderMap) -> Headers {
    let pairs = map
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Headers::new(pairs.collect())
}
