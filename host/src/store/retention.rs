//! What is removed by age or for room: events, finished runs, minutes; always a
//! bounded slice in a transaction of its own.
//!
//! A slice looks at a bounded number of rows on a connection that reads, in the order
//! of an index, and removes in the writer's transaction those that may go, by their
//! keys. It says where the next slice begins, so that rows which have to stay are not
//! looked at again and again. When to remove what is decided by
//! [`crate::dispatch::Retention`]; whole days, on Postgres, are [`super::space`]'s.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::RunId;

use super::bounds::Bounds;
use super::rows::{Kind, ManyRows};
use super::sql::{Builder, Dialect, Row, sql};
use super::tx::Tx;
use super::{Store, StoreError};

/// Rows looked at, and at most removed, by one slice.
const SLICE: u32 = 250;
/// Bytes of requests that one slice removes, unless its first event has more: each
/// of their pages is touched while others wait.
const SLICE_BYTES: i64 = 8 << 20;
/// Attempts that one slice removes, unless its first run has more.
const SLICE_ATTEMPTS: i64 = 500;
/// What an event takes beside its request, with its places in indexes, about.
pub(super) const EVENT_BYTES: i64 = 400;

/// Which events a slice removes.
#[derive(Clone, Debug)]
pub struct EventSlice {
    /// Of this source; of all without it.
    pub source: Option<String>,
    /// After this one: where the slice before ended.
    pub after: EventId,
    /// Before this one.
    pub before: EventId,
    /// About so many bytes of them, at least one event.
    pub bytes_max: u64,
    /// Whether their finished runs go with them.
    pub with_runs: bool,
}

/// What a slice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed<P> {
    /// Rows that are gone.
    pub rows: u64,
    /// Bytes that were theirs, about.
    pub bytes: u64,
    /// Where the next slice begins; none, if this was the last.
    pub next: Option<P>,
}

/// The statements of retention.
pub(super) struct Statements {
    lock_events: ManyRows,
    events: ManyRows,
    runs_of: ManyRows,
    attempts: ManyRows,
    history: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        const ID: &[Kind] = &[Kind::Bytes];
        const RUN: &[Kind] = &[Kind::Int];
        Self {
            lock_events: ManyRows::new(
                "with wanted (id) as (",
                ID,
                ") select e.id from wanted w cross join events e on e.id = w.id",
            )
            .locking(" order by e.id for update of e skip locked"),
            events: ManyRows::new(
                "with wanted (id) as (",
                ID,
                ") delete from events where id in (select id from wanted) \
                 and not exists (select 1 from runs r where r.event_id = events.id) returning id",
            ),
            runs_of: ManyRows::new(
                "with wanted (id) as (",
                ID,
                ") select h.run_id from wanted w cross join history h on h.event_id = w.id \
                 where not exists (select 1 from order_blocks b where b.plugin_id = h.plugin_id \
                 and b.order_key = h.order_key and b.run_id = h.run_id)",
            ),
            attempts: ManyRows::new(
                "with wanted (run_id) as (",
                RUN,
                ") delete from attempts where run_id in (select run_id from wanted)",
            ),
            history: ManyRows::new(
                "with wanted (run_id) as (",
                RUN,
                ") delete from history where run_id in (select run_id from wanted) \
                 and not exists (select 1 from order_blocks b where b.plugin_id = history.plugin_id \
                 and b.order_key = history.order_key and b.run_id = history.run_id) returning run_id",
            ),
        }
    }

    /// Removes those of these events that have no live run; which they were.
    async fn remove_events(
        &self,
        tx: &mut Tx,
        ids: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        fn rows(ids: &[Vec<u8>]) -> impl Iterator<Item = [super::sql::Value<'_>; 1]> {
            ids.iter().map(|id| [id.as_slice().into()])
        }
        fn read(rows: &[Row]) -> Result<Vec<Vec<u8>>, StoreError> {
            rows.iter().map(|row| row.bytes("id")).collect()
        }
        let locked;
        let ids = if tx.dialect() == Dialect::Postgres {
            // Whoever starts a run of an event holds it ([`hold`]). What the next
            // statement sees of runs is newer than these locks.
            let rows = self.lock_events.with(rows(ids)).fetch_all(tx).await?;
            locked = read(&rows)?;
            &locked
        } else {
            ids
        };
        read(&self.events.with(rows(ids)).fetch_all(tx).await?)
    }

    /// Removes finished runs with their attempts; how many.
    async fn remove_runs(&self, tx: &mut Tx, runs: &[i64]) -> Result<u64, StoreError> {
        let rows = runs.iter().map(|run| [(*run).into()]);
        let gone = self.history.with(rows).fetch_all(tx).await?;
        let gone: Vec<i64> = gone
            .iter()
            .map(|row| row.int("run_id"))
            .collect::<Result<_, _>>()?;
        let rows = gone.iter().map(|run| [(*run).into()]);
        self.attempts.with(rows).execute(tx).await?;
        Ok(gone.len() as u64)
    }
}

