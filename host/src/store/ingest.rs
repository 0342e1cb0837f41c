//! Stores events with their runs and dedup keys, a batch in one transaction.
//!
//! What a delivery is (new, a duplicate, or a known id with another body) is
//! decided by [`classify`], on what the database and the batch before it hold.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::clock::{Timestamp, millis};
use crate::event::{DedupKey, Event, EventId, body_sha256};
use crate::name::SourceName;
use crate::run::{NewRun, PluginId};

use super::request::{KeptRequest, keep};
use super::rows::ManyRows;
use super::writer::Work;
use super::{Store, StoreError};

/// An event that has not been stored, in the form in which it will be.
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
            // It is in the kept request now; one copy is enough to wait with.
            event: Event {
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

    fn keys(&self) -> impl Iterator<Item = DedupKey> {
        self.delivery_key.into_iter().chain(self.body_key)
    }
}

impl Store {
    /// Stores a batch; the answer has one entry for each event, in order, and
    /// comes after the commit. Either all of it is stored or none.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was stored.
    pub async fn ingest(&self, batch: Vec<NewEvent>) -> Result<Vec<Ingested>, StoreError> {
        self.0
            .writer
            .submit(|reply| Work::Ingest(batch, reply))
            .await
    }
}

/// A row of `dedup`: source, key, body's sha256, event, when it expires.
type KnownRow = (String, Vec<u8>, Vec<u8>, Vec<u8>, i64);

/// What is known under a key: the event of each distinct body.
type Known = HashMap<(SourceName, DedupKey), Vec<([u8; 32], EventId)>>;

/// Decides what a delivery is, and makes it known to those after it.
fn classify(new: &NewEvent, known: &mut Known) -> Ingested {
    let source = &new.event.source;
    let mut is_conflict = false;
    for key in new.keys() {
        for (body, event) in known.get(&(source.clone(), key)).into_iter().flatten() {
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
    pub(super) fn new() -> Self {
        Self {
            // `cross join` keeps the few wanted keys on the outside: one probe of
            // the primary key each.
            look_up: ManyRows::new(
                "with wanted (source, key) as (values",
                "(?, ?)",
                ") select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms \
                 from wanted w cross join dedup d on d.source = w.source and d.key = w.key",
            ),
            dedup: ManyRows::new(
                "insert into dedup (source, key, body_sha256, event_id, expires_ms) values",
                "(?, ?, ?, ?, ?)",
                "on conflict do update set event_id = excluded.event_id, expires_ms = excluded.expires_ms",
            ),
            events: ManyRows::new(
                "insert into events (id, source, provider, kind, received_ms, delivery_id, content_type, \
                 size_bytes, is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request) values",
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "",
            ),
            runs: ManyRows::new(
                "insert into runs (event_id, plugin_id, due_ms, created_ms) values",
                "(?, ?, ?, ?)",
                "",
            ),
        }
    }

    /// Applies several batches within the writer's transaction.
    pub(super) async fn apply(
        &self,
        tx: &mut SqliteConnection,
        batches: &[&[NewEvent]],
        now: Timestamp,
    ) -> Result<Vec<Vec<Ingested>>, StoreError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = self.known(tx, batches, now).await?;
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
            .collect();
        self.insert_dedup(tx, &stored, now).await?;
        self.insert_events(tx, &stored).await?;
        self.insert_runs(tx, &stored, now).await?;
        Ok(decided)
    }

    async fn known(
        &self,
        tx: &mut SqliteConnection,
        batches: &[&[NewEvent]],
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        let each = batches.iter().flat_map(|batch| batch.iter());
        let mut wanted: Vec<(&SourceName, DedupKey)> = each
            .flat_map(|new| new.keys().map(|key| (&new.event.source, key)))
            .collect();
        // A key that is there twice would be answered twice.
        wanted.sort_unstable();
        wanted.dedup();
        let mut known = Known::new();
        for (sql, piece) in self.look_up.split(&wanted) {
            let mut query = sqlx::query_as::<_, KnownRow>(AssertSqlSafe(sql));
            for (source, key) in piece {
                query = query.bind(source.as_str()).bind(key.as_bytes().as_slice());
            }
            for (source, key, body, event, expires_ms) in query.fetch_all(&mut *tx).await? {
                let Some(key) = DedupKey::from_bytes(&key).filter(|_| expires_ms > now.millis())
                else {
                    continue;
                };
                let sought = (source.as_str(), &key);
                let place =
                    wanted.binary_search_by(|(source, key)| (source.as_str(), key).cmp(&sought));
                let read = (place, body.try_into(), EventId::from_bytes(&event));
                if let (Ok(place), Ok(body), Some(event)) = read {
                    let source = wanted[place].0.clone();
                    known.entry((source, key)).or_default().push((body, event));
                }
            }
        }
        Ok(known)
    }

    async fn insert_dedup(
        &self,
        tx: &mut SqliteConnection,
        stored: &[(&NewEvent, bool)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let keyed: Vec<(&NewEvent, DedupKey)> = stored
            .iter()
            .flat_map(|(new, _)| new.keys().map(|key| (*new, key)))
            .collect();
        for (sql, piece) in self.dedup.split(&keyed) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (new, key) in piece {
                query = query
                    .bind(new.event.source.as_str())
                    .bind(key.as_bytes().as_slice())
                    .bind(new.body_sha256.as_slice())
                    .bind(new.event.id.as_bytes())
                    .bind(now.millis().saturating_add(millis(new.window)));
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn insert_events(
        &self,
        tx: &mut SqliteConnection,
        stored: &[(&NewEvent, bool)],
    ) -> Result<(), StoreError> {
        for (sql, piece) in self.events.split(stored) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (new, is_conflict) in piece {
                let event = &new.event;
                let reason = if *is_conflict {
                    Some("dedup_conflict")
                } else {
                    new.no_run_reason
                };
                query = query
                    .bind(event.id.as_bytes())
                    .bind(event.source.as_str())
                    .bind(event.provider.as_str())
                    .bind(event.kind.as_str())
                    .bind(event.received_at.millis())
                    .bind(event.delivery_id.as_deref())
                    .bind(event.content_type.as_deref())
                    .bind(new.size_bytes)
                    .bind(event.is_handshake)
                    .bind(is_conflict)
                    .bind(reason)
                    .bind(new.request.encoding)
                    .bind(new.request.header_bytes)
                    .bind(new.request.bytes.as_slice());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn insert_runs(
        &self,
        tx: &mut SqliteConnection,
        stored: &[(&NewEvent, bool)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let runs: Vec<(EventId, PluginId)> = stored
            .iter()
            .filter(|(_, is_conflict)| !is_conflict)
            .flat_map(|(new, _)| new.plugins().map(|plugin| (new.event.id, plugin)))
            .collect();
        for (sql, piece) in self.runs.split(&runs) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (event, plugin) in piece {
                query = query
                    .bind(event.as_bytes())
                    .bind(plugin.0)
                    .bind(now.millis())
                    .bind(now.millis());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }
}
