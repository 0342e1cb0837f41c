//! What happened per minute, for charts: counts that no table of runs could
//! give quickly, and refused requests, which leave no other trace.
//!
//! A host keeps the minutes of its present in memory and writes each one whole,
//! again and again while it grows, under its epoch: a row is never added to.

use std::sync::Arc;

use crate::clock::Timestamp;

use super::rows::{Kind, ManyRows};
use super::sql::{Row, sql};
use super::{Store, StoreError};

/// A source's minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMinute {
    /// Start of the minute, in milliseconds since 1970.
    pub minute_ms: i64,
    /// The source.
    pub source: String,
    /// Events stored.
    pub received: i64,
    /// Deliveries that had come before.
    pub duplicates: i64,
    /// Requests refused.
    pub rejected: i64,
    /// JSON: acknowledgements per latency bucket.
    pub ack: String,
}

/// A plugin's minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginMinute {
    /// Start of the minute, in milliseconds since 1970.
    pub minute_ms: i64,
    /// The plugin.
    pub plugin: String,
    /// Attempts that succeeded.
    pub succeeded: i64,
    /// Attempts that did not.
    pub failed: i64,
    /// Runs that died.
    pub dead: i64,
    /// JSON: attempts per latency bucket.
    pub run: String,
}

/// What happened in one step of a chart, on all hosts and of all sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStep {
    /// Start of the step, in milliseconds since 1970: a multiple of its length.
    pub start_ms: i64,
    /// Events stored.
    pub received: i64,
    /// Deliveries that had come before.
    pub duplicates: i64,
    /// Requests refused.
    pub rejected: i64,
    /// JSON: a list of what the minutes have of acknowledgements.
    pub ack: String,
}

/// The same of all plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStep {
    /// Start of the step, in milliseconds since 1970: a multiple of its length.
    pub start_ms: i64,
    /// Attempts that succeeded.
    pub succeeded: i64,
    /// Attempts that did not.
    pub failed: i64,
    /// Runs that died.
    pub dead: i64,
    /// JSON: a list of what the minutes have of attempts.
    pub run: String,
}

/// What a source took and refused, on all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSum {
    /// The source.
    pub source: String,
    /// Events stored, and deliveries that had come before.
    pub received: i64,
    /// Requests refused.
    pub rejected: i64,
}

/// How the attempts of a plugin ended, on all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSum {
    /// The plugin.
    pub plugin: String,
    /// Attempts that succeeded.
    pub succeeded: i64,
    /// Attempts that did not.
    pub failed: i64,
    /// Runs that died.
    pub dead: i64,
    /// The last minute in which an attempt succeeded.
    pub last_succeeded: Option<Timestamp>,
    /// Attempts that failed in minutes after that one.
    pub failed_since: i64,
}

/// How many runs were not over, at most, in one step of a chart, on all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStep {
    /// Start of the step, in milliseconds since 1970: a multiple of its length.
    pub start_ms: i64,
    /// The runs.
    pub queued: i64,
}

/// The statements of minutes.
pub(super) struct Statements {
    sources: ManyRows,
    plugins: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        Self {
            sources: ManyRows::new(
                "insert into source_minutes (minute_ms, epoch, source, received, duplicates, rejected, ack)",
                &[INT, INT, TEXT, INT, INT, INT, TEXT],
                "on conflict (minute_ms, epoch, source) do update set received = excluded.received, \
                 duplicates = excluded.duplicates, rejected = excluded.rejected, ack = excluded.ack",
            ),
            plugins: ManyRows::new(
                "insert into plugin_minutes (minute_ms, epoch, plugin, succeeded, failed, dead, run)",
                &[INT, INT, TEXT, INT, INT, INT, TEXT],
                "on conflict (minute_ms, epoch, plugin) do update set succeeded = excluded.succeeded, \
                 failed = excluded.failed, dead = excluded.dead, run = excluded.run",
            ),
        }
    }
}

