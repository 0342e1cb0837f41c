//! How many runs each plugin has: live ones counted in their indexes, finished ones from
//! the counts that their ends keep.

use std::collections::HashMap;

use crate::run::PluginId;

use super::rows::{Kind, ManyRows};
use super::sql::Row;
use super::{Store, StoreError};

mod cost;

pub use cost::{Cost, Measure};

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
    /// How many runs a plugin has, all at one moment.
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
        let now_ms = self.now().millis();
        let rows = plugins
            .into_iter()
            .map(|plugin| [plugin.0.into(), now_ms.into()]);
        let count = self.0.statements.counts.count.with(rows);
        let mut counts = HashMap::new();
        for statement in count.statements(self.readers().dialect()) {
            for row in self.readers().fetch_all(statement).await? {
                counts.insert(PluginId(row.int("plugin_id")?), PluginRuns::read(&row)?);
            }
        }
        Ok(counts)
    }
}

impl PluginRuns {
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
