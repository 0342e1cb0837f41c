//! Reads events: one, a page (`pages`), a body; and replays them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::run::{NewRun, PluginId, RunId, RunState};

use super::order;
use super::request::of_reading;
use super::retention;
use super::rows::{Kind, ManyRows};
use super::sql::{Row, sql};
use super::tx::Tx;
use super::{Store, StoreError};

mod loaded;
mod pages;
mod streams;

pub(super) use loaded::Loaded;
pub use pages::EventPage;
pub(super) use streams::Stream;

/// What an [`EventRow`] is read from.
pub(super) const COLUMNS: &str = "id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                       is_handshake, dedup_conflict, no_run_reason, is_forced";

/// What stands about an event beside its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its name.
    pub id: EventId,
    /// The source's name.
    pub source: String,
    /// The provider's slug.
    pub provider: String,
    /// What happened.
    pub kind: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// The provider's id of the delivery.
    pub delivery_id: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// Length of the body.
    pub size_bytes: i64,
    /// A signed ping or handshake.
    pub is_handshake: bool,
    /// Its delivery id came before with another body.
    pub dedup_conflict: bool,
    /// Why it started no run, as a code.
    pub no_run_reason: Option<String>,
    /// Released from quarantine without proof.
    pub is_forced: bool,
}

/// How many runs an event has, by plugin and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCounts {
    /// The event.
    pub event: EventId,
    /// The plugin.
    pub plugin: PluginId,
    /// `Blocked` only behind an ordering key: the store does not know which plugins
    /// are here.
    pub state: RunState,
    /// How many.
    pub count: i64,
}

/// The statements that read events.
pub(super) struct Statements {
    load: ManyRows,
    counts: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            load: ManyRows::new(
                "with wanted (id, size_max) as (",
                &[Kind::Bytes, Kind::Int],
                ") select e.id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                 is_handshake, dedup_conflict, no_run_reason, is_forced, encoding, header_bytes, request \
                 from wanted w cross join events e on e.id = w.id and e.size_bytes <= w.size_max",
            ),
            counts: ManyRows::new(
                "with wanted (id) as (",
                &[Kind::Bytes],
                ") select r.event_id, r.plugin_id, case when state = 1 then 'running' \
                 when state = 2 then 'blocked' else cast(due_ms as text) end as stands, count(*) as n \
                 from wanted w cross join runs r on r.event_id = w.id group by 1, 2, 3 \
                 union all select h.event_id, h.plugin_id, h.state, count(*) as n \
                 from wanted w cross join history h on h.event_id = w.id group by 1, 2, 3",
            ),
        }
    }
}

impl Store {
    /// One event with its request, and why it started no run.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the request cannot be read, which no later try will
    /// change; any other if the database does not answer.
    pub async fn event(&self, id: EventId) -> Result<Option<(EventRow, Arc<Event>)>, StoreError> {
        self.read_event(id).await.map_err(of_reading)
    }

    async fn read_event(&self, id: EventId) -> Result<Option<(EventRow, Arc<Event>)>, StoreError> {
        let one = sql(format!(
            "select {COLUMNS}, encoding, header_bytes, request from events where id = $1"
        ));
        let row = self
            .readers()
            .fetch_optional(one.bind(id.as_bytes()))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let loaded = Loaded::read(&row)?;
        let about = loaded.about.clone();
        Ok(Some((about, Arc::new(loaded.into_event(&self.0.keyring)?))))
    }

    /// An event that a run needs.
    ///
    /// # Errors
    /// [`StoreError::EventGone`]; [`StoreError::Damaged`] if it cannot be read, which no
    /// later try will change; [`StoreError::MissingKey`] if other hosts may read it; any
    /// other if the database does not answer.
    pub async fn event_of_run(&self, id: EventId) -> Result<Arc<Event>, StoreError> {
        let events = self.load_events(&[id], i64::MAX).await;
        let mut events = events.map_err(of_reading)?;
        events.remove(&id).unwrap_or(Err(StoreError::EventGone))
    }

