//! Stores events with their runs and dedup keys, a batch in one transaction.
//!
//! What a delivery is (new, a duplicate, or a known id with another body) is decided by
//! `known`, on what the database and the batch before it hold.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{DedupKey, Event, EventId, body_sha256};
use crate::name::SourceName;
use crate::run::{NewRun, PluginId};
use crate::trigger::TriggerIndex;
use bytes::Bytes;

use super::request::{KeptRequest, keep};
use super::rows::{Kind, ManyRows};
use super::sql::Value;
use super::tx::Tx;
use super::writer::Work;
use super::{Engine, Store, StoreError};

mod changed;
mod known;

pub(super) use known::{Decided, Known, known, wanted_keys};

/// An event that has not been stored, in the form in which it will be.
#[derive(Debug)]
pub struct NewEvent {
    event: Event,
    size_bytes: i64,
    request: KeptRequest,
    body_sha256: [u8; 32],
    delivery_key: Option<DedupKey>,
    body_key: Option<DedupKey>,
    is_forced: bool,
    window: Duration,
    runs: Vec<NewRun>,
    no_run_reason: Option<&'static str>,
    /// JSON: what it is found by.
    indexed: Option<String>,
    /// What its runs are by, held until it is stored: as long as that is so, plugins that
    /// this does not know may still miss it.
    _matched: Option<Arc<TriggerIndex>>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// Stored, with its runs.
    New,
    /// Stored without runs: its key is known with another body.
    Conflict,
    /// Not stored: it is this event again.
    Duplicate(EventId),
}

impl NewEvent {
    /// Compresses and hashes, so that the writer need not.
    ///
    /// `key` is what the delivery is known by, `by_body` whether an equal body
    /// counts as the same; both are remembered for `window`.
    pub fn new(
        event: Event,
        key: Option<&str>,
        by_body: bool,
        window: Duration,
        runs: Vec<NewRun>,
    ) -> Self {
        let is_keyed = key.is_some() || by_body;
        let body_sha256 = if is_keyed {
            body_sha256(&event.body)
        } else {
            [0; 32]
        };
        let no_run_reason = match (event.is_handshake, runs.is_empty()) {
            (true, _) => Some("handshake"),
            (false, true) => Some("no_trigger"),
            (false, false) => None,
        };
        Self {
            size_bytes: i64::try_from(event.body.len()).unwrap_or(i64::MAX),
            request: keep(&event.headers, &event.body),
            delivery_key: key.map(DedupKey::of_delivery),
            body_key: by_body.then(|| DedupKey::of_body(&body_sha256)),
            is_forced: false,
            body_sha256,
            window,
            runs,
            no_run_reason,
            indexed: None,
            _matched: None,
            event: Event {
                kind: printable(event.kind),
                delivery_id: event.delivery_id.map(printable),
                // It is in the kept request now; one copy is enough to wait with.
                body: Bytes::new(),
                ..event
            },
        }
    }

    /// Says by which triggers its runs are.
    pub fn matched(self, triggers: &Arc<TriggerIndex>) -> Self {
        Self {
            _matched: Some(Arc::clone(triggers)),
            ..self
        }
    }

    /// Bytes it holds in memory while it waits, about.
    pub fn weight(&self) -> usize {
        self.request.bytes.len()
    }

    /// The plugins that get a run of it.
    pub fn plugins(&self) -> impl Iterator<Item = PluginId> {
        self.runs.iter().map(|run| run.plugin)
    }

    /// The keys that it is known by.
    pub(super) fn keys(&self) -> impl Iterator<Item = DedupKey> {
        let keys = [self.delivery_key, self.body_key];
        keys.into_iter().flatten()
    }

    /// The id that it has if it is new.
    pub fn id(&self) -> EventId {
        self.event.id
    }

    pub(super) fn id_bytes(&self) -> &[u8] {
        self.event.id.as_bytes()
    }

    pub(super) fn source(&self) -> &SourceName {
        &self.event.source
    }

    pub(super) fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    pub(super) fn runs(&self) -> &[NewRun] {
        &self.runs
    }
}

/// A text that Postgres takes too: it knows no NUL in texts.
fn printable(text: String) -> String {
    if text.contains('\0') {
        return text.replace('\0', "\u{FFFD}");
    }
    text
}

impl Store {
    /// The event with its request encrypted, if there are keys: to be done before it is
    /// stored, and once only.
    pub fn sealed(&self, mut new: NewEvent) -> NewEvent {
        self.0
            .keyring
            .seal(new.event.id.as_bytes(), &mut new.request);
        new
    }

    /// Stores a batch; the answer has one entry for each event, in order, and comes after
    /// the commit: none for an event that the database refuses although it takes the
    /// others, or on which it could not decide any more once the others were stored.
    ///
    /// # Errors
    /// [`StoreError`] if it is not known of any event whether it was stored; each is
    /// stored whole or not at all, and the batch may be sent again.
    pub async fn ingest(&self, batch: Vec<NewEvent>) -> Result<Vec<Option<Ingested>>, StoreError> {
        let batch: Vec<NewEvent> = batch.into_iter().map(|new| self.sealed(new)).collect();
        match &self.0.engine {
            Engine::Sqlite(engine) => {
                let submit = |reply| Work::Ingest(batch, reply);
                engine.writer.submit(submit).await
            }
            Engine::Postgres(engine) => {
                let statements = &self.0.statements;
                let mut parts = Parts::of(&batch);
                while let Some(part) = parts.next() {
                    let stored = statements.ingest_postgres(&engine.sessions, part).await;
                    parts.tried(part, stored)?;
                }
                Ok(parts.answers())
            }
        }
    }
}

