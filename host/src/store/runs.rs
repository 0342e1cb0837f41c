//! Reads runs and their attempts, live and finished alike.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{PluginId, RunId, RunState};

use super::sql::{Builder, Dialect, Row, Value, sql};
use super::{Store, StoreError};

mod attempts;

pub use attempts::AttemptRow;

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
    /// The component's sha256, of the last attempt that has ended.
    pub digest: Option<Vec<u8>>,
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

/// Longer no transaction that stores runs takes.
const OVERLAP: Duration = Duration::from_secs(60);
/// So few runs need not be told apart by halves.
const NEAR: i64 = 256;
/// Live runs in the shape of [`RunRow`]; a live run's last ended attempt is the
/// newest recorded one.
const LIVE: &str = "select r.run_id, r.event_id, r.plugin_id, r.attempt, cast(null as bigint) as max_attempts, \
    r.free_attempts, r.created_ms, r.due_ms, cast(null as bigint) as finished_ms, a.outcome, \
    cast(null as text) as summary, cast(null as text) as data, a.error, case when r.state = 1 then 'running' \
    when r.state = 2 or ";
const LIVE_WAITING: &str = " then 'blocked' when r.due_ms > ";
const LIVE_REST: &str = " then 'waiting' else 'ready' end as stands \
    from runs r left join attempts a on a.run_id = r.run_id \
    and a.n = (select max(n) from attempts where run_id = r.run_id) where true";
const FINISHED: &str = "select h.run_id, h.event_id, h.plugin_id, h.attempt, h.max_attempts, h.free_attempts, \
    h.created_ms, cast(null as bigint) as due_ms, h.finished_ms, h.outcome, h.summary, h.data, h.error, \
    h.state as stands from history h where true";

