//! The registry of plugins: what is known of each, whether or not its file is
//! here. Events get runs from what stands here.

use crate::run::PluginId;

use super::sql::{Row, sql};
use super::{Store, StoreError, versions};

/// A plugin as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Whether an operator has paused it.
    pub is_paused: bool,
    /// Whether a dead run blocks its ordering key.
    pub blocks_on_dead: bool,
    /// Whether no known version may replace the active one.
    pub is_pinned: bool,
    /// When an operator last resumed it, in milliseconds since 1970; 0 is never.
    pub resumed_ms: i64,
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
    /// Whether a dead run blocks its ordering key.
    pub blocks_on_dead: bool,
    /// What its author calls the active version.
    pub version: Option<String>,
    /// Whether no known version may replace the active one; without one, what stands
    /// there is left.
    pub is_pinned: bool,
}

const COLUMNS: &str = "plugin_id, name, file, digest, manifest, triggers, loaded_ms, is_paused, \
     blocks_on_dead, is_pinned, resumed_ms";

impl Store {
    /// Every plugin that was ever registered and is not forgotten.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugins(&self) -> Result<Vec<PluginRow>, StoreError> {
        let all = sql(format!(
            "select {COLUMNS} from plugins where forgotten_ms is null order by plugin_id"
        ));
        let rows = self.run_readers().fetch_all(all).await?;
        rows.iter().map(PluginRow::read).collect()
    }

    /// The plugin of this name, unless it is forgotten.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn plugin(&self, name: &str) -> Result<Option<PluginRow>, StoreError> {
        // Index `plugins_by_name`.
        let one = sql(format!(
            "select {COLUMNS} from plugins where name = $1 and forgotten_ms is null"
        ));
        let row = self
            .run_readers()
            .fetch_optional(one.bind(name.to_owned()))
            .await?;
        row.map(|row| PluginRow::read(&row)).transpose()
    }

    /// Registers a plugin or changes what is known of it; events stored after
    /// this get runs by it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn register(&self, plugin: RegisterPlugin) -> Result<PluginId, StoreError> {
        self.write(move |tx| {
            let plugin = plugin.clone();
            Box::pin(async move {
                let before = sql("select digest from plugins where name = $1 and forgotten_ms is null");
                let before = tx.fetch_optional(before.bind(plugin.name.clone())).await?;
                let before = before.map(|row| row.text_or_none("digest")).transpose()?;
                let register = sql(
                    "insert into plugins (name, file, digest, manifest, triggers, loaded_ms, blocks_on_dead, is_pinned) \
                     values ($1, $2, $3, $4, $5, $6, $7, $8) \
                     on conflict (name) where forgotten_ms is null do update set file = excluded.file, \
                     digest = coalesce(excluded.digest, plugins.digest), manifest = excluded.manifest, \
                     triggers = excluded.triggers, blocks_on_dead = excluded.blocks_on_dead, \
                     is_pinned = case when excluded.digest is null then plugins.is_pinned else excluded.is_pinned end, \
                     loaded_ms = case when excluded.digest is null or excluded.digest = plugins.digest \
                     then plugins.loaded_ms else excluded.loaded_ms end returning plugin_id",
                );
                let loaded_at = plugin.digest.as_ref().map(|_| tx.now.millis());
                let register = register.bind(plugin.name).bind(plugin.file);
                let register = register.bind(plugin.digest.clone()).bind(plugin.manifest);
                let register = register.bind(plugin.triggers).bind(loaded_at);
                let register = register.bind(plugin.blocks_on_dead).bind(plugin.is_pinned);
                let id = PluginId(tx.fetch_one(register).await?.int("plugin_id")?);
                if let Some(digest) = plugin.digest
                    && before.flatten().as_ref() != Some(&digest)
                {
                    versions::activated(tx, id, digest, plugin.version).await?;
                }
                Ok(id)
            })
        })
        .await
    }

    /// Pauses a plugin, or lets it go on and closes its breakers: one row, however many
    /// runs it has.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn pause_plugin(&self, plugin: PluginId, is_paused: bool) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let pause = sql("update plugins set is_paused = $2, \
                     resumed_ms = case when $2 = 1 then resumed_ms else $3 end where plugin_id = $1");
                let pause = pause.bind(plugin.0).bind(is_paused).bind(tx.now);
                tx.execute(pause).await?;
                Ok(())
            })
        })
        .await
    }
}

impl PluginRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            plugin_id: row.int("plugin_id")?,
            name: row.text("name")?,
            file: row.text("file")?,
            digest: row.text_or_none("digest")?,
            manifest: row.text("manifest")?,
            triggers: row.text("triggers")?,
            loaded_ms: row.int_or_none("loaded_ms")?,
            is_paused: row.flag("is_paused")?,
            blocks_on_dead: row.flag("blocks_on_dead")?,
            is_pinned: row.flag("is_pinned")?,
            resumed_ms: row.int("resumed_ms")?,
        })
    }
}