/// Keeps an event from being removed until the end of the transaction; whether it is
/// there. For whoever is about to start a run of a stored event.
pub(super) async fn hold(tx: &mut Tx, event: &[u8]) -> Result<bool, StoreError> {
    let locking = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " for key share",
    };
    let there = sql(format!("select id from events where id = $1{locking}"));
    Ok(tx.fetch_optional(there.bind(event)).await?.is_some())
}

impl Store {
    /// Removes a slice of events, oldest first, but none with a live run.
    ///
    /// # Errors
    /// [`StoreError`] if none was removed.
    pub async fn remove_events(&self, slice: &EventSlice) -> Result<Removed<EventId>, StoreError> {
        let mut query = Builder::new(
            "select id, cast(length(request) as bigint) as bytes, cast(case when exists (select 1 from runs r \
             where r.event_id = e.id) then 1 else 0 end as bigint) as is_live from events e where true",
        );
        let dialect = self.run_readers().dialect();
        let bounds = Bounds::ALL.above(slice.after).below(slice.before);
        bounds.of_source(&mut query, dialect, slice.source.as_deref(), true);
        query.push(" limit ").bind(SLICE);
        let rows = self.run_readers().fetch_all(query.build()).await?;
        let bytes_max = i64::try_from(slice.bytes_max).unwrap_or(i64::MAX);
        let mut looked = Looked::new(bytes_max.min(SLICE_BYTES));
        for row in &rows {
            let bytes = row.int("bytes")? + EVENT_BYTES;
            if !looked.has_room_for(bytes) {
                break;
            }
            let id = row.bytes("id")?;
            looked.last = EventId::from_bytes(&id);
            looked.count += 1;
            if !row.flag("is_live")? {
                looked.take(id, bytes);
            }
        }
        let next = looked.next(rows.len());
        let bytes = looked.weight.unsigned_abs();
        let rows = self.remove_these(looked.taken, slice.with_runs).await?;
        Ok(Removed { rows, bytes, next })
    }