impl Store {
    /// One page of runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let (now, dialect) = (self.now().millis(), self.readers().dialect());
        let ids = self.ids_of_period(filter).await?;
        let blocked = || filter.blocked.iter().map(|plugin| plugin.0).collect();
        let mut query = Builder::new(
            "select page.*, coalesce(e.source, '') as source, coalesce(e.kind, '') as kind from (",
        );
        let wants_live = filter.state.is_none_or(RunState::is_live);
        let wants_finished = filter.state.is_none_or(|state| !state.is_live());
        if wants_live {
            query.push("select * from (").push(LIVE);
            query.bind_one_of(dialect, "r.plugin_id", blocked());
            query.push(LIVE_WAITING).bind(now).push(LIVE_REST);
            if let Some(state) = filter.state {
                is_live_as(&mut query, state, now, |query| {
                    query.bind_one_of(dialect, "r.plugin_id", blocked());
                });
            }
            conditions(&mut query, filter, ids, "r.");
            query.push(") l");
        }
        if wants_live && wants_finished {
            query.push(" union all ");
        }
        if wants_finished {
            for (n, state) in finished_states(filter).iter().enumerate() {
                if n > 0 {
                    query.push(" union all ");
                }
                query.push("select * from (").push(FINISHED);
                finished(&mut query, dialect, filter, *state, ids);
                query.push(") f").push(&n.to_string());
            }
        }
        query
            .push(" order by run_id desc limit ")
            .bind(filter.limit);
        query.push(") page left join events e on e.id = page.event_id order by page.run_id desc");
        let rows = self.readers().fetch_all(query.build()).await?;
        let runs = rows.iter().map(RunRow::read).collect::<Result<_, _>>()?;
        self.with_digests(runs).await
    }

    /// Whether a run is dead and blocks its ordering key.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn blocks_its_key(&self, run: RunId) -> Result<bool, StoreError> {
        let block = sql(
            "select b.run_id from history h join order_blocks b on b.plugin_id = h.plugin_id \
             and b.order_key = h.order_key and b.run_id = h.run_id where h.run_id = $1",
        );
        let block = self.readers().fetch_optional(block.bind(run.0)).await?;
        Ok(block.is_some())
    }

    /// The run that one which is stored as blocked waits behind: a dead one that blocks its
    /// ordering key, else the one that has the key. Each is found by an index, the latter among
    /// the first few of the key: before it are only those that were retried since.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn first_of_its_key(&self, run: RunId) -> Result<Option<RunId>, StoreError> {
        let first = sql(
            "select coalesce((select b.run_id from order_blocks b where b.plugin_id = r.plugin_id \
             and b.order_key = r.order_key order by b.run_id limit 1), (select f.run_id from (select o.run_id, o.state from runs o \
             where o.plugin_id = r.plugin_id and o.order_key = r.order_key order by o.run_id limit 16) f \
             order by case when f.state = 2 then 1 else 0 end, f.run_id limit 1)) as first_id \
             from runs r where r.run_id = $1 and r.state = 2",
        );
        let row = self.readers().fetch_optional(first.bind(run.0)).await?;
        let first = row.map(|row| row.int_or_none("first_id")).transpose()?;
        Ok(first.flatten().map(RunId).filter(|first| *first != run))
    }

    /// Between which ids the runs of a period lie: ids grow with the time at which runs are
    /// stored, but for what overlapping transactions took.
    async fn ids_of_period(&self, filter: &RunFilter) -> Result<(i64, i64), StoreError> {
        let from = match filter.since {
            Some(since) => self.ids_around(since.minus(OVERLAP)).await?.0,
            None => 0,
        };
        let to = match filter.until {
            Some(until) => self.ids_around(until.plus(OVERLAP)).await?.1,
            None => i64::MAX,
        };
        Ok((from, to))
    }

    /// Two ids, not far apart, between which a time lies: found by halves, since no index
    /// on the time is kept.
    async fn ids_around(&self, at: Timestamp) -> Result<(i64, i64), StoreError> {
        let last = sql(
            "select coalesce(max(run_id), 0) as run_id from (select max(run_id) as run_id from runs \
                        union all select max(run_id) from history) both_ends",
        );
        let last = self.readers().fetch_optional(last).await?;
        let last = last.map(|row| row.int("run_id")).transpose()?.unwrap_or(0);
        let (mut before, mut after) = (0, last.saturating_add(1));
        while after - before > NEAR {
            let middle = before + (after - before) / 2;
            let next = sql(
                "select run_id, created_ms from (select * from (select run_id, created_ms from history \
                 where run_id >= $1 order by run_id limit 1) f union all select * from (select run_id, created_ms \
                 from runs where run_id >= $1 order by run_id limit 1) l) both_next order by run_id limit 1",
            );
            match self.readers().fetch_optional(next.bind(middle)).await? {
                Some(row) if row.time("created_ms")? < at => before = row.int("run_id")?,
                _ => after = middle,
            }
        }
        Ok((before, after))
    }
}

/// In which states the finished runs of a list are looked for: each by itself where an index
/// has them apart, so that a plugin with few runs is not looked for among those of all.
fn finished_states(filter: &RunFilter) -> Vec<Option<RunState>> {
    match (filter.state, filter.plugin) {
        (Some(state), _) => vec![Some(state)],
        (None, Some(_)) if filter.id.is_none() && filter.event.is_none() => vec![
            Some(RunState::Succeeded),
            Some(RunState::Dead),
            Some(RunState::Cancelled),
        ],
        (None, _) => vec![None],
    }
}

/// The condition that a live run is in a state.
fn is_live_as(query: &mut Builder, state: RunState, now: i64, is_blocked: impl Fn(&mut Builder)) {
    match state {
        RunState::Running => {
            query.push(" and r.state = 1");
        }
        RunState::Blocked => {
            query.push(" and (r.state = 2 or r.state = 0 and ");
            is_blocked(query);
            query.push(")");
        }
        _ => {
            let comparison = if state == RunState::Ready {
                "<= "
            } else {
                "> "
            };
            query
                .push(" and r.state = 0 and r.due_ms ")
                .push(comparison);
            query.bind(now).push(" and not (");
            is_blocked(query);
            query.push(")");
        }
    }
}

