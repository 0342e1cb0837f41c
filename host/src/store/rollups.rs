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

/// How many runs were not over at the start of a minute, on all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueMinute {
    /// Start of the minute, in milliseconds since 1970.
    pub minute_ms: i64,
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

    /// The minutes of all hosts since a time, without this host's own from
    /// `own_until` on: those it has newer in memory.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn minutes(
        &self,
        since: Timestamp,
        own_until: Timestamp,
    ) -> Result<(Vec<SourceMinute>, Vec<PluginMinute>), StoreError> {
        let sources = sql(
            "select minute_ms, source, received, duplicates, rejected, ack from source_minutes \
             where minute_ms >= $1 and not (epoch = $2 and minute_ms >= $3)",
        );
        let epoch = self.epoch().0;
        let sources = sources.bind(since).bind(epoch).bind(own_until);
        let sources = self.readers().fetch_all(sources).await?;
        let plugins = sql(
            "select minute_ms, plugin, succeeded, failed, dead, run from plugin_minutes \
             where minute_ms >= $1 and not (epoch = $2 and minute_ms >= $3)",
        );
        let plugins = plugins.bind(since).bind(epoch).bind(own_until);
        let plugins = self.readers().fetch_all(plugins).await?;
        let sources = sources.iter().map(SourceMinute::read);
        let plugins = plugins.iter().map(PluginMinute::read);
        Ok((
            sources.collect::<Result<_, _>>()?,
            plugins.collect::<Result<_, _>>()?,
        ))
    }
}

impl Store {
    /// Notes how many runs are not over in this minute, unless another host has.
    ///
    /// # Errors
    /// [`StoreError`] if it is not noted.
    pub async fn note_queue(&self, minute: Timestamp) -> Result<(), StoreError> {
        let counted = sql("select count(*) as queued from runs");
        let counted = self.readers().fetch_optional(counted).await?;
        let Some(queued) = counted.map(|row| row.int("queued")).transpose()? else {
            return Ok(());
        };
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

    /// What was noted of the queue since a time.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn queue_minutes(&self, since: Timestamp) -> Result<Vec<QueueMinute>, StoreError> {
        let noted = sql("select minute_ms, queued from queue_minutes where minute_ms >= $1");
        let noted = self.readers().fetch_all(noted.bind(since)).await?;
        let minute = |row: &Row| {
            Ok(QueueMinute {
                minute_ms: row.int("minute_ms")?,
                queued: row.int("queued")?,
            })
        };
        noted.iter().map(minute).collect()
    }
}

impl SourceMinute {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            minute_ms: row.int("minute_ms")?,
            source: row.text("source")?,
            received: row.int("received")?,
            duplicates: row.int("duplicates")?,
            rejected: row.int("rejected")?,
            ack: row.text("ack")?,
        })
    }
}

impl PluginMinute {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            minute_ms: row.int("minute_ms")?,
            plugin: row.text("plugin")?,
            succeeded: row.int("succeeded")?,
            failed: row.int("failed")?,
            dead: row.int("dead")?,
            run: row.text("run")?,
        })
    }
}