/// A batch that is halved where the database refuses a row of it, until that one stands
/// alone: one event that cannot be stored must not keep others out.
pub(super) struct Parts<'a> {
    /// What is to be tried, the first of it last.
    open: Vec<&'a [NewEvent]>,
    answers: Vec<Option<Ingested>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(batch: &'a [NewEvent]) -> Self {
        Self {
            open: vec![batch],
            answers: Vec::with_capacity(batch.len()),
        }
    }

    /// What is to be tried next; of one batch after the other, in the order of events.
    pub(super) fn next(&mut self) -> Option<&'a [NewEvent]> {
        self.open.pop()
    }

    /// Notes what became of a part.
    pub(super) fn tried(
        &mut self,
        part: &'a [NewEvent],
        stored: Result<Vec<Option<Ingested>>, StoreError>,
    ) -> Result<(), StoreError> {
        match stored {
            Ok(stored) => self.answers.extend(stored),
            Err(error) if !error.is_refused_row() => return Err(error),
            Err(error) if part.len() < 2 => {
                tracing::error!(%error, "the database refuses an event; its sender is told to come back");
                self.answers.push(None);
            }
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                self.open.extend([second, first]);
            }
        }
        Ok(())
    }

    /// What became of each event, in order.
    pub(super) fn answers(self) -> Vec<Option<Ingested>> {
        self.answers
    }
}

/// The statements of ingest.
pub(super) struct Statements {
    events: ManyRows,
    runs: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            events: ManyRows::new(
                "insert into events (id, source, provider, kind, received_ms, delivery_id, content_type, \
                 size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request, \
                 is_forced, indexed)",
                &[
                    BYTES, TEXT, TEXT, TEXT, INT, TEXT, TEXT, INT, INT, INT, TEXT, INT, INT, BYTES,
                    INT, TEXT,
                ],
                "",
            ),
            runs: ManyRows::new(
                "insert into runs (event_id, plugin_id, state, due_ms, order_key, created_ms)",
                &[BYTES, INT, INT, INT, BYTES, INT],
                "",
            ),
        }
    }

    /// Inserts events.
    pub(super) async fn insert_events(
        &self,
        tx: &mut Tx,
        stored: &[(&NewEvent, bool)],
    ) -> Result<(), StoreError> {
        let rows = stored
            .iter()
            .map(|(new, is_conflict)| new.row(*is_conflict));
        self.events.with(rows).execute(tx).await?;
        Ok(())
    }
}

impl super::Statements {
    /// Stores events, with the runs of those that are no conflict. The caller holds the
    /// locks of their ordering keys.
    pub(super) async fn store_events(
        &self,
        tx: &mut Tx,
        events: &[(&NewEvent, bool)],
    ) -> Result<(), StoreError> {
        self.ingest.insert_events(tx, events).await?;
        let started = events.iter().filter(|(_, is_conflict)| !is_conflict);
        let runs = started.flat_map(|(new, _)| new.runs().iter().map(|run| (new.id(), *run)));
        self.start_runs(tx, &runs.collect::<Vec<_>>()).await
    }

    /// Stores runs; those with an ordering key go behind the others of their key.
    /// The caller holds the locks of their keys.
    pub(super) async fn start_runs(
        &self,
        tx: &mut Tx,
        runs: &[(EventId, NewRun)],
    ) -> Result<(), StoreError> {
        let now = tx.now;
        let rows = runs.iter().map(|(event, run)| {
            // Stored as blocked; the first of each key is let go at once.
            let state = if run.order.is_some() { 2i64 } else { 0 };
            [
                event.as_bytes().into(),
                run.plugin.0.into(),
                state.into(),
                now.into(),
                run.order
                    .as_ref()
                    .map(|key| key.as_bytes().as_slice())
                    .into(),
                now.into(),
            ]
        });
        self.ingest.runs.with(rows).execute(tx).await?;
        let keys: Vec<_> = runs
            .iter()
            .filter_map(|(_, run)| Some((run.plugin, run.order?)))
            .collect();
        self.order.promote(tx, &keys).await
    }
}

impl NewEvent {
    /// The columns of `events`, in order.
    pub(super) fn row(&self, is_conflict: bool) -> [Value<'_>; 16] {
        let event = &self.event;
        let reason = if is_conflict {
            Some("dedup_conflict")
        } else {
            self.no_run_reason
        };
        [
            event.id.as_bytes().into(),
            event.source.as_str().into(),
            event.provider.as_str().into(),
            event.kind.as_str().into(),
            event.received_at.into(),
            event.delivery_id.as_deref().into(),
            event.content_type.as_deref().into(),
            self.size_bytes.into(),
            event.is_handshake.into(),
            is_conflict.into(),
            reason.into(),
            self.request.encoding.into(),
            self.request.header_bytes.into(),
            self.request.bytes.as_slice().into(),
            self.is_forced.into(),
            self.indexed.as_deref().into(),
        ]
    }
}
