//! Turns a genuine request into what is stored: its events, and the runs of those who want
//! them.

use std::mem::take;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::dispatch::{Board, SharedBoard};
use crate::event::{Event, EventId, Headers};
use crate::store::NewEvent;
use crate::traces::TraceContext;

use super::answer::About;
use super::body::ReadBody;
use super::contents::{Contents, Item};
use super::examine::{Finding, examine};
use super::handshake::Answer;
use super::indexed;
use super::scheme::key::Keyring;
use super::source::Source;
use super::verifier::Said;
use super::{Arrived, Refused};

/// What a request becomes.
pub(super) enum Admitted {
    /// Events in the form in which they are stored, and what is said of them.
    Events {
        new: Vec<NewEvent>,
        /// The request's part of the memory for bodies.
        part: OwnedSemaphorePermit,
        about: Box<About>,
        /// The sender's address that is to be visited before it is stored.
        confirm: Option<Url>,
    },
    /// An answer, and nothing else.
    Question(Answer),
    /// The secret that its sender will sign with, and the answer if it is taken.
    Secret(Secret, Answer),
}

/// Examines a request and finds who wants it: all that takes no waiting. `said` is the
/// verdict of the source's verifier plugin, if it has one.
///
/// # Errors
/// [`Refused`] gives the request back.
pub(super) fn admit(
    board: &SharedBoard,
    source: &Source,
    keys: &Keyring,
    arrived: Arrived,
    said: Option<Said>,
    turn: impl FnOnce() -> Option<OwnedSemaphorePermit>,
) -> Result<Admitted, Box<Refused>> {
    let (request, at) = (arrived.request(), arrived.received_at);
    let admits = || source.take_turn(at).map(|()| turn());
    match examine(source, keys, &request, at, said, admits) {
        Ok(Finding::Genuine(contents)) => {
            source.secret_matched(contents.secret, at);
            Ok(events(&board.load(), source, arrived, contents))
        }
        Ok(Finding::Question(answer)) => Ok(Admitted::Question(answer)),
        Ok(Finding::Secret(secret, answer)) => Ok(Admitted::Secret(secret, answer)),
        Err(refusal) => Err(Box::new(Refused { refusal, arrived })),
    }
}

fn events(board: &Board, source: &Source, arrived: Arrived, contents: Contents) -> Admitted {
    let (received, part) = Received::of(arrived);
    let confirm = contents.confirm.clone();
    let (new, about) = received.into_events(board, source, contents);
    Admitted::Events {
        new,
        part,
        about: Box::new(about),
        confirm,
    }
}

/// A request that is taken.
pub(super) struct Received {
    /// The time that its events' ids have: events are read in the order of these.
    pub(super) numbered_at: Timestamp,
    pub(super) received_at: Timestamp,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl Received {
    /// What has just arrived, and its part of the memory for bodies.
    pub(super) fn of(arrived: Arrived) -> (Self, OwnedSemaphorePermit) {
        let ReadBody { bytes: body, part } = arrived.body;
        let received = Self {
            numbered_at: arrived.received_at,
            received_at: arrived.received_at,
            headers: arrived.headers,
            body,
        };
        (received, part)
    }

    /// The events in the form in which they are stored, at least one, and what is said of
    /// them.
    pub(super) fn into_events(
        mut self,
        board: &Board,
        source: &Source,
        contents: Contents,
    ) -> (Vec<NewEvent>, About) {
        let headers = &mut self.headers;
        let idempotency_key = headers
            .text("idempotency-key")
            .or_else(|| headers.text("x-idempotency-key"))
            .map(str::to_owned);
        headers.hide(&source.config.provider.credential_headers);
        headers.hide(&contents.credential_headers);
        let items = contents.items;
        let ids = ids(items.len(), self.numbered_at);
        let first = ids.first().copied();
        let first = first.unwrap_or_else(|| EventId::new(self.numbered_at));
        let mut about = About {
            kind: String::new(),
            delivery_id: items.first().and_then(|item| item.delivery_id.clone()),
            is_handshake: items.iter().all(|item| item.is_handshake),
            trace: TraceContext::of_request(first, &self.headers),
            answer: contents.answer,
            secret: contents.secret,
            ids,
        };
        let mut maker = Maker {
            board,
            source,
            received: self,
            inflated: contents.inflated,
            idempotency_key,
        };
        let mut new = Vec::with_capacity(items.len());
        for (n, (id, item)) in about.ids.iter().zip(items).enumerate() {
            if n == 0 {
                about.kind.clone_from(&item.kind);
            } else if about.kind != item.kind {
                "several".clone_into(&mut about.kind);
            }
            new.push(maker.event(*id, item, n));
        }
        (new, about)
    }
}

/// So many new ids in order: lists and streams have items as they were sent.
fn ids(count: usize, at: Timestamp) -> Vec<EventId> {
    let mut ids: Vec<EventId> = (0..count).map(|_| EventId::new(at)).collect();
    ids.sort_unstable();
    ids
}

/// Makes the events of one request.
struct Maker<'a> {
    board: &'a Board,
    source: &'a Source,
    received: Received,
    inflated: Option<Vec<u8>>,
    idempotency_key: Option<String>,
}

impl Maker<'_> {
    /// The event of an item, which is at this position among those of the request.
    fn event(&mut self, id: EventId, item: Item, position: usize) -> NewEvent {
        let config = &self.source.config;
        let received = &mut self.received;
        let is_whole = item.part.is_none();
        // What names the request names no item: of that it is known that it comes at the same
        // position again.
        let of_request = |key: &String| match is_whole {
            true => key.clone(),
            false => format!("{key}#{position}"),
        };
        let dedup_key = match &item.delivery_id {
            Some(id) if item.has_own_id => Some(id.clone()),
            Some(id) => Some(of_request(id)),
            None => self.idempotency_key.as_ref().map(of_request),
        };
        let (headers, body) = match item.part {
            // The only one.
            None => (take(&mut received.headers), received.body.clone()),
            Some(part) => (part_headers(&received.headers), Bytes::from(part)),
        };
        let event = Event {
            id,
            source: config.name.clone(),
            provider: config.provider.name.clone(),
            kind: item.kind,
            delivery_id: item.delivery_id,
            received_at: received.received_at,
            content_type: headers.text("content-type").map(str::to_owned),
            headers,
            body,
            is_handshake: item.is_handshake,
        };
        let read = self.inflated.as_deref().filter(|_| is_whole);
        let indexed = indexed::values(read.unwrap_or(&event.body), &config.index);
        let runs = match item.is_wanted {
            true => self.board.triggers.runs_for(&event),
            false => Vec::new(),
        };
        let (by_body, window) = (config.dedup_by_body, config.dedup_window);
        let mut new = NewEvent::new(event, dedup_key.as_deref(), by_body, window, runs)
            .matched(&self.board.triggers);
        if let Some(inflated) = self.inflated.as_ref().filter(|_| is_whole) {
            new = new.reading_as(inflated);
        }
        new = new.indexed(indexed);
        if !item.is_wanted {
            new = new.filtered();
        }
        new
    }
}

/// The headers of an event that is one of several: what they say of the body is to be true
/// of its part.
fn part_headers(headers: &Headers) -> Headers {
    let kept = headers.pairs().iter().filter_map(|(name, value)| {
        let value = match name.as_str() {
            "content-encoding" | "content-length" => return None,
            "content-type" => b"application/json".to_vec(),
            _ => value.clone(),
        };
        Some((name.clone(), value))
    });
    Headers::new(kept.collect())
}