    pub(super) async fn remove_these(
        &self,
        ids: Vec<Vec<u8>>,
        with_runs: bool,
    ) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let statements = Arc::clone(&self.0.statements);
        self.write(move |tx| {
            let (statements, ids) = (Arc::clone(&statements), ids.clone());
            Box::pin(async move {
                let of = &statements.retention;
                let gone = of.remove_events(tx, &ids).await?;
                if with_runs {
                    let rows = gone.iter().map(|id| [id.as_slice().into()]);
                    let runs = of.runs_of.with(rows).fetch_all(tx).await?;
                    let runs = runs.iter().map(|row| row.int("run_id"));
                    let runs = runs.collect::<Result<Vec<_>, _>>()?;
                    of.remove_runs(tx, &runs).await?;
                }
                Ok(gone.len() as u64)
            })
        })
        .await
    }

    /// Removes a slice of the runs that finished before a time, with their attempts,
    /// but none that blocks its ordering key.
    ///
    /// Ids of runs grow with the time at which they were stored, and nothing finishes
    /// before it is stored: the slice ends where newer ones begin.
    ///
    /// # Errors
    /// [`StoreError`] if none was removed.
    pub async fn remove_history(
        &self,
        after: RunId,
        finished_before: Timestamp,
    ) -> Result<Removed<RunId>, StoreError> {
        let oldest = sql(
            "select run_id, created_ms, finished_ms, attempt from history \
             where run_id > $1 order by run_id limit $2",
        );
        let rows = self
            .run_readers()
            .fetch_all(oldest.bind(after.0).bind(SLICE))
            .await?;
        let now = self.now();
        let is_new = |row: &Row| {
            let created_at = row.time("created_ms")?;
            // From a clock that was ahead: what was stored behind it may be old.
            let is_to_come = created_at > now;
            Ok::<_, StoreError>(created_at >= finished_before && !is_to_come)
        };
        let mut looked = Looked::new(SLICE_ATTEMPTS);
        for row in &rows {
            let attempts = row.int("attempt")?;
            if !looked.has_room_for(attempts) || is_new(row)? {
                break;
            }
            let run = row.int("run_id")?;
            looked.last = Some(RunId(run));
            looked.count += 1;
            if row.time("finished_ms")? < finished_before {
                looked.take(run, attempts);
            }
        }
        let ends = match rows.get(looked.count) {
            Some(row) => is_new(row)?,
            None => false,
        };
        let next = looked.next(rows.len()).filter(|_| !ends);
        let runs = looked.taken;
        if runs.is_empty() {
            return Ok(Removed {
                rows: 0,
                bytes: 0,
                next,
            });
        }
        let statements = Arc::clone(&self.0.statements);
        let removed = self.write(move |tx| {
            let (statements, runs) = (Arc::clone(&statements), runs.clone());
            Box::pin(async move { statements.retention.remove_runs(tx, &runs).await })
        });
        Ok(Removed {
            rows: removed.await?,
            bytes: 0,
            next,
        })
    }

    /// Removes a slice of the minutes before a time; how many rows.
    ///
    /// # Errors
    /// [`StoreError`] if none was removed.
    pub async fn remove_minutes(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let locking = match tx.dialect() {
                    Dialect::Sqlite => "",
                    Dialect::Postgres => " for update skip locked",
                };
                let mut removed = 0;
                for (table, key) in [
                    ("source_minutes", "minute_ms, epoch, source"),
                    ("plugin_minutes", "minute_ms, epoch, plugin"),
                    ("queue_minutes", "minute_ms"),
                ] {
                    let remove = sql(format!(
                        "delete from {table} where ({key}) in \
                         (select {key} from {table} where minute_ms < $1 \
                         order by minute_ms limit $2{locking})"
                    ));
                    removed += tx.execute(remove.bind(before).bind(SLICE)).await?;
                }
                Ok(removed)
            })
        })
        .await
    }
}

/// What a slice looked at, and what of it is to go.
struct Looked<T, P> {
    taken: Vec<T>,
    count: usize,
    last: Option<P>,
    weight: i64,
    weight_max: i64,
}

impl<T, P: Copy> Looked<T, P> {
    fn new(weight_max: i64) -> Self {
        Self {
            taken: Vec::new(),
            count: 0,
            last: None,
            weight: 0,
            weight_max,
        }
    }

    fn has_room_for(&self, weight: i64) -> bool {
        self.taken.is_empty() || self.weight + weight <= self.weight_max
    }

    fn take(&mut self, one: T, weight: i64) {
        self.taken.push(one);
        self.weight += weight;
    }

    /// Where the next slice begins, where there may be more than the rows that were
    /// read.
    fn next(&self, read: usize) -> Option<P> {
        let is_full = read == usize::try_from(SLICE).unwrap_or(usize::MAX);
        self.last.filter(|_| is_full || self.count < read)
    }
}
