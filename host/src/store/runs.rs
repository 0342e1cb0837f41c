//! Reads runs and their attempts, live and finished alike; and retries them.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{PluginId, RunId, RunState};

use super::{Store, StoreError};

/// A run as it stands, live or finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its name.
    pub id: RunId,
    /// Its event.
    pub event: EventId,
    /// Its plugin.
    pub plugin: PluginId,
    /// The event's source.
    pub source: String,
    /// The event's kind.
    pub kind: String,
    /// `Blocked` where its plugin was said to be unable to take it.
    pub state: RunState,
    /// Attempts started.
    pub attempt: u32,
    /// Attempts it has, of a finished run.
    pub max_attempts: Option<u32>,
    /// Attempts that the retry policy does not count.
    pub free_attempts: u32,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it is due, of a live run.
    pub due_at: Option<Timestamp>,
    /// When it finished.
    pub finished_at: Option<Timestamp>,
    /// How the last attempt that has ended did so.
    pub outcome: Option<String>,
    /// One line, of a success.
    pub summary: Option<String>,
    /// JSON text, of a success.
    pub data: Option<String>,
    /// What went wrong in the last attempt that has ended.
    pub error: Option<String>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// This run.
    pub id: Option<RunId>,
    /// Of this plugin.
    pub plugin: Option<PluginId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// In this state.
    pub state: Option<RunState>,
    /// Stored at this time or later.
    pub since: Option<Timestamp>,
    /// Stored before this time.
    pub until: Option<Timestamp>,
    /// Older than this run: where the page before ended.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
    /// Plugins that can take no run now.
    pub blocked: Vec<PluginId>,
}

/// One try of a run.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct AttemptRow {
    /// Which one, from 1.
    pub n: i64,
    /// The component's sha256.
    pub digest: Option<Vec<u8>>,
    /// The host that executed it.
    pub host: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// From start to end.
    pub duration_us: i64,
    /// CPU time.
    pub cpu_us: i64,
    /// Largest memory.
    pub memory_bytes: i64,
    /// How it ended.
    pub outcome: String,
    /// What went wrong.
    pub error: Option<String>,
    /// JSON: `[[at_ms, level, message, [[name, value]]]]`.
    pub logs: String,
}

/// What became of a request to try a run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now; the plugin is whom to wake.
    Due(PluginId),
    /// There is no such run.
    Unknown,
    /// It is in a state in which this means nothing.
    NotNow(RunState),
}

/// Live runs in the shape of [`RunRow`]; a live run's last ended attempt is the
/// newest recorded one.
const LIVE: &str = "select r.run_id, r.event_id, r.plugin_id, r.attempt, null as max_attempts, r.free_attempts, \
    r.created_ms, r.due_ms, null as finished_ms, a.outcome, null as summary, null as data, a.error, \
    case when r.state = 1 then 'running' \
    when r.plugin_id in (select value from json_each(";
const LIVE_WAITING: &str = ")) then 'blocked' when r.due_ms > ";
const LIVE_REST: &str = " then 'waiting' else 'ready' end as stands \
    from runs r left join attempts a on a.run_id = r.run_id \
    and a.n = (select max(n) from attempts where run_id = r.run_id) where true";
const FINISHED: &str = "select h.run_id, h.event_id, h.plugin_id, h.attempt, h.max_attempts, h.free_attempts, \
    h.created_ms, null as due_ms, h.finished_ms, h.outcome, h.summary, h.data, h.error, h.state as stands \
    from history h where true";

impl Store {
    /// One page of runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let blocked: Vec<i64> = filter.blocked.iter().map(|plugin| plugin.0).collect();
        let mut query = QueryBuilder::<Sqlite>::new("select page.*, e.source, e.kind from (");
        let is_live = |state| {
            matches!(
                state,
                RunState::Ready | RunState::Running | RunState::Waiting | RunState::Blocked
            )
        };
        let wants_live = filter.state.is_none_or(is_live);
        let wants_finished = filter.state.is_none_or(|state| !is_live(state));
        if wants_live {
            query
                .push("select * from (")
                .push(LIVE)
                .push_bind(super::state::json(&blocked))
                .push(LIVE_WAITING)
                .push_bind(self.now_ms())
                .push(LIVE_REST);
            conditions(&mut query, filter, "r.", "stands");
            query.push(")");
        }
        if wants_live && wants_finished {
            query.push(" union all ");
        }
        if wants_finished {
            query.push("select * from (").push(FINISHED);
            conditions(&mut query, filter, "h.", "h.state");
            query.push(")");
        }
        query
            .push(" order by run_id desc limit ")
            .push_bind(filter.limit);
        query.push(") page join events e on e.id = page.event_id order by page.run_id desc");
        Ok(query
            .build_query_as()
            .persistent(true)
            .fetch_all(self.readers())
            .await?)
    }

    /// The attempts of a run, first to last.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRow>, StoreError> {
        let rows = sqlx::query_as(
            "select n, digest, host, started_ms, duration_us, cpu_us, memory_bytes, outcome, error, logs \
             from attempts where run_id = ? order by n",
        )
        .bind(run.0)
        .fetch_all(self.readers())
        .await?;
        Ok(rows)
    }

    /// Makes a waiting run due now, or a dead or cancelled one live again with
    /// its id and a fresh budget of attempts.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn retry(&self, run: RunId) -> Result<Retried, StoreError> {
        let now = self.now_ms();
        self.0
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    match hasten(tx, run, now).await? {
                        Retried::Unknown => revive(tx, run, now).await,
                        known => Ok(known),
                    }
                })
            })
            .await
    }
}

