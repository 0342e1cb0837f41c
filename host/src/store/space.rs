//! How much room the store takes and what keeps it, and the removal of whole days on Postgres.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use crate::clock::Timestamp;

use super::postgres::partitions::{self, DAY_MS, Parent, Partition};
use super::retention::EVENT_BYTES;
use super::sql::sql;
use super::{Engine, Store, StoreError};

/// The tables that are not partitioned.
const TABLES: &str = "'dedup', 'dedup_conflicts', 'plugins', 'digests', 'plugin_counts', 'hosts', 'runs', \
    'order_blocks', 'rates', 'kv', 'kv_usage', 'source_minutes', 'plugin_minutes', 'queue_minutes', 'operations', \
    'quarantine', 'quarantine_usage', 'learnt_secrets', 'secret_matches', 'hookbay_migrations'";
/// Events from which the size of the others is guessed.
const SAMPLE: u32 = 200;

impl Store {
    /// Whether days are removed as a whole: then what is of such a day need not be
    /// removed piece by piece.
    pub fn has_days(&self) -> bool {
        self.is_shared()
    }

    /// The start of the day of a time.
    pub fn day_of(at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.millis().div_euclid(DAY_MS) * DAY_MS)
    }

    /// Makes the partitions of the days to come.
    ///
    /// # Errors
    /// [`StoreError`] if they are not there.
    pub async fn prepare_days(&self) -> Result<(), StoreError> {
        match &self.0.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.sessions.prepare_partitions().await,
        }
    }

    /// Removes whole days: of events those that end at `events` or before and have no
    /// live run, of history and attempts those that end at `history` or before. What
    /// was interrupted is ended. How many were removed.
    ///
    /// # Errors
    /// [`StoreError`] if one could not be removed for another reason than that
    /// somebody uses it.
    pub async fn remove_days(
        &self,
        events: Timestamp,
        history: Timestamp,
    ) -> Result<usize, StoreError> {
        let Engine::Postgres(engine) = &self.0.engine else {
            return Ok(0);
        };
        let is_over = |one: &Partition| {
            let end_ms = (one.day + 1) * DAY_MS;
            match one.parent {
                Parent::Events => end_ms <= events.millis(),
                Parent::History | Parent::Attempts => end_ms <= history.millis(),
            }
        };
        let sessions = &engine.sessions;
        let remove = async {
            let mut connection = sessions.own_connection().await?;
            let mut removed = 0;
            for partition in partitions::list(&mut connection).await? {
                if is_over(&partition) {
                    let is_pooled = sessions.is_pooled();
                    let gone = partitions::remove(&mut connection, &partition, is_pooled).await?;
                    removed += usize::from(gone);
                }
            }
            Ok(removed)
        };
        sessions.long(remove).await
    }

    /// Removes the oldest whole day that is over and can go; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if one could not be removed for another reason than that
    /// somebody uses it.
    pub async fn remove_oldest_day(&self) -> Result<bool, StoreError> {
        let Engine::Postgres(engine) = &self.0.engine else {
            return Ok(false);
        };
        let today = self.now().millis().div_euclid(DAY_MS);
        let sessions = &engine.sessions;
        let remove = async {
            let mut connection = sessions.own_connection().await?;
            let is_pooled = sessions.is_pooled();
            let mut gone_day = None;
            for partition in partitions::list(&mut connection).await? {
                // What finished on a day goes with the events of that day.
                if partition.day >= today || gone_day.is_some_and(|gone| gone != partition.day) {
                    break;
                }
                if partitions::remove(&mut connection, &partition, is_pooled).await?
                    && partition.bytes > 0
                {
                    gone_day = Some(partition.day);
                }
            }
            Ok(gone_day.is_some())
        };
        sessions.long(remove).await
    }

    /// Bytes of SQLite's log; none on Postgres. It is short unless somebody who reads for
    /// long keeps it from being moved into the file.
    ///
    /// # Errors
    /// [`StoreError`] if its file cannot be looked at.
    pub fn log_bytes(&self) -> Result<u64, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(engine) => match std::fs::metadata(&engine.log_file) {
                Ok(file) => Ok(file.len()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
                Err(error) => Err(sqlx::Error::Io(error).into()),
            },
            Engine::Postgres(_) => Ok(0),
        }
    }

    /// For how long the oldest transaction of anybody has been open that keeps removed rows of
    /// this database from going, as far as this host's role may see; zero on SQLite, where
    /// [`Store::log_bytes`] grows instead.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn oldest_snapshot(&self) -> Result<Duration, StoreError> {
        let Engine::Postgres(_) = &self.0.engine else {
            return Ok(Duration::ZERO);
        };
        let oldest = sql(
            "select cast(extract(epoch from clock_timestamp() - min(began)) * 1000 as bigint) as ms from \
             (select xact_start as began from pg_stat_activity where backend_xmin is not null \
             and backend_type = 'client backend' and datname = current_database() \
             and pid <> pg_backend_pid() \
             union all select prepared from pg_prepared_xacts where database = current_database()) s \
             having min(began) is not null",
        );
        let row = self.readers().fetch_optional(oldest).await?;
        let ms = row.map_or(Ok(0), |row| row.int("ms"))?;
        Ok(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    }

    /// Bytes in use. Above `exact_above` it is looked at more closely, which takes
    /// longer.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn used_bytes(&self, exact_above: u64) -> Result<u64, StoreError> {
        let used = match &self.0.engine {
            Engine::Sqlite(_) => {
                let size = sql(
                    "select (p.page_count - f.freelist_count) * s.page_size as bytes \
                     from pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s",
                );
                let row = self.run_readers().fetch_optional(size).await?;
                row.map_or(Ok(0), |row| row.int("bytes"))?
            }
            Engine::Postgres(engine) => {
                let sessions = &engine.sessions;
                let measure = async {
                    let mut connection = sessions.own_connection().await?;
                    bytes_in_tables(&mut connection, exact_above).await
                };
                sessions.long(measure).await?
            }
        };
        Ok(u64::try_from(used).unwrap_or(0))
    }
}