    /// Events by their ids, of at most `size_max` bytes each; one that cannot be read keeps
    /// nobody from the others.
    pub(super) async fn load_events(
        &self,
        ids: &[EventId],
        size_max: i64,
    ) -> Result<HashMap<EventId, Result<Arc<Event>, StoreError>>, StoreError> {
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut events = HashMap::with_capacity(distinct.len());
        let rows = distinct
            .iter()
            .map(|id| [id.as_bytes().into(), size_max.into()]);
        let load = self.0.statements.events.load.with(rows);
        for statement in load.statements(self.run_readers().dialect()) {
            for row in self.run_readers().fetch_all(statement).await? {
                let loaded = Loaded::read(&row)?;
                let id = loaded.about.id;
                events.insert(id, loaded.into_event(&self.0.keyring).map(Arc::new));
            }
        }
        Ok(events)
    }

    /// How many runs the events have.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn run_counts(&self, ids: &[EventId]) -> Result<Vec<RunCounts>, StoreError> {
        let now = self.now().millis();
        let mut counts = Vec::new();
        let rows = ids.iter().map(|id| [id.as_bytes().into()]);
        let count = self.0.statements.events.counts.with(rows);
        for statement in count.statements(self.readers().dialect()) {
            for row in self.readers().fetch_all(statement).await? {
                // Of a run that is to be claimed, the statement gives its time.
                let stands = row.text("stands")?;
                let state = match stands.parse::<i64>() {
                    Ok(due_ms) if due_ms > now => Some(RunState::Waiting),
                    Ok(_) => Some(RunState::Ready),
                    Err(_) => RunState::parse(&stands),
                };
                let event = EventId::from_bytes(&row.bytes("event_id")?);
                let (Some(event), Some(state)) = (event, state) else {
                    continue;
                };
                counts.push(RunCounts {
                    event,
                    plugin: PluginId(row.int("plugin_id")?),
                    state,
                    count: row.int("n")?,
                });
            }
        }
        Ok(counts)
    }

    /// Starts new runs of a stored event; they go last. None, if it was removed
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if none was started.
    pub async fn replay(
        &self,
        event: EventId,
        runs: Vec<NewRun>,
    ) -> Result<Option<Vec<RunId>>, StoreError> {
        let statements = Arc::clone(&self.0.statements);
        self.write(move |tx| {
            let (statements, runs) = (Arc::clone(&statements), runs.clone());
            Box::pin(async move {
                let keys = runs.iter().filter_map(|run| Some((run.plugin, run.order?)));
                order::lock(tx, keys, std::iter::empty()).await?;
                if !retention::hold(tx, event.as_bytes()).await? {
                    return Ok(None);
                }
                let mut ids = Vec::with_capacity(runs.len());
                for run in runs {
                    ids.push(statements.start_run(tx, event, run).await?);
                }
                Ok(Some(ids))
            })
        })
        .await
    }
}

impl super::Statements {
    /// Stores one run and says its id. The caller holds its key's lock.
    async fn start_run(
        &self,
        tx: &mut Tx,
        event: EventId,
        run: NewRun,
    ) -> Result<RunId, StoreError> {
        let state = if run.order.is_some() { 2i64 } else { 0 };
        let insert = sql(
            "insert into runs (event_id, plugin_id, state, due_ms, order_key, created_ms) \
             values ($1, $2, $3, $4, $5, $6) returning run_id",
        );
        let insert = insert.bind(event.as_bytes()).bind(run.plugin.0).bind(state);
        let key = run.order.as_ref().map(|key| key.as_bytes().as_slice());
        let insert = insert.bind(tx.now).bind(key).bind(tx.now);
        let id = tx.fetch_one(insert).await?.int("run_id")?;
        if let Some(key) = run.order {
            self.order.promote(tx, &[(run.plugin, key)]).await?;
        }
        Ok(RunId(id))
    }
}

impl EventRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.event("id")?,
            source: row.text("source")?,
            provider: row.text("provider")?,
            kind: row.text("kind")?,
            received_at: row.time("received_ms")?,
            delivery_id: row.text_or_none("delivery_id")?,
            content_type: row.text_or_none("content_type")?,
            size_bytes: row.int("size_bytes")?,
            is_handshake: row.flag("is_handshake")?,
            dedup_conflict: row.flag("dedup_conflict")?,
            no_run_reason: row.text_or_none("no_run_reason")?,
            is_forced: row.flag("is_forced")?,
        })
    }
}
