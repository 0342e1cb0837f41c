//! Plugins' state: what runs wrote, committed together with their end.
//!
//! A key's version is the run that wrote it last, so that a version never comes
//! back. Within one transaction a [`Session`] holds each key once, however many
//! runs touch it.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::kv::{
    CounterError, KvEffects, KvRead, KvUsage, KvWrite, QuotaError, Version, incremented,
};
use crate::run::{PluginId, RunId};
use serde::Serialize;

use super::rows::{Kind, ManyRows};
use super::sql::{Statement, sql};
use super::tx::Tx;
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let get = sql("select value, version from kv where plugin_id = $1 and key = $2")
            .bind(plugin.0)
            .bind(key);
        let row = self.run_readers().fetch_optional(get).await?;
        row.map(|row| {
            Ok(KvValue {
                value: row.bytes("value")?,
                version: row.int("version")?,
            })
        })
        .transpose()
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
        let rows = self
            .run_readers()
            .fetch_all(list(plugin, prefix, limit))
            .await?;
        rows.iter().map(|row| row.text("key")).collect()
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
        // A key after `after` is one from `after` on that is not itself.
        let page = sql(
            "select key, value, updated_ms from kv where plugin_id = $1 and key >= $2 and key < $3 \
             and key <> $4 order by key limit $5",
        )
        .bind(plugin.0)
        .bind(after.map_or(prefix, |after| after.max(prefix)))
        .bind(end_of(prefix))
        .bind(after.unwrap_or_default())
        .bind(limit);
        let rows = self.readers().fetch_all(page).await?;
        rows.iter()
            .map(|row| {
                Ok(KvItem {
                    key: row.text("key")?,
                    value: row.bytes("value")?,
                    updated_ms: row.int("updated_ms")?,
                })
            })
            .collect()
    }
}

/// Why a run's effects cannot be applied.
pub(super) enum Unwritable {
    /// What it read has changed since.
    Conflict(String),
    /// It counts where no counter is.
    Counter(CounterError),
    /// It would keep too much.
    Quota(QuotaError),
}

/// The statements of plugins' state.
pub(super) struct Statements {
    look_up: ManyRows,
    upsert: ManyRows,
    count: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            look_up: ManyRows::new(
                "with wanted (plugin_id, key) as (",
                &[Kind::Int, Kind::Text],
                ") select kv.plugin_id, kv.key, kv.value, kv.version from wanted w \
                 cross join kv on kv.plugin_id = w.plugin_id and kv.key = w.key",
            ),
            upsert: ManyRows::new(
                "insert into kv (plugin_id, key, value, version, updated_ms)",
                &[Kind::Int, Kind::Text, Kind::Bytes, Kind::Int, Kind::Int],
                "on conflict (plugin_id, key) do update set value = excluded.value, version = excluded.version, \
                 updated_ms = excluded.updated_ms",
            ),
            count: ManyRows::new(
                "insert into kv_usage (plugin_id, n_keys, n_bytes)",
                &[Kind::Int, Kind::Int, Kind::Int],
                "on conflict (plugin_id) do update set n_keys = excluded.n_keys, n_bytes = excluded.n_bytes",
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
    /// What plugins keep, of those for which that changes, and whether it has changed.
    usage: HashMap<PluginId, (KvUsage, bool)>,
}

impl<'s> Session<'s> {
    pub(super) fn new(statements: &'s Statements, now: Timestamp) -> Self {
        Self {
            statements,
            now,
            slots: HashMap::new(),
            dirty: Vec::new(),
            usage: HashMap::new(),
        }
    }

