//! What happened per minute, for charts: counts that no table of runs could
//! give quickly, and refused requests, which leave no other trace.
//!
//! A host keeps the minutes of its present in memory and writes each one whole,
//! again and again while it grows, under its epoch: a row is never added to.

use sqlx::FromRow;

use crate::clock::Timestamp;

use super::{Store, StoreError};

/// A source's minute.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
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
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
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
        let epoch = self.epoch().0;
        self.0.writer.write(move |tx| {
            let (sources, plugins) = (sources.clone(), plugins.clone());
            Box::pin(async move {
                for row in sources {
                    sqlx::query(
                        "insert or replace into source_minutes \
                         (minute_ms, epoch, source, received, duplicates, rejected, ack) values (?, ?, ?, ?, ?, ?, ?)",
                    )
                    .bind(row.minute_ms)
                    .bind(epoch)
                    .bind(row.source)
                    .bind(row.received)
                    .bind(row.duplicates)
                    .bind(row.rejected)
                    .bind(row.ack)
                    .execute(&mut *tx)
                    .await?;
                }
                for row in plugins {
                    sqlx::query(
                        "insert or replace into plugin_minutes \
                         (minute_ms, epoch, plugin, succeeded, failed, dead, run) values (?, ?, ?, ?, ?, ?, ?)",
                    )
                    .bind(row.minute_ms)
                    .bind(epoch)
                    .bind(row.plugin)
                    .bind(row.succeeded)
                    .bind(row.failed)
                    .bind(row.dead)
                    .bind(row.run)
                    .execute(&mut *tx)
                    .await?;
                }
                Ok(())
            })
        }).await
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
        let sources = sqlx::query_as(
            "select minute_ms, source, received, duplicates, rejected, ack from source_minutes \
             where minute_ms >= ? and not (epoch = ? and minute_ms >= ?)",
        )
        .bind(since.millis())
        .bind(self.epoch().0)
        .bind(own_until.millis())
        .fetch_all(self.readers())
        .await?;
        let plugins = sqlx::query_as(
            "select minute_ms, plugin, succeeded, failed, dead, run from plugin_minutes \
             where minute_ms >= ? and not (epoch = ? and minute_ms >= ?)",
        )
        .bind(since.millis())
        .bind(self.epoch().0)
        .bind(own_until.millis())
        .fetch_all(self.readers())
        .await?;
        Ok((sources, plugins))
    }
}