impl Store {
    /// Writes this host's minutes over what it wrote of them before.
    ///
    /// # Errors
    /// [`StoreError`] if none was written.
    pub async fn write_minutes(
        &self,
        sources: Vec<SourceMinute>,
        plugins: Vec<PluginMinute>,
    ) -> Result<(), StoreError> {
        if sources.is_empty() && plugins.is_empty() {
            return Ok(());
        }
        let (epoch, statements) = (self.epoch().0, Arc::clone(&self.0.statements));
        self.write(move |tx| {
            let statements = Arc::clone(&statements);
            let (sources, plugins) = (sources.clone(), plugins.clone());
            Box::pin(async move {
                let rows = sources.iter().map(|row| {
                    [
                        row.minute_ms.into(),
                        epoch.into(),
                        row.source.as_str().into(),
                        row.received.into(),
                        row.duplicates.into(),
                        row.rejected.into(),
                        row.ack.as_str().into(),
                    ]
                });
                statements.rollups.sources.with(rows).execute(tx).await?;
                let rows = plugins.iter().map(|row| {
                    [
                        row.minute_ms.into(),
                        epoch.into(),
                        row.plugin.as_str().into(),
                        row.succeeded.into(),
                        row.failed.into(),
                        row.dead.into(),
                        row.run.as_str().into(),
                    ]
                });
                statements.rollups.plugins.with(rows).execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// What happened since a time on all hosts, in steps of so many milliseconds, without
    /// this host's own minutes from `own_until` on: those it has newer in memory. Summed up
    /// by the database: a week has more minutes than anybody should wait for.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn steps(
        &self,
        since: Timestamp,
        step_ms: i64,
        own_until: Timestamp,
    ) -> Result<(Vec<SourceStep>, Vec<PluginStep>), StoreError> {
        let epoch = self.epoch().0;
        let of = |table: &str, counts: [&str; 3], latencies: &str| {
            let sums = counts.map(|name| format!("cast(sum({name}) as bigint) as {name}"));
            let steps = sql(format!(
                "select minute_ms / $1 * $1 as start_ms, {}, \
                 '[' || string_agg({latencies}, ',') || ']' as {latencies} from {table} \
                 where minute_ms >= $2 and not (epoch = $3 and minute_ms >= $4) group by 1",
                sums.join(", ")
            ));
            steps.bind(step_ms).bind(since).bind(epoch).bind(own_until)
        };
        let sources = of(
            "source_minutes",
            ["received", "duplicates", "rejected"],
            "ack",
        );
        let plugins = of("plugin_minutes", ["succeeded", "failed", "dead"], "run");
        let readers = self.readers();
        let (sources, plugins) =
            tokio::try_join!(readers.fetch_all(sources), readers.fetch_all(plugins))?;
        let sources = sources.iter().map(SourceStep::read);
        let plugins = plugins.iter().map(PluginStep::read);
        Ok((
            sources.collect::<Result<_, _>>()?,
            plugins.collect::<Result<_, _>>()?,
        ))
    }

    /// What each source took and refused since a time, without the same.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn source_sums(
        &self,
        since: Timestamp,
        own_until: Timestamp,
    ) -> Result<Vec<SourceSum>, StoreError> {
        let sums = sql(
            "select source, cast(sum(received + duplicates) as bigint) as received, \
             cast(sum(rejected) as bigint) as rejected from source_minutes \
             where minute_ms >= $1 and not (epoch = $2 and minute_ms >= $3) group by source",
        );
        let sums = sums.bind(since).bind(self.epoch().0).bind(own_until);
        let rows = self.readers().fetch_all(sums).await?;
        let sum = |row: &Row| {
            Ok(SourceSum {
                source: row.text("source")?,
                received: row.int("received")?,
                rejected: row.int("rejected")?,
            })
        };
        rows.iter().map(sum).collect()
    }

    /// How the attempts of each plugin ended since a time, without the same. As many rows are
    /// read as plugins ran in so many minutes, however many runs there are.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugin_sums(
        &self,
        since: Timestamp,
        own_until: Timestamp,
    ) -> Result<Vec<PluginSum>, StoreError> {
        let sums = sql(
            "with minutes as (select plugin, minute_ms, succeeded, failed, dead from plugin_minutes \
             where minute_ms >= $1 and not (epoch = $2 and minute_ms >= $3)), \
             good as (select plugin, max(minute_ms) as minute_ms from minutes where succeeded > 0 group by plugin) \
             select m.plugin, cast(sum(m.succeeded) as bigint) as succeeded, \
             cast(sum(m.failed) as bigint) as failed, cast(sum(m.dead) as bigint) as dead, \
             max(g.minute_ms) as last_succeeded_ms, cast(sum(case when g.minute_ms is null \
             or m.minute_ms > g.minute_ms then m.failed else 0 end) as bigint) as failed_since \
             from minutes m left join good g on g.plugin = m.plugin group by m.plugin",
        );
        let sums = sums.bind(since).bind(self.epoch().0).bind(own_until);
        let rows = self.readers().fetch_all(sums).await?;
        rows.iter().map(PluginSum::read).collect()
    }
}

impl Store {
    /// What was noted of the queue since a time, in steps of so many milliseconds.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn queue_steps(
        &self,
        since: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<QueueStep>, StoreError> {
        let noted = sql(
            "select minute_ms / $1 * $1 as start_ms, max(queued) as queued from queue_minutes \
             where minute_ms >= $2 group by 1",
        );
        let noted = noted.bind(step_ms).bind(since);
        let noted = self.readers().fetch_all(noted).await?;
        let step = |row: &Row| {
            Ok(QueueStep {
                start_ms: row.int("start_ms")?,
                queued: row.int("queued")?,
            })
        };
        noted.iter().map(step).collect()
    }
}

impl SourceStep {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            start_ms: row.int("start_ms")?,
            received: row.int("received")?,
            duplicates: row.int("duplicates")?,
            rejected: row.int("rejected")?,
            ack: row.text("ack")?,
        })
    }
}

