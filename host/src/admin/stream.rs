//! `stream`: events as they are stored, over server-sent events.
//!
//! Each message names its place as `id`; who comes back with it as `Last-Event-ID` goes on
//! behind it and misses nothing: the store shows only what no commit can come before.
//! `ready` is the first message and tells where the stream begins.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::http::Problem;
use crate::store::{StreamPosition, Streamed};
use crate::trigger::KindPattern;

use super::events::events_json;
use super::page::Parameters;
use super::{Admin, AdminError};

/// Streams of one host at once.
const STREAMS_MAX: usize = 100;
/// Events that are read at once.
const PAGE: u32 = 200;
/// Between looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After this much silence a comment says that the stream is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// When a browser comes back after the connection broke.
const COME_BACK: Duration = Duration::from_secs(1);

/// Who follows the events of this host, and until when.
pub struct Streams {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is followed, and from where on.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only of this source
    #[param(min_length = 1)]
    source: Option<String>,
    /// Only of a kind that fits
    kind: Option<KindPattern>,
    /// Go on behind this place: an `id` of the stream
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,19}([.][0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})?$")]
    last_event_id: Option<StreamPosition>,
}

/// One who follows.
struct Follower {
    admin: Arc<Admin>,
    query: StreamQuery,
    position: StreamPosition,
    /// What was read and is not sent yet.
    waiting: VecDeque<Message>,
    _place: OwnedSemaphorePermit,
}

impl Streams {
    /// None yet; all of them end with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop,
        }
    }
}

/// `GET stream?source=&kind=`: from now on, or from where `Last-Event-ID` says.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "seeing", summary = "Sends events as they are stored, as server-sent events",
    params(StreamQuery, ("last-event-id" = Option<String>, Header, pattern = "^[0-9]{1,19}([.][0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})?$", description = "The same, as browsers send it")),
    responses((status = 200, description = "Messages `ready`, then `event` with an event as in a list", body = String, content_type = "text/event-stream"), (status = 409, description = "The stream has not come to this place", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, AdminError> {
    let query = StreamQuery {
        source: parameters.take("source"),
        kind: parameters.parse("kind")?,
        last_event_id: parameters.parse("last_event_id")?,
    };
    parameters.finish()?;
    // A browser that comes back sends the header, at the address it was first given.
    let from = match headers.get("last-event-id") {
        Some(value) => Some(position(value.as_bytes())?),
        None => query.last_event_id,
    };
    let places = Arc::clone(&admin.streams.places);
    let place = places.try_acquire_owned().map_err(|_| {
        AdminError::TooMany(format!(
            "this host has {STREAMS_MAX} streams open and begins no other"
        ))
    })?;
    let end = admin.store.stream_end().await?;
    let position = from.unwrap_or(end);
    if position.is_beyond(end) {
        let problem = format!(
            "the stream of this database has not come to `{position}`; it may have been restored from a backup"
        );
        return Err(AdminError::NotNow(problem));
    }
    let ready = Message::default()
        .event("ready")
        .id(position.to_string())
        .retry(COME_BACK)
        .data("{}");
    let follower = Follower {
        admin,
        query,
        position,
        waiting: VecDeque::from([ready]),
        _place: place,
    };
    let messages = stream::unfold(follower, |mut follower| async {
        let message = follower.next().await?;
        Some((Ok(message), follower))
    });
    let alive = KeepAlive::new().interval(ALIVE_EVERY).text("still here");
    Ok(Sse::new(messages).keep_alive(alive))
}

fn position(value: &[u8]) -> Result<StreamPosition, AdminError> {
    let text = String::from_utf8_lossy(value);
    let wrong = |error| AdminError::Invalid(format!("header `last-event-id`: {error}"));
    text.trim().parse().map_err(wrong)
}

impl Follower {
    /// The next message; none, when the host stops or the database does not answer:
    /// whoever follows comes back.
    async fn next(&mut self) -> Option<Message> {
        let stop = self.admin.streams.stop.clone();
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            let read = tokio::select! {
                read = self.read() => read,
                () = stop.cancelled() => return None,
            };
            match read {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = stop.cancelled() => return None,
                },
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends, since the database does not answer");
                    return None;
                }
            }
        }
    }

    /// Reads on; whether there was anything.
    async fn read(&mut self) -> Result<bool, AdminError> {
        let page = self.admin.store.stream_from(self.position, PAGE).await?;
        let Some(last) = page.last().map(|streamed| streamed.position) else {
            return Ok(false);
        };
        let wanted: Vec<Streamed> = page.into_iter().filter(|one| self.wants(one)).collect();
        let is_sent = wanted.last().is_some_and(|one| one.position == last);
        let places: Vec<StreamPosition> = wanted.iter().map(|one| one.position).collect();
        let rows = wanted.into_iter().map(|one| one.event).collect();
        for (event, place) in events_json(&self.admin, rows).await?.iter().zip(places) {
            let message = Message::default().event("event").id(place.to_string());
            let message = message
                .json_data(event)
                .map_err(|error| AdminError::Failed(error.to_string()))?;
            self.waiting.push_back(message);
        }
        if !is_sent {
            // Nothing but how far it is: who comes back need not look at these again.
            self.waiting
                .push_back(Message::default().id(last.to_string()));
        }
        self.position = last;
        Ok(true)
    }

    fn wants(&self, streamed: &Streamed) -> bool {
        let event = &streamed.event;
        let is_source = self
            .query
            .source
            .as_ref()
            .is_none_or(|name| *name == event.source);
        is_source
            && self
                .query
                .kind
                .as_ref()
                .is_none_or(|kind| kind.matches(&event.kind))
    }
}
