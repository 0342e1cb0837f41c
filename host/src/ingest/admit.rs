//! Turns a genuine request into what is stored: an event, and the runs of those who want it.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::dispatch::SharedBoard;
use crate::event::{Event, EventId, Headers};
use crate::store::NewEvent;
use crate::traces::TraceContext;

use super::answer::About;
use super::body::ReadBody;
use super::examine::{Finding, Genuine, examine};
use super::handshake::Answer;
use super::scheme::key::Keyring;
use super::source::Source;
use super::verifier::Said;
use super::{Arrived, Refused};

/// What a request becomes.
pub(super) enum Admitted {
    /// An event in the form in which it is stored, and what is said of it.
    Event {
        new: Box<NewEvent>,
        /// Its part of the memory for bodies.
        part: OwnedSemaphorePermit,
        about: About,
        /// The sender's address that is to be visited before it is stored.
        confirm: Option<Url>,
    },
    /// An answer, and nothing else.
    Question(Answer),
    /// The secret that its sender will sign with, and the answer if it is taken.
    Secret(Secret, Answer),
}

/// Examines a request and finds who wants it: all that takes no waiting.
///
/// # Errors
/// [`Refused`] gives the request back.
pub(super) fn admit(
    board: &SharedBoard,
    source: &Source,
    keys: &Keyring,
    arrived: Arrived,
    said: Option<Said>,
) -> Result<Admitted, Box<Refused>> {
    match examine(source, keys, &arrived.request(), arrived.received_at, said) {
        Ok(Finding::Genuine(genuine)) => Ok(event(board, source, arrived, genuine)),
        Ok(Finding::Question(answer)) => Ok(Admitted::Question(answer)),
        Ok(Finding::Secret(secret, answer)) => Ok(Admitted::Secret(secret, answer)),
        Err(refusal) => Err(Box::new(Refused { refusal, arrived })),
    }
}

fn event(board: &SharedBoard, source: &Source, arrived: Arrived, genuine: Genuine) -> Admitted {
    let ReadBody { bytes: body, part } = arrived.body;
    let received = Received {
        id: EventId::new(arrived.received_at),
        received_at: arrived.received_at,
        headers: arrived.headers,
        body,
    };
    let confirm = genuine.confirm.clone();
    let (new, about) = received.into_event(board, source, genuine);
    Admitted::Event {
        new,
        part,
        about,
        confirm,
    }
}

/// A request that is taken.
pub(super) struct Received {
    /// The id that its event has.
    pub(super) id: EventId,
    pub(super) received_at: Timestamp,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl Received {
    /// The event in the form in which it is stored, and what is said of it.
    pub(super) fn into_event(
        self,
        board: &SharedBoard,
        source: &Source,
        genuine: Genuine,
    ) -> (Box<NewEvent>, About) {
        let config = &source.config;
        let provider = &config.provider;
        let mut headers = self.headers;
        let kind = genuine.kind.unwrap_or_else(|| "unknown".to_owned());
        let delivery_id = genuine.delivery_id;
        let idempotency_key = headers
            .text("idempotency-key")
            .or_else(|| headers.text("x-idempotency-key"));
        let dedup_key = delivery_id
            .clone()
            .or_else(|| idempotency_key.map(str::to_owned));
        headers.hide(&provider.credential_headers);
        headers.hide(&genuine.credential_headers);
        let event = Event {
            id: self.id,
            source: config.name.clone(),
            provider: provider.name.clone(),
            is_handshake: genuine.answer.is_some() || provider.handshake_kinds.contains(&kind),
            kind,
            delivery_id,
            received_at: self.received_at,
            content_type: headers.text("content-type").map(str::to_owned),
            headers,
            body: self.body,
        };
        let about = About {
            id: event.id,
            kind: event.kind.clone(),
            delivery_id: event.delivery_id.clone(),
            is_handshake: event.is_handshake,
            trace: TraceContext::of_request(event.id, &event.headers),
            answer: genuine.answer,
            secret: genuine.secret,
        };
        let runs = board.load().triggers.runs_for(&event);
        let (by_body, window) = (config.dedup_by_body, config.dedup_window);
        let new = NewEvent::new(event, dedup_key.as_deref(), by_body, window, runs);
        (Box::new(new), about)
    }
}