/// Adds what the filter asks for to one of the two halves.
fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &RunFilter, table: &str, state: &str) {
    // The names are ours; every value is bound.
    let and = |query: &mut QueryBuilder<Sqlite>, column: &str, comparison: &str| {
        query
            .push(" and ")
            .push(table)
            .push(column)
            .push(comparison);
    };
    if let Some(id) = filter.id {
        and(query, "run_id", " = ");
        query.push_bind(id.0);
    }
    if let Some(plugin) = filter.plugin {
        and(query, "plugin_id", " = ");
        query.push_bind(plugin.0);
    }
    if let Some(event) = filter.event {
        and(query, "event_id", " = ");
        query.push_bind(event.as_bytes().to_vec());
    }
    if let Some(since) = filter.since {
        and(query, "created_ms", " >= ");
        query.push_bind(since.millis());
    }
    if let Some(until) = filter.until {
        and(query, "created_ms", " < ");
        query.push_bind(until.millis());
    }
    if let Some(before) = filter.before {
        and(query, "run_id", " < ");
        query.push_bind(before.0);
    }
    match filter.state {
        None => {}
        // Each in the words of the index that serves it.
        Some(RunState::Running) => {
            query.push(" and ").push(table).push("state = 1");
        }
        Some(wanted) => {
            query
                .push(" and ")
                .push(state)
                .push(" = ")
                .push_bind(wanted.as_str());
            if matches!(wanted, RunState::Dead | RunState::Cancelled) {
                query.push(" and ").push(state).push(" <> 'succeeded'");
            }
        }
    }
    query
        .push(" order by ")
        .push(table)
        .push("run_id desc limit ")
        .push_bind(filter.limit);
}

/// A live run: one that waits is due now.
async fn hasten(tx: &mut SqliteConnection, run: RunId, now: i64) -> Result<Retried, StoreError> {
    let live: Option<(i64, i64, i64)> =
        sqlx::query_as("select state, due_ms, plugin_id from runs where run_id = ?")
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await?;
    Ok(match live {
        None => Retried::Unknown,
        Some((1, _, _)) => Retried::NotNow(RunState::Running),
        Some((_, due, _)) if due <= now => Retried::NotNow(RunState::Ready),
        Some((_, _, plugin)) => {
            sqlx::query("update runs set due_ms = ? where run_id = ?")
                .bind(now)
                .bind(run.0)
                .execute(tx)
                .await?;
            Retried::Due(PluginId(plugin))
        }
    })
}

/// A finished run: back among the live ones, unless it succeeded.
async fn revive(tx: &mut SqliteConnection, run: RunId, now: i64) -> Result<Retried, StoreError> {
    let finished: Option<(String, i64)> =
        sqlx::query_as("select state, plugin_id from history where run_id = ?")
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await?;
    let Some((state, plugin)) = finished else {
        return Ok(Retried::Unknown);
    };
    let column = match RunState::parse(&state) {
        Some(RunState::Dead) => "update plugins set n_dead = n_dead - 1 where plugin_id = ?",
        Some(RunState::Cancelled) => {
            "update plugins set n_cancelled = n_cancelled - 1 where plugin_id = ?"
        }
        _ => return Ok(Retried::NotNow(RunState::Succeeded)),
    };
    sqlx::query(
        "insert into runs (run_id, event_id, plugin_id, due_ms, attempt, free_attempts, lease_no, created_ms) \
         select run_id, event_id, plugin_id, ?2, attempt, attempt, lease_no, created_ms from history where run_id = ?1",
    )
    .bind(run.0)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("delete from history where run_id = ?")
        .bind(run.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query(column).bind(plugin).execute(tx).await?;
    Ok(Retried::Due(PluginId(plugin)))
}

impl FromRow<'_, SqliteRow> for RunRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let event: Vec<u8> = row.try_get("event_id")?;
        let state: String = row.try_get("stands")?;
        let damaged = |what: &str| sqlx::Error::Decode(what.into());
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Self {
            id: RunId(row.try_get("run_id")?),
            event: EventId::from_bytes(&event)
                .ok_or_else(|| damaged("an event's id has not sixteen bytes"))?,
            plugin: PluginId(row.try_get("plugin_id")?),
            source: row.try_get("source")?,
            kind: row.try_get("kind")?,
            state: RunState::parse(&state).ok_or_else(|| damaged("a run's state is not one"))?,
            attempt: count(row.try_get("attempt")?),
            max_attempts: row.try_get::<Option<i64>, _>("max_attempts")?.map(count),
            free_attempts: count(row.try_get("free_attempts")?),
            created_at: Timestamp::from_millis(row.try_get("created_ms")?),
            due_at: row
                .try_get::<Option<i64>, _>("due_ms")?
                .map(Timestamp::from_millis),
            finished_at: row
                .try_get::<Option<i64>, _>("finished_ms")?
                .map(Timestamp::from_millis),
            outcome: row.try_get("outcome")?,
            summary: row.try_get("summary")?,
            data: row.try_get("data")?,
            error: row.try_get("error")?,
        })
    }
}
