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
use axum::http::{HeaderMap, Request, Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::{Clock, Timestamp};
use crate::dispatch::SharedBoard;
use crate::event::{Event, EventId, Headers};
use crate::json;
use crate::metrics::Metrics;
use crate::store::NewEvent;

mod answer;
mod batch;
mod body;
pub mod scheme;
mod source;
pub mod verify;

pub use batch::{Batcher, BatcherTask};
pub use source::{Source, Sources};

use answer::{About, Receipt, Refusal};
pub use body::Budget;
use body::ReadBody;
use scheme::{Place, Provider};

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

/// A genuine request in the form in which it is stored, and what is said of it.
struct Prepared {
    new: NewEvent,
    /// Its part of the memory for bodies.
    part: OwnedSemaphorePermit,
    about: About,
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
    let headers = headers(&head.headers);
    let prepared = if body.bytes.len() < LARGE {
        prepare(&door.board, source, headers, body, received_at)
    } else {
        let (board, source) = (Arc::clone(&door.board), Arc::clone(source));
        let prepare = move || prepare(&board, &source, headers, body, received_at);
        let prepared = tokio::task::spawn_blocking(prepare).await;
        prepared.unwrap_or(Err(Refusal::Overloaded("the host is stopping")))
    };
    let Prepared { new, part, about } = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return receipt.refuse(refusal),
    };
    receipt.is_about(about);
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
    headers: Headers,
    body: ReadBody,
    received_at: Timestamp,
) -> Result<Prepared, Refusal> {
    let ReadBody { bytes: body, part } = body;
    let config = &source.config;
    let provider = &config.provider;
    let verified = verify::verify(
        &provider.proof,
        &config.secrets,
        &headers,
        &body,
        received_at,
    );
    let verified = verified.map_err(Refusal::NotGenuine)?;
    source.secret_matched(verified.secret, received_at);
    let (kind, delivery_id) = read(provider, &headers, &body)?;
    let kind = kind.unwrap_or_else(|| "unknown".to_owned());
    let idempotency_key = || {
        headers
            .text("idempotency-key")
            .or_else(|| headers.text("x-idempotency-key"))
    };
    let dedup_key = delivery_id
        .clone()
        .or_else(|| idempotency_key().map(str::to_owned));
    let event = Event {
        id: EventId::new(received_at),
        source: config.name.clone(),
        provider: provider.name.clone(),
        is_handshake: provider.handshake_kind.as_deref() == Some(&kind),
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
    };
    let runs = board.load().triggers.runs_for(&event);
    let (by_body, window) = (config.dedup_by_body, config.dedup_window);
    let new = NewEvent::new(event, dedup_key.as_deref(), by_body, window, runs);
    Ok(Prepared { new, part, about })
}

/// Kind and delivery id; checks that the body is JSON where it must be.
fn read(
    provider: &Provider,
    headers: &Headers,
    body: &[u8],
) -> Result<(Option<String>, Option<String>), Refusal> {
    let looks_inside = provider.kind.pointer.is_some() || provider.id.pointer.is_some();
    if provider.is_json && !looks_inside {
        json::check(body).map_err(Refusal::NotJson)?;
    }
    let kind = value(&provider.kind, provider.is_json, headers, body)?;
    let id = value(&provider.id, provider.is_json, headers, body)?;
    let cut = |mut kind: String| {
        kind.truncate(kind.floor_char_boundary(KIND_MAX));
        kind
    };
    Ok((kind.map(cut), id.filter(|id| !id.is_empty())))
}

/// The value at a place; a header and a pointer together are joined by a dot.
fn value(
    place: &Place,
    is_json: bool,
    headers: &Headers,
    body: &[u8],
) -> Result<Option<String>, Refusal> {
    let header = place.header.as_deref().and_then(|name| headers.text(name));
    let inside = match place
        .pointer
        .as_ref()
        .map(|pointer| json::pick(body, pointer))
    {
        Some(Ok(inside)) => inside,
        // A source that does not promise JSON may send other things too.
        Some(Err(_)) if !is_json => None,
        Some(Err(error)) => return Err(Refusal::NotJson(error)),
        None => None,
    };
    Ok(match (header, inside) {
        (Some(header), Some(inside)) => Some(format!("{header}.{inside}")),
        (Some(header), None) => Some(header.to_owned()),
        // The header is the kind; what stands inside only refines it.
        (None, _) if place.header.is_some() => None,
        (None, inside) => inside,
    })
}

fn headers(map: &HeaderMap) -> Headers {
    let pairs = map
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Headers::new(pairs.collect())
}
