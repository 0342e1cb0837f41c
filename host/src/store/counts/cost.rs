//! What a plugin's attempts take, by the last of them.

use crate::run::PluginId;

use crate::store::sql::{Row, sql};
use crate::store::{Store, StoreError};

/// Runs of each end that are looked at.
const RUNS: u32 = 50;

/// What attempts took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// How many they are.
    pub attempts: i64,
    /// From start to end, in microseconds.
    pub duration_us: Measure,
    /// Of the CPU, in microseconds.
    pub cpu_us: Measure,
    /// The most at once, in bytes.
    pub memory_bytes: Measure,
    /// Sent to others, in bytes.
    pub egress_bytes: Measure,
}

/// One measure over several attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// On average.
    pub mean: i64,
    /// At most.
    pub max: i64,
}

impl Store {
    /// What the attempts of a plugin's last runs took; none if it has finished none.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn cost(&self, plugin: PluginId) -> Result<Option<Cost>, StoreError> {
        let last = |state: &str| {
            format!(
                "select run_id from (select run_id from history where plugin_id = $1 \
                 and state = '{state}' order by run_id desc limit {RUNS}) as {state}"
            )
        };
        let measures = ["duration_us", "cpu_us", "memory_bytes", "egress_bytes"].map(|name| {
            format!(
                "cast(coalesce(avg({name}), 0) as bigint) as {name}_mean, \
                 cast(coalesce(max({name}), 0) as bigint) as {name}_max"
            )
        });
        let query = sql(format!(
            "select count(*) as attempts, {} from attempts where run_id in ({} union all {})",
            measures.join(", "),
            last("succeeded"),
            last("dead"),
        ));
        let row = self.readers().fetch_optional(query.bind(plugin.0)).await?;
        let cost = row.map(|row| Cost::read(&row)).transpose()?;
        Ok(cost.filter(|cost| cost.attempts > 0))
    }
}

impl Cost {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let measure = |name: &str| -> Result<Measure, StoreError> {
            Ok(Measure {
                mean: row.int(&format!("{name}_mean"))?,
                max: row.int(&format!("{name}_max"))?,
            })
        };
        Ok(Self {
            attempts: row.int("attempts")?,
            duration_us: measure("duration_us")?,
            cpu_us: measure("cpu_us")?,
            memory_bytes: measure("memory_bytes")?,
            egress_bytes: measure("egress_bytes")?,
        })
    }
}