async fn bytes_in_tables(
    connection: &mut PgConnection,
    exact_above: u64,
) -> Result<i64, StoreError> {
    let partitions = partitions::list(connection).await?;
    let rest = format!(
        "select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint as bytes from pg_class \
         where relkind = 'r' and relname in ({TABLES}) \
         and relnamespace = (select oid from pg_namespace where nspname = current_schema())"
    );
    let rest = connection
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(rest)))
        .await?;
    let rest: i64 = rest.try_get("bytes")?;
    let whole = rest + partitions.iter().map(|one| one.bytes).sum::<i64>();
    if u64::try_from(whole).unwrap_or(0) <= exact_above {
        return Ok(whole);
    }
    let mut used = rest;
    for partition in &partitions {
        used += match partition.parent {
            Parent::Events => bytes_of_events(connection, partition).await?,
            Parent::History | Parent::Attempts => partition.bytes,
        };
    }
    Ok(used)
}

/// A day of events: its files, unless events were deleted from them. Files keep the
/// room of what is deleted for what comes, so it is guessed what is left in them.
async fn bytes_of_events(
    connection: &mut PgConnection,
    partition: &Partition,
) -> Result<i64, StoreError> {
    let name = partition.name();
    let text = format!(
        "select pg_stat_get_tuples_deleted(to_regclass('{name}')) as deleted, \
         pg_stat_get_live_tuples(to_regclass('{name}')) as live"
    );
    let row = connection
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(text)))
        .await?;
    let deleted: Option<i64> = row.try_get("deleted")?;
    let live: Option<i64> = row.try_get("live")?;
    let (Some(1..), Some(live)) = (deleted, live) else {
        return Ok(partition.bytes);
    };
    let text = format!(
        "select coalesce(avg(length(request)), 0)::bigint as bytes from \
         (select request from {name} order by id desc limit {SAMPLE}) s"
    );
    let row = connection
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(text)))
        .await?;
    let each: i64 = row.try_get("bytes")?;
    Ok(partition.bytes.min(live * (each + EVENT_BYTES)))
}
