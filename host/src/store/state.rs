//! Plugins' state: what runs wrote, committed together with their end.
//!
//! A key's version is the run that wrote it last, so that a version never comes
//! back. Within one transaction a [`Session`] holds each key once, however many
//! runs touch it.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::clock::Timestamp;
use crate::kv::{CounterError, KvEffects, KvRead, KvWrite, Version, incremented};
use crate::run::{PluginId, RunId};

use super::rows::ManyRows;
use super::{Store, StoreError};

/// A value with the version it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvValue {
    /// The value.
    pub value: Vec<u8>,
    /// Which write it is.
    pub version: Version,
}

/// A key for operators.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KvItem {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// When it was written, in milliseconds since 1970.
    pub updated_ms: i64,
}

impl Store {
    /// The committed value of a plugin's key.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn kv_get(&self, plugin: PluginId, key: &str) -> Result<Option<KvValue>, StoreError> {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as("select value, version from kv where plugin_id = ? and key = ?")
                .bind(plugin.0)
                .bind(key)
                .fetch_optional(self.run_readers())
                .await?;
        Ok(row.map(|(value, version)| KvValue { value, version }))
    }

    /// The committed keys under a prefix, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn kv_list(
        &self,
        plugin: PluginId,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let mut connection = self.run_readers().acquire().await?;
        list(&mut connection, plugin, prefix, limit).await
    }

    /// One page of a plugin's keys with values, after the key `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn kv_page(
        &self,
        plugin: PluginId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KvItem>, StoreError> {
        let rows = sqlx::query_as(
            "select key, value, updated_ms from kv where plugin_id = ?1 and key >= ?2 and key < ?3 \
             and (?4 is null or key > ?4) order by key limit ?5",
        )
        .bind(plugin.0)
        .bind(prefix)
        .bind(end_of(prefix))
        .bind(after)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        Ok(rows)
    }
}

/// Why a run's effects cannot be applied.
pub(super) enum Unwritable {
    /// What it read has changed since.
    Conflict(String),
    /// It counts where no counter is.
    Counter(CounterError),
}

/// The statements of plugins' state.
pub(super) struct Statements {
    look_up: ManyRows,
    upsert: ManyRows,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            look_up: ManyRows::new(
                "with wanted (plugin_id, key) as (values",
                "(?, ?)",
                ") select kv.plugin_id, kv.key, kv.value, kv.version from wanted w \
                 cross join kv on kv.plugin_id = w.plugin_id and kv.key = w.key",
            ),
            upsert: ManyRows::new(
                "insert into kv (plugin_id, key, value, version, updated_ms) values",
                "(?, ?, ?, ?, ?)",
                "on conflict do update set value = excluded.value, version = excluded.version, \
                 updated_ms = excluded.updated_ms",
            ),
        }
    }
}

type Key = (PluginId, String);

/// The keys that one transaction has touched.
pub(super) struct Session<'s> {
    statements: &'s Statements,
    now: Timestamp,
    /// None: the key is not there.
    slots: HashMap<Key, Option<KvValue>>,
    dirty: Vec<Key>,
}

impl<'s> Session<'s> {
    pub(super) fn new(statements: &'s Statements, now: Timestamp) -> Self {
        Self {
            statements,
            now,
            slots: HashMap::new(),
            dirty: Vec::new(),
        }
    }

    /// Reads all keys that these effects touch, at once.
    pub(super) async fn prepare(
        &mut self,
        tx: &mut SqliteConnection,
        effects: impl Iterator<Item = (PluginId, &KvEffects)>,
    ) -> Result<(), StoreError> {
        let mut wanted: Vec<(PluginId, &str)> = effects
            .flat_map(|(plugin, effects)| effects.keys().map(move |key| (plugin, key)))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for (sql, piece) in self.statements.look_up.split(&wanted) {
            let mut query = sqlx::query_as::<_, (i64, String, Vec<u8>, i64)>(AssertSqlSafe(sql));
            for (plugin, key) in piece {
                query = query.bind(plugin.0).bind(*key);
            }
            for (plugin, key, value, version) in query.fetch_all(&mut *tx).await? {
                self.slots
                    .insert((PluginId(plugin), key), Some(KvValue { value, version }));
            }
        }
        for (plugin, key) in wanted {
            self.slots.entry((plugin, key.to_owned())).or_default();
        }
        Ok(())
    }