    /// Reads all keys that these effects touch, at once.
    pub(super) async fn prepare(
        &mut self,
        tx: &mut Tx,
        effects: impl Iterator<Item = (PluginId, &KvEffects)>,
    ) -> Result<(), StoreError> {
        let mut wanted: Vec<(PluginId, &str)> = effects
            .flat_map(|(plugin, effects)| effects.keys().map(move |key| (plugin, key)))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let rows = wanted
            .iter()
            .map(|(plugin, key)| [plugin.0.into(), (*key).into()]);
        for row in self.statements.look_up.with(rows).fetch_all(tx).await? {
            let value = KvValue {
                value: row.bytes("value")?,
                version: row.int("version")?,
            };
            let key = (PluginId(row.int("plugin_id")?), row.text("key")?);
            self.slots.insert(key, Some(value));
        }
        for (plugin, key) in wanted {
            self.slots.entry((plugin, key.to_owned())).or_default();
        }
        Ok(())
    }

    /// Applies one run's effects, whose keys were read: all, or none.
    pub(super) async fn apply(
        &mut self,
        tx: &mut Tx,
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
        let mut by = KvUsage::default();
        for (key, value) in &after {
            let before = self.slot(plugin, &key.1).map(|kept| kept.value.as_slice());
            let before = KvUsage::of(&key.1, before);
            by = by.plus(before.to(KvUsage::of(&key.1, value.as_deref())));
        }
        if by != KvUsage::default() {
            match self.usage(tx, plugin).await?.change(by) {
                Ok(usage) => self.usage.insert(plugin, (usage, true)),
                Err(error) => return Ok(Err(Unwritable::Quota(error))),
            };
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
    pub(super) async fn flush(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        let mut kept = Vec::with_capacity(self.dirty.len());
        for key in self.dirty.drain(..) {
            match self.slots.get(&key).and_then(Option::as_ref) {
                Some(value) => kept.push((key, value)),
                None => {
                    let delete = sql("delete from kv where plugin_id = $1 and key = $2");
                    tx.execute(delete.bind(key.0.0).bind(key.1)).await?;
                }
            }
        }
        let now = self.now;
        let rows = kept.iter().map(|((plugin, key), kept)| {
            [
                plugin.0.into(),
                key.as_str().into(),
                kept.value.as_slice().into(),
                kept.version.into(),
                now.into(),
            ]
        });
        self.statements.upsert.with(rows).execute(tx).await?;
        let changed = self.usage.iter_mut().filter(|(_, (_, is_new))| *is_new);
        let mut usage: Vec<(PluginId, KvUsage)> = Vec::new();
        for (plugin, (now, is_new)) in changed {
            *is_new = false;
            usage.push((*plugin, *now));
        }
        usage.sort_unstable_by_key(|(plugin, _)| *plugin);
        let rows = usage
            .iter()
            .map(|(plugin, now)| [plugin.0.into(), now.keys.into(), now.bytes.into()]);
        self.statements.count.with(rows).execute(tx).await?;
        Ok(())
    }

    /// What a plugin keeps. Who changes it has the plugin's state to itself.
    async fn usage(&mut self, tx: &mut Tx, plugin: PluginId) -> Result<KvUsage, StoreError> {
        if let Some((usage, _)) = self.usage.get(&plugin) {
            return Ok(*usage);
        }
        let kept = sql("select n_keys, n_bytes from kv_usage where plugin_id = $1").bind(plugin.0);
        let usage = match tx.fetch_optional(kept).await? {
            None => KvUsage::default(),
            Some(row) => KvUsage {
                keys: row.int("n_keys")?,
                bytes: row.int("n_bytes")?,
            },
        };
        self.usage.insert(plugin, (usage, false));
        Ok(usage)
    }

    /// The key under which something changed since it was read.
    async fn changed(
        &mut self,
        tx: &mut Tx,
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
                let rows = tx.fetch_all(list(plugin, prefix, *limit)).await?;
                let now: Vec<String> = rows
                    .iter()
                    .map(|row| row.text("key"))
                    .collect::<Result<_, _>>()?;
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

fn list(plugin: PluginId, prefix: &str, limit: u32) -> Statement<'_> {
    sql("select key from kv where plugin_id = $1 and key >= $2 and key < $3 order by key limit $4")
        .bind(plugin.0)
        .bind(prefix)
        .bind(end_of(prefix))
        .bind(limit)
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