impl PluginSum {
    /// Adds what a host has counted in the minute under way, which no other is after.
    pub fn add(&mut self, present: &PluginMinute) {
        self.succeeded += present.succeeded;
        self.failed += present.failed;
        self.dead += present.dead;
        if present.succeeded > 0 {
            self.last_succeeded = Some(Timestamp::from_millis(present.minute_ms));
            self.failed_since = 0;
        } else if self
            .last_succeeded
            .is_none_or(|at| at.millis() < present.minute_ms)
        {
            self.failed_since += present.failed;
        }
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let last_succeeded = row.int_or_none("last_succeeded_ms")?;
        Ok(Self {
            plugin: row.text("plugin")?,
            succeeded: row.int("succeeded")?,
            failed: row.int("failed")?,
            dead: row.int("dead")?,
            last_succeeded: last_succeeded.map(Timestamp::from_millis),
            failed_since: row.int("failed_since")?,
        })
    }
}

impl PluginStep {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            start_ms: row.int("start_ms")?,
            succeeded: row.int("succeeded")?,
            failed: row.int("failed")?,
            dead: row.int("dead")?,
            run: row.text("run")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{PluginMinute, PluginSum, Timestamp};

    #[test]
    fn no_minute_is_after_the_present_one() {
        let minute = |n: i64, succeeded, failed, dead| PluginMinute {
            minute_ms: n * 60_000,
            plugin: "it".to_owned(),
            succeeded,
            failed,
            dead,
            run: "[]".to_owned(),
        };
        let mut sum = PluginSum {
            failed: 2,
            failed_since: 2,
            ..PluginSum::default()
        };
        sum.add(&minute(5, 0, 1, 1));
        assert_eq!((sum.failed, sum.dead, sum.failed_since), (3, 1, 3));
        sum.add(&minute(6, 1, 9, 0));
        assert_eq!((sum.succeeded, sum.failed_since), (1, 0));
        assert_eq!(sum.last_succeeded, Some(Timestamp::from_millis(360_000)));
        // Of another host, which has no success in that minute: nobody knows which came first.
        sum.add(&minute(6, 0, 2, 0));
        assert_eq!((sum.failed, sum.failed_since), (14, 0));
        sum.add(&minute(7, 0, 2, 0));
        assert_eq!(sum.failed_since, 2);
    }
}
