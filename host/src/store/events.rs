//! Reads events: one, a page, a body; and replays them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, QueryBuilder, Row, Sqlite};

use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::run::{NewRun, PluginId, RunId, RunState};
use crate::trigger::KindPattern;

use super::request::{KeptRequest, read};
use super::rows::ManyRows;
use super::{Store, StoreError};

const COLUMNS: &str = "id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                       is_handshake, dedup_conflict, no_run_reason";

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
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of a kind that fits.
    pub kind: Option<KindPattern>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Older than this event: where the page before ended.
    pub before: Option<EventId>,
    /// At most so many.
    pub limit: u32,
}

/// How many runs an event has, by plugin and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCounts {
    /// The event.
    pub event: EventId,
    /// The plugin.
    pub plugin: PluginId,
    /// Never `blocked`: the store does not know which plugins are here.
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
    pub(super) fn new() -> Self {
        Self {
            load: ManyRows::new(
                "with wanted (id, size_max) as (values",
                "(?, ?)",
                ") select e.id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                 is_handshake, dedup_conflict, no_run_reason, encoding, header_bytes, request \
                 from wanted w cross join events e on e.id = w.id and e.size_bytes <= w.size_max",
            ),
            counts: ManyRows::new(
                "with wanted (id) as (values",
                "(?)",
                ") select r.event_id, r.plugin_id, case when state = 1 then 'running' \
                 else cast(due_ms as text) end as stands, count(*) \
                 from wanted w cross join runs r on r.event_id = w.id group by 1, 2, 3 \
                 union all select h.event_id, h.plugin_id, h.state, count(*) \
                 from wanted w cross join history h on h.event_id = w.id group by 1, 2, 3",
            ),
        }
    }
}

impl Store {
    /// One page of events, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
        if filter.source.is_none() && filter.kind.is_none() {
            return self.events_of(None, filter).await;
        }
        let mut page = Vec::new();
        for stream in self.streams().await? {
            let is_source = filter
                .source
                .as_ref()
                .is_none_or(|source| *source == stream.0);
            if is_source
                && filter
                    .kind
                    .as_ref()
                    .is_none_or(|kind| kind.matches(&stream.1))
            {
                page.extend(self.events_of(Some(&stream), filter).await?);
            }
        }
        page.sort_unstable_by_key(|event: &EventRow| Reverse(event.id));
        page.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        Ok(page)
    }

    /// All pairs of source and kind that events have. Each is one step in index
    /// `events_by_stream`, however many events it has.
    async fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        let streams = sqlx::query_as(
            "with recursive step (source, kind) as ( \
             select * from (select source, kind from events order by source, kind limit 1) \
             union all select e.source, e.kind from step cross join events e on e.seq = coalesce( \
             (select seq from events n where n.source = step.source and n.kind > step.kind \
             order by n.kind limit 1), \
             (select seq from events n where n.source > step.source order by n.source, n.kind limit 1))) \
             select source, kind from step",
        )
        .fetch_all(self.readers())
        .await?;
        Ok(streams)
    }

    /// One page of events of one source and kind, or of all.
    async fn events_of(
        &self,
        stream: Option<&(String, String)>,
        filter: &EventFilter,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("select {COLUMNS} from events where true"));
        if let Some((source, kind)) = stream {
            query.push(" and source = ").push_bind(source);
            query.push(" and kind = ").push_bind(kind);
        }
        if let Some(since) = filter.since {
            query
                .push(" and id >= ")
                .push_bind(EventId::lower_bound(since).as_bytes().to_vec());
        }
        if let Some(until) = filter.until {
            query
                .push(" and id < ")
                .push_bind(EventId::lower_bound(until).as_bytes().to_vec());
        }
        if let Some(before) = filter.before {
            query
                .push(" and id < ")
                .push_bind(before.as_bytes().to_vec());
        }
        query
            .push(" order by id desc limit ")
            .push_bind(filter.limit);
        Ok(query
            .build_query_as()
            .persistent(true)
            .fetch_all(self.readers())
            .await?)
    }

    /// One event with its request, and why it started no run.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer or the request is damaged.
    pub async fn event(&self, id: EventId) -> Result<Option<(EventRow, Arc<Event>)>, StoreError> {
        let sql =
            format!("select {COLUMNS}, encoding, header_bytes, request from events where id = ?");
        let row: Option<Loaded> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| Ok((row.about.clone(), Arc::new(row.into_event()?))))
            .transpose()
    }

    /// An event that a run needs.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is gone or cannot be read, which no later try
    /// will change; any other if the database does not answer.
    pub async fn event_of_run(&self, id: EventId) -> Result<Arc<Event>, StoreError> {
        let mut events = match self.load_events(&[id], i64::MAX).await {
            Err(StoreError::Database(error)) if is_damage(&error) => {
                return Err(super::DamagedRequest::new(&error.to_string()).into());
            }
            loaded => loaded?,
        };
        events
            .remove(&id)
            .ok_or_else(|| super::DamagedRequest::new("it is not there").into())
    }

    /// Events by their ids, of at most `size_max` bytes each.
    pub(super) async fn load_events(
        &self,
        ids: &[EventId],
        size_max: i64,
    ) -> Result<HashMap<EventId, Arc<Event>>, StoreError> {
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut events = HashMap::with_capacity(distinct.len());
        for (sql, piece) in self.statements().events.load.split(&distinct) {
            let mut query = sqlx::query_as::<_, Loaded>(AssertSqlSafe(sql));
            for id in piece {
                query = query.bind(id.as_bytes().to_vec()).bind(size_max);
            }
            for row in query.fetch_all(self.run_readers()).await? {
                let event = row.into_event()?;
                events.insert(event.id, Arc::new(event));
            }
        }
        Ok(events)
    }

    /// How many runs the events have.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn run_counts(&self, ids: &[EventId]) -> Result<Vec<RunCounts>, StoreError> {
        let now = self.now_ms();
        let mut counts = Vec::new();
        for (sql, piece) in self.statements().events.counts.split(ids) {
            let mut query = sqlx::query_as::<_, (Vec<u8>, i64, String, i64)>(AssertSqlSafe(sql));
            for id in piece {
                query = query.bind(id.as_bytes().to_vec());
            }
            for (event, plugin, stands, count) in query.fetch_all(self.readers()).await? {
                // Of a run that is to be claimed, the statement gives its time.
                let state = match stands.parse::<i64>() {
                    Ok(due_ms) if due_ms > now => Some(RunState::Waiting),
                    Ok(_) => Some(RunState::Ready),
                    Err(_) => RunState::parse(&stands),
                };
                let (Some(event), Some(state)) = (EventId::from_bytes(&event), state) else {
                    continue;
                };
                counts.push(RunCounts {
                    event,
                    plugin: PluginId(plugin),
                    state,
                    count,
                });
            }
        }
        Ok(counts)
    }

    /// When a source's newest event was received.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn last_event_at(&self, source: &str) -> Result<Option<Timestamp>, StoreError> {
        let newest = EventFilter {
            source: Some(source.to_owned()),
            limit: 1,
            ..EventFilter::default()
        };
        Ok(self
            .events(&newest)
            .await?
            .first()
            .map(|event| event.received_at))
    }

    /// Starts new runs of a stored event; they go last.
    ///
    /// # Errors
    /// [`StoreError`] if none was started.
    pub async fn replay(
        &self,
        event: EventId,
        runs: Vec<NewRun>,
    ) -> Result<Vec<RunId>, StoreError> {
        let now = self.now_ms();
        self.0.writer.write(move |tx| {
            let wanted = runs.clone();
            Box::pin(async move {
                let mut runs = Vec::with_capacity(wanted.len());
                for NewRun { plugin, .. } in wanted {
                    let run: i64 = sqlx::query_scalar(
                        "insert into runs (event_id, plugin_id, due_ms, created_ms) values (?1, ?2, ?3, ?3) \
                         returning run_id",
                    )
                    .bind(event.as_bytes().to_vec())
                    .bind(plugin.0)
                    .bind(now)
                    .fetch_one(&mut *tx)
                    .await?;
                    runs.push(RunId(run));
                }
                Ok(runs)
            })
        }).await
    }
}

