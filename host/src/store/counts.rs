//! How many runs each plugin has: live ones counted in their indexes, finished ones from
//! the counts that their ends keep.

use std::collections::HashMap;
use std::time::Instant;

use crate::clock::Timestamp;
use crate::run::PluginId;

use super::rows::{Kind, ManyRows};
use super::sql::{Row, sql};
use super::{Store, StoreError};

mod cost;
mod kept;

pub use cost::{Cost, Measure};
pub(super) use kept::Kept;

/// How many runs a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginRuns {
    /// Claimed.
    pub running: i64,
    /// Ready and due.
    pub due: i64,
    /// Ready and due later.
    pub later: i64,
    /// Behind their ordering key.
    pub behind: i64,
    /// When the next one to be claimed was stored, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Finished well.
    pub succeeded: i64,
    /// Finished without success.
    pub dead: i64,
    /// Ended by an operator.
    pub cancelled: i64,
}

/// The statement that counts.
pub(super) struct Statements {
    count: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            count: ManyRows::new(
                // Grouped apart from the rest: asked for one plugin, SQLite's planner would
                // walk the whole backlog for what few are running.
                "with running (plugin_id, n) as (select plugin_id, count(*) from runs where state = 1 \
                 group by plugin_id), wanted (plugin_id, now_ms) as (",
                &[Kind::Int, Kind::Int],
                ") select w.plugin_id, coalesce(g.n, 0) as running, \
                 (select count(*) from runs r where r.state = 0 and r.plugin_id = w.plugin_id \
                 and r.due_ms <= w.now_ms) as due, \
                 (select count(*) from runs r where r.state = 0 and r.plugin_id = w.plugin_id \
                 and r.due_ms > w.now_ms) as later, \
                 (select count(*) from runs r where r.state = 2 and r.plugin_id = w.plugin_id \
                 and r.order_key is not null) as behind, \
                 (select r.created_ms from runs r where r.state = 0 and r.plugin_id = w.plugin_id \
                 order by r.due_ms, r.run_id limit 1) as oldest_ms, \
                 (select cast(coalesce(sum(n_succeeded), 0) as bigint) from plugin_counts c \
                 where c.plugin_id = w.plugin_id) as succeeded, \
                 (select cast(coalesce(sum(n_dead), 0) as bigint) from plugin_counts c \
                 where c.plugin_id = w.plugin_id) as dead, \
                 (select cast(coalesce(sum(n_cancelled), 0) as bigint) from plugin_counts c \
                 where c.plugin_id = w.plugin_id) as cancelled \
                 from wanted w left join running g on g.plugin_id = w.plugin_id",
            ),
        }
    }
}

impl Store {
    /// How many runs a plugin has, all at one moment: now or, where there are many, a
    /// little while ago.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugin_runs(&self, plugin: PluginId) -> Result<PluginRuns, StoreError> {
        let counts = self.runs_of_plugins([plugin]).await?;
        Ok(counts.get(&plugin).copied().unwrap_or_default())
    }

    /// How many runs each of these plugins has.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn runs_of_plugins(
        &self,
        plugins: impl IntoIterator<Item = PluginId>,
    ) -> Result<HashMap<PluginId, PluginRuns>, StoreError> {
        let (now_ms, began) = (self.now().millis(), Instant::now());
        let mut counts = HashMap::new();
        let mut rows = Vec::new();
        for plugin in plugins {
            match self.0.kept_counts.of(plugin, began) {
                Some(kept) => drop(counts.insert(plugin, kept)),
                None => rows.push([plugin.0.into(), now_ms.into()]),
            }
        }
        let count = self.0.statements.counts.count.with(rows);
        let mut counted = Vec::new();
        for statement in count.statements(self.readers().dialect()) {
            for row in self.readers().fetch_all(statement).await? {
                counted.push((PluginId(row.int("plugin_id")?), PluginRuns::read(&row)?));
            }
        }
        let took = began.elapsed();
        for (plugin, runs) in counted {
            self.0.kept_counts.keep(plugin, runs, began, took);
            counts.insert(plugin, runs);
        }
        Ok(counts)
    }

    /// When the run was stored that is the next of a plugin, if it has one.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn next_run_since(&self, plugin: PluginId) -> Result<Option<Timestamp>, StoreError> {
        let next = sql(
            "select created_ms from runs where state = 0 and plugin_id = $1 \
             order by due_ms, run_id limit 1",
        );
        let row = self.readers().fetch_optional(next.bind(plugin.0)).await?;
        row.map(|row| row.time("created_ms")).transpose()
    }

    /// Notes how many runs are not over in this minute, unless a host has: of several,
    /// one counts.
    ///
    /// # Errors
    /// [`StoreError`] if it is not noted.
    pub async fn note_queue(&self, minute: Timestamp) -> Result<(), StoreError> {
        let noted = sql("select minute_ms from queue_minutes where minute_ms = $1").bind(minute);
        if self.readers().fetch_optional(noted).await?.is_some() {
            return Ok(());
        }
        let plugins = self
            .readers()
            .fetch_all(sql("select plugin_id from plugins"));
        let plugins = plugins.await?;
        let plugins = plugins.iter().map(|row| row.int("plugin_id").map(PluginId));
        let plugins: Vec<PluginId> = plugins.collect::<Result<_, _>>()?;
        let counts = self.runs_of_plugins(plugins).await?;
        let queued = counts.values().map(PluginRuns::live);
        let queued = queued.fold(0, i64::saturating_add);
        self.write(move |tx| {
            Box::pin(async move {
                let note = sql(
                    "insert into queue_minutes (minute_ms, queued) values ($1, $2) \
                     on conflict (minute_ms) do nothing",
                );
                tx.execute(note.bind(minute).bind(queued)).await?;
                Ok(())
            })
        })
        .await
    }
}

impl PluginRuns {
    /// Those that are not over.
    pub fn live(&self) -> i64 {
        let counts = [self.running, self.due, self.later, self.behind];
        counts.into_iter().fold(0, i64::saturating_add)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            running: row.int("running")?,
            due: row.int("due")?,
            later: row.int("later")?,
            behind: row.int("behind")?,
            oldest_ms: row.int_or_none("oldest_ms")?,
            succeeded: row.int("succeeded")?,
            dead: row.int("dead")?,
            cancelled: row.int("cancelled")?,
        })
    }
}
