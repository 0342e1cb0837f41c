//! Stores events with their runs and dedup keys, a batch in one transaction.
//!
//! What a delivery is (new, a duplicate, or a known id with another body) is
//! decided by [`classify`], on what the database and the batch before it hold.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::millis;
use crate::event::{DedupKey, Event, EventId, body_sha256};
use crate::name::SourceName;
use crate::run::{NewRun, PluginId};
use bytes::Bytes;

use super::request::{KeptRequest, keep};
use super::rows::{Kind, ManyRows};
use super::sql::{Dialect, Value};
use super::tx::Tx;
use super::writer::Work;
use super::{Engine, Store, StoreError};

/// An event that has not been stored, in the form in which it will be.
#[derive(Debug)]
pub struct NewEvent {
    event: Event,
    size_bytes: i64,
    request: KeptRequest,
    body_sha256: [u8; 32],
    delivery_key: Option<DedupKey>,
    body_key: Option<DedupKey>,
    window: Duration,
    runs: Vec<NewRun>,
    no_run_reason: Option<&'static str>,
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
            body_sha256,
            window,
            runs,
            no_run_reason,
            event: Event {
                kind: printable(event.kind),
                delivery_id: event.delivery_id.map(printable),
                // It is in the kept request now; one copy is enough to wait with.
                body: Bytes::new(),
                ..event
            },
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
        self.delivery_key.into_iter().chain(self.body_key)
    }

    pub(super) fn id(&self) -> EventId {
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
    /// Stores a batch; the answer has one entry for each event, in order, and
    /// comes after the commit. Either all of it is stored or none.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was stored.
    pub async fn ingest(&self, batch: Vec<NewEvent>) -> Result<Vec<Ingested>, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(engine) => {
                let submit = |reply| Work::Ingest(batch, reply);
                engine.writer.submit(submit).await
            }
            Engine::Postgres(engine) => {
                self.0
                    .statements
                    .ingest_postgres(&engine.sessions, &batch)
                    .await
            }
        }
    }
}

/// What is known under a key: the event of each distinct body.
pub(super) type Known = HashMap<(SourceName, DedupKey), Vec<([u8; 32], EventId)>>;

/// Decides what a delivery is, and makes it known to those after it.
pub(super) fn classify(new: &NewEvent, known: &mut Known) -> Ingested {
    let source = &new.event.source;
    let mut is_conflict = false;
    for key in new.keys() {
        for (body, event) in known.get(&(source.clone(), key)).into_iter().flatten() {
            if *event == new.event.id {
                // A commit of which nobody knew whether it came to pass; it did.
                return Ingested::New;
            }
            if *body == new.body_sha256 {
                return Ingested::Duplicate(*event);
            }
            is_conflict = true;
        }
    }
    for key in new.keys() {
        let bodies = known.entry((source.clone(), key)).or_default();
        bodies.push((new.body_sha256, new.event.id));
    }
    if is_conflict {
        Ingested::Conflict
    } else {
        Ingested::New
    }
}