/// Whether the file itself is damaged (SQLITE_CORRUPT, SQLITE_NOTADB), or holds what
/// nobody wrote there: no later try will change that.
fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("11" | "26")),
        _ => false,
    }
}

/// An event's row with its request.
struct Loaded {
    about: EventRow,
    request: KeptRequest,
}

impl Loaded {
    fn into_event(self) -> Result<Event, StoreError> {
        let (headers, body): (_, Bytes) = read(self.request)?;
        let about = self.about;
        let damaged = |_| super::DamagedRequest::new("the source's name is not a name");
        Ok(Event {
            id: about.id,
            source: about.source.parse().map_err(damaged)?,
            provider: about.provider,
            kind: about.kind,
            delivery_id: about.delivery_id,
            received_at: about.received_at,
            content_type: about.content_type,
            headers,
            body,
            is_handshake: about.is_handshake,
        })
    }
}

impl FromRow<'_, SqliteRow> for EventRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let id: Vec<u8> = row.try_get("id")?;
        let damaged = || sqlx::Error::Decode("an event's id has not sixteen bytes".into());
        Ok(Self {
            id: EventId::from_bytes(&id).ok_or_else(damaged)?,
            source: row.try_get("source")?,
            provider: row.try_get("provider")?,
            kind: row.try_get("kind")?,
            received_at: Timestamp::from_millis(row.try_get("received_ms")?),
            delivery_id: row.try_get("delivery_id")?,
            content_type: row.try_get("content_type")?,
            size_bytes: row.try_get("size_bytes")?,
            is_handshake: row.try_get("is_handshake")?,
            dedup_conflict: row.try_get("dedup_conflict")?,
            no_run_reason: row.try_get("no_run_reason")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Loaded {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let request = KeptRequest {
            encoding: row.try_get("encoding")?,
            header_bytes: row.try_get("header_bytes")?,
            bytes: row.try_get("request")?,
        };
        Ok(Self {
            about: EventRow::from_row(row)?,
            request,
        })
    }
}