    /// Applies one run's effects, whose keys were read: all, or none.
    pub(super) async fn apply(
        &mut self,
        tx: &mut SqliteConnection,
        plugin: PluginId,
        run: RunId,
        effects: &KvEffects,
    ) -> Result<Result<(), Unwritable>, StoreError> {
        for read in &effects.reads {
            if let Some(key) = self.changed(tx, plugin, read).await? {
                return Ok(Err(Unwritable::Conflict(key)));
            }
        }
        let mut after: HashMap<Key, Option<Vec<u8>>> = HashMap::new();
        for write in &effects.writes {
            let (key, value) = match write {
                KvWrite::Set { key, value } => (key, Some(value.clone())),
                KvWrite::Delete { key } => (key, None),
                KvWrite::Increment { key, by } => {
                    let full = (plugin, key.clone());
                    let before = match after.get(&full) {
                        Some(value) => value.clone(),
                        None => self.slot(plugin, key).map(|kept| kept.value.clone()),
                    };
                    match incremented(key, before.as_deref(), *by) {
                        Ok(value) => (key, Some(value)),
                        Err(error) => return Ok(Err(Unwritable::Counter(error))),
                    }
                }
            };
            after.insert((plugin, key.clone()), value);
        }
        for (key, value) in after {
            let slot = value.map(|value| KvValue {
                value,
                version: run.0,
            });
            self.slots.insert(key.clone(), slot);
            self.dirty.push(key);
        }
        Ok(Ok(()))
    }

    /// Writes what was changed.
    pub(super) async fn flush(&mut self, tx: &mut SqliteConnection) -> Result<(), StoreError> {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        let mut kept = Vec::with_capacity(self.dirty.len());
        for key in self.dirty.drain(..) {
            match self.slots.get(&key).and_then(Option::as_ref) {
                Some(value) => kept.push((key, value)),
                None => {
                    sqlx::query("delete from kv where plugin_id = ? and key = ?")
                        .bind(key.0.0)
                        .bind(key.1)
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        for (sql, piece) in self.statements.upsert.split(&kept) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for ((plugin, key), kept) in piece {
                query = query
                    .bind(plugin.0)
                    .bind(key.as_str())
                    .bind(kept.value.as_slice())
                    .bind(kept.version)
                    .bind(self.now.millis());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }

    /// The key under which something changed since it was read.
    async fn changed(
        &mut self,
        tx: &mut SqliteConnection,
        plugin: PluginId,
        read: &KvRead,
    ) -> Result<Option<String>, StoreError> {
        match read {
            KvRead::Key { key, version } => {
                let now = self.slot(plugin, key).map(|kept| kept.version);
                Ok((now != *version).then(|| key.clone()))
            }
            KvRead::List {
                prefix,
                limit,
                keys,
            } => {
                self.flush(tx).await?;
                let now = list(tx, plugin, prefix, *limit).await?;
                Ok((now != *keys).then(|| format!("{prefix}*")))
            }
        }
    }

    fn slot(&self, plugin: PluginId, key: &str) -> Option<&KvValue> {
        self.slots
            .get(&(plugin, key.to_owned()))
            .and_then(Option::as_ref)
    }
}

async fn list(
    connection: &mut SqliteConnection,
    plugin: PluginId,
    prefix: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let keys = sqlx::query_scalar(
        "select key from kv where plugin_id = ? and key >= ? and key < ? order by key limit ?",
    )
    .bind(plugin.0)
    .bind(prefix)
    .bind(end_of(prefix))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(keys)
}

/// A text that sorts after every key that begins with `prefix`: keys hold no
/// U+10FFFF, which is not a character.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

/// JSON text of a value that always has one.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