/// The statements of ingest.
pub(super) struct Statements {
    look_up: ManyRows,
    dedup: ManyRows,
    events: ManyRows,
    runs: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            // `cross join` keeps the few wanted keys on the outside: one probe of
            // the primary key each.
            look_up: ManyRows::new(
                "with wanted (source, key) as (",
                &[TEXT, BYTES],
                ") select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms \
                 from wanted w cross join dedup d on d.source = w.source and d.key = w.key",
            ),
            dedup: ManyRows::new(
                "insert into dedup (source, key, body_sha256, event_id, expires_ms)",
                &[TEXT, BYTES, BYTES, BYTES, INT],
                "on conflict do update set event_id = excluded.event_id, expires_ms = excluded.expires_ms",
            ),
            events: ManyRows::new(
                "insert into events (id, source, provider, kind, received_ms, delivery_id, content_type, \
                 size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request)",
                &[
                    BYTES, TEXT, TEXT, TEXT, INT, TEXT, TEXT, INT, INT, INT, TEXT, INT, INT, BYTES,
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
    /// Applies several batches within the transaction of the one writer.
    pub(super) async fn ingest_sqlite(
        &self,
        tx: &mut Tx,
        batches: &[&[NewEvent]],
    ) -> Result<Vec<Vec<Ingested>>, StoreError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<&NewEvent> = batches.iter().copied().flatten().collect();
        let mut known = self.known(tx, &all).await?;
        // Of a batch that is sent again since nobody knew whether it was committed.
        let stored_before: HashSet<EventId> =
            known.values().flatten().map(|(_, event)| *event).collect();
        let decided: Vec<Vec<Ingested>> = batches
            .iter()
            .map(|batch| batch.iter().map(|new| classify(new, &mut known)).collect())
            .collect();
        let stored: Vec<(&NewEvent, bool)> = batches
            .iter()
            .zip(&decided)
            .flat_map(|(batch, decided)| batch.iter().zip(decided))
            .filter_map(|(new, decided)| match decided {
                Ingested::New => Some((new, false)),
                Ingested::Conflict => Some((new, true)),
                Ingested::Duplicate(_) => None,
            })
            .filter(|(new, _)| !stored_before.contains(&new.id()))
            .collect();
        let now = tx.now;
        let keys = stored.iter().flat_map(|(new, _)| {
            let expires = now.millis().saturating_add(millis(new.window));
            new.keys().map(move |key| {
                [
                    new.event.source.as_str().into(),
                    key.as_bytes().to_vec().into(),
                    new.body_sha256.as_slice().into(),
                    new.event.id.as_bytes().into(),
                    expires.into(),
                ]
            })
        });
        self.ingest.dedup.with(keys).execute(tx).await?;
        self.ingest.insert_events(tx, &stored).await?;
        let started = stored.iter().filter(|(_, is_conflict)| !is_conflict);
        let runs = started.flat_map(|(new, _)| new.runs.iter().map(|run| (new.event.id, *run)));
        self.start_runs(tx, &runs.collect::<Vec<_>>())
            .await
            .map(|()| decided)
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

    /// What is known now under the keys of these events.
    pub(super) async fn known(
        &self,
        tx: &mut Tx,
        events: &[&NewEvent],
    ) -> Result<Known, StoreError> {
        let mut wanted: Vec<(&SourceName, DedupKey)> = events
            .iter()
            .flat_map(|new| new.keys().map(|key| (&new.event.source, key)))
            .collect();
        // A key that is there twice would be answered twice.
        wanted.sort_unstable();
        wanted.dedup();
        let rows = wanted
            .iter()
            .map(|(source, key)| [source.as_str().into(), key.as_bytes().as_slice().into()]);
        let mut known = Known::new();
        let look_up = match tx.dialect() {
            Dialect::Sqlite => &self.ingest.look_up,
            Dialect::Postgres => self.postgres.look_up(),
        };
        for row in look_up.with(rows).fetch_all(tx).await? {
            if row.int("expires_ms")? <= tx.now.millis() {
                continue;
            }
            let Some(key) = DedupKey::from_bytes(&row.bytes("key")?) else {
                continue;
            };
            let source = row.text("source")?;
            let sought = (source.as_str(), &key);
            let place =
                wanted.binary_search_by(|(source, key)| (source.as_str(), key).cmp(&sought));
            let body = row.bytes("body_sha256")?.try_into();
            let event = EventId::from_bytes(&row.bytes("event_id")?);
            if let (Ok(place), Ok(body), Some(event)) = (place, body, event) {
                let source = wanted[place].0.clone();
                known.entry((source, key)).or_default().push((body, event));
            }
        }
        Ok(known)
    }
}

impl NewEvent {
    /// The columns of `events`, in order.
    pub(super) fn row(&self, is_conflict: bool) -> [Value<'_>; 14] {
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
        ]
    }
}
