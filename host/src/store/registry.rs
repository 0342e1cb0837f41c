//! The registry of plugins: what is known of each, whether or not its file is
//! here. Events get runs from what stands here.

use super::{Store, StoreError};
use crate::run::PluginId;

/// A plugin as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PluginRow {
    /// Its number.
    pub plugin_id: i64,
    /// Its name.
    pub name: String,
    /// Its file in `plugins_dir`.
    pub file: String,
    /// Its active version: sha256 in hex; none before the first.
    pub digest: Option<String>,
    /// Its manifest as JSON.
    pub manifest: String,
    /// Its triggers in force as JSON.
    pub triggers: String,
    /// When the active version became so, in milliseconds since 1970.
    pub loaded_ms: Option<i64>,
}

/// What is to be known of a plugin from now on.
#[derive(Clone, Debug)]
pub struct RegisterPlugin {
    /// Its name.
    pub name: String,
    /// Its file in `plugins_dir`.
    pub file: String,
    /// Its active version; none leaves what stands there.
    pub digest: Option<String>,
    /// Its manifest as JSON.
    pub manifest: String,
    /// Its triggers in force as JSON.
    pub triggers: String,
}

impl Store {
    /// Every plugin ever registered.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugins(&self) -> Result<Vec<PluginRow>, StoreError> {
        let rows = sqlx::query_as(
            "select plugin_id, name, file, digest, manifest, triggers, loaded_ms from plugins order by plugin_id",
        )
        .fetch_all(self.readers())
        .await?;
        Ok(rows)
    }

    /// Registers a plugin or changes what is known of it; events stored after
    /// this get runs by it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn register(&self, plugin: RegisterPlugin) -> Result<PluginId, StoreError> {
        let now = self.now_ms();
        self.0
            .writer
            .write(move |tx| {
                let plugin = plugin.clone();
                Box::pin(async move {
                    let id: i64 = sqlx::query_scalar(
                        "insert into plugins (name, file, digest, manifest, triggers, loaded_ms) \
                     values (?1, ?2, ?3, ?4, ?5, case when ?3 is null then null else ?6 end) \
                     on conflict (name) do update set file = excluded.file, \
                     digest = coalesce(excluded.digest, digest), manifest = excluded.manifest, \
                     triggers = excluded.triggers, \
                     loaded_ms = case when excluded.digest is null or excluded.digest = digest \
                     then loaded_ms else excluded.loaded_ms end returning plugin_id",
                    )
                    .bind(plugin.name)
                    .bind(plugin.file)
                    .bind(plugin.digest)
                    .bind(plugin.manifest)
                    .bind(plugin.triggers)
                    .bind(now)
                    .fetch_one(&mut *tx)
                    .await?;
                    Ok(PluginId(id))
                })
            })
            .await
    }

    /// How many runs a plugin has, all at one moment.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugin_runs(&self, plugin: PluginId) -> Result<PluginRuns, StoreError> {
        let runs = sqlx::query_as(
            "select \
             (select count(*) from runs indexed by runs_running where state = 1 and plugin_id = ?1) as running, \
             (select count(*) from runs where state = 0 and plugin_id = ?1 and due_ms <= ?2) as due, \
             (select count(*) from runs where state = 0 and plugin_id = ?1 and due_ms > ?2) as later, \
             (select created_ms from runs where state = 0 and plugin_id = ?1 \
             order by due_ms, run_id limit 1) as oldest_ms, \
             n_succeeded as succeeded, n_dead as dead, n_cancelled as cancelled \
             from plugins where plugin_id = ?1",
        )
        .bind(plugin.0)
        .bind(self.now_ms())
        .fetch_optional(self.readers())
        .await?;
        Ok(runs.unwrap_or_default())
    }
}

/// How many runs a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct PluginRuns {
    /// Claimed.
    pub running: i64,
    /// Ready and due.
    pub due: i64,
    /// Ready and due later.
    pub later: i64,
    /// When the next one to be claimed was stored, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Finished well.
    pub succeeded: i64,
    /// Finished without success.
    pub dead: i64,
    /// Ended by an operator.
    pub cancelled: i64,
}