/// Adds what the filter asks for to the half of finished runs, of those in one state or all.
fn finished(
    query: &mut Builder,
    dialect: Dialect,
    filter: &RunFilter,
    state: Option<RunState>,
    ids: (i64, i64),
) {
    let Some(state) = state else {
        return conditions(query, filter, ids, "h.");
    };
    if state != RunState::Succeeded {
        // In the words of the index that serves it.
        query.push(" and h.state <> 'succeeded'");
    }
    let are_few = filter.id.is_some() || filter.event.is_some();
    let is_common = filter.plugin.is_none() && state == RunState::Succeeded;
    if dialect == Dialect::Sqlite || are_few || is_common {
        query.push(" and h.state = ").bind(state.as_str());
        return conditions(query, filter, ids, "h.");
    }
    // Compared as the rows of an index are, and in its order: of an equation, Postgres' planner
    // thinks that it might as well walk all runs by their ids until enough fit, and how far
    // back those lie it does not know.
    let (from, to) = ids;
    let to = filter.before.map_or(to, |before| to.min(before.0 - 1));
    let columns = match filter.plugin {
        Some(_) => "(h.plugin_id, h.state, h.run_id)",
        None => "(h.state, h.run_id)",
    };
    for (comparison, id) in [(" >= (", from), (" <= (", to)] {
        query.push(" and ").push(columns).push(comparison);
        if let Some(plugin) = filter.plugin {
            query.bind(plugin.0).push(", ");
        }
        query.bind(state.as_str()).push(", ").bind(id).push(")");
    }
    times(query, filter, "h.");
    query.push(match filter.plugin {
        Some(_) => " order by h.plugin_id desc, h.state desc, h.run_id desc limit ",
        None => " order by h.state desc, h.run_id desc limit ",
    });
    query.bind(filter.limit);
}

/// Adds what the filter asks for, but the state, to one of the two halves.
fn conditions(query: &mut Builder, filter: &RunFilter, (from, to): (i64, i64), table: &str) {
    let mut and = |column: &str, value: Option<Value<'static>>| {
        if let Some(value) = value {
            query.push(" and ").push(table).push(column).bind(value);
        }
    };
    and("run_id = ", filter.id.map(|id| id.0.into()));
    and("plugin_id = ", filter.plugin.map(|plugin| plugin.0.into()));
    let event = filter.event.map(|event| event.as_bytes().to_vec().into());
    and("event_id = ", event);
    and("run_id >= ", (from > 0).then(|| from.into()));
    and("run_id <= ", (to < i64::MAX).then(|| to.into()));
    and("run_id < ", filter.before.map(|before| before.0.into()));
    times(query, filter, table);
    query.push(" order by ").push(table);
    query.push("run_id desc limit ").bind(filter.limit);
}

/// Adds from when to when.
fn times(query: &mut Builder, filter: &RunFilter, table: &str) {
    for (comparison, time) in [
        ("created_ms >= ", filter.since),
        ("created_ms < ", filter.until),
    ] {
        if let Some(time) = time {
            query.push(" and ").push(table).push(comparison).bind(time);
        }
    }
}

impl RunRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        let time =
            |column| Ok::<_, StoreError>(row.int_or_none(column)?.map(Timestamp::from_millis));
        let max_attempts = row.int_or_none("max_attempts")?;
        Ok(Self {
            id: RunId(row.int("run_id")?),
            event: row.event("event_id")?,
            plugin: PluginId(row.int("plugin_id")?),
            source: row.text("source")?,
            kind: row.text("kind")?,
            state: RunState::parse(&row.text("stands")?)
                .ok_or_else(|| super::damaged("a run's state is not one"))?,
            attempt: row.count("attempt")?,
            // 0 is written where the policy was not at hand.
            max_attempts: max_attempts.filter(|most| *most > 0).map(count),
            free_attempts: row.count("free_attempts")?,
            created_at: row.time("created_ms")?,
            due_at: time("due_ms")?,
            finished_at: time("finished_ms")?,
            outcome: row.text_or_none("outcome")?,
            summary: row.text_or_none("summary")?,
            data: row.text_or_none("data")?,
            error: row.text_or_none("error")?,
            // Looked up for all runs of a page.
            digest: None,
        })
    }
}
