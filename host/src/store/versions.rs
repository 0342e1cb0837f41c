//! The versions that plugins have had, and the pin that keeps one of them active.

use crate::clock::Timestamp;
use crate::run::PluginId;

use super::sql::{Row, sql};
use super::tx::Tx;
use super::{Store, StoreError};

/// A version that a plugin has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Sha256 in hex.
    pub digest: String,
    /// What its author calls it, if that was noted.
    pub version: Option<String>,
    /// When it became active first, as far back as that was noted.
    pub first_activated_at: Timestamp,
    /// When it last became active.
    pub activated_at: Timestamp,
}

impl Store {
    /// The versions of a plugin, from the one that became active last.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn versions(&self, plugin: PluginId) -> Result<Vec<VersionRow>, StoreError> {
        let all = sql("select digest, version, activated_ms, \
             coalesce(first_activated_ms, activated_ms) as first_activated_ms \
             from digests where plugin_id = $1 order by activated_ms desc, digest");
        let rows = self.run_readers().fetch_all(all.bind(plugin.0)).await?;
        rows.iter().map(VersionRow::read).collect()
    }

    /// Whether a plugin has ever been active in this version.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn knows_digest(&self, plugin: PluginId, digest: &str) -> Result<bool, StoreError> {
        let known = sql("select plugin_id from digests where plugin_id = $1 and digest = $2");
        let known = known.bind(plugin.0).bind(digest.to_owned());
        Ok(self.run_readers().fetch_optional(known).await?.is_some())
    }

    /// Lets known versions replace the active one again; whether it was pinned.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn unpin(&self, plugin: PluginId) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let unpin = sql("update plugins set is_pinned = 0 where plugin_id = $1 \
                     and is_pinned = 1 and forgotten_ms is null");
                Ok(tx.execute(unpin.bind(plugin.0)).await? > 0)
            })
        })
        .await
    }
}

/// Notes that a version has become active; when it did first stays. Of two that became so in
/// the same millisecond the later one is later all the same.
pub(super) async fn activated(
    tx: &mut Tx,
    plugin: PluginId,
    digest: String,
    version: Option<String>,
) -> Result<(), StoreError> {
    let last =
        sql("select coalesce(max(activated_ms), 0) as last_ms from digests where plugin_id = $1");
    let last_ms = tx.fetch_one(last.bind(plugin.0)).await?.int("last_ms")?;
    let activated_ms = tx.now.millis().max(last_ms.saturating_add(1));
    let known = sql(
        "insert into digests (plugin_id, digest, activated_ms, first_activated_ms, version) \
         values ($1, $2, $3, $3, $4) \
         on conflict (plugin_id, digest) do update set activated_ms = excluded.activated_ms, \
         first_activated_ms = coalesce(digests.first_activated_ms, digests.activated_ms), \
         version = coalesce(excluded.version, digests.version)",
    );
    let known = known.bind(plugin.0).bind(digest).bind(activated_ms);
    tx.execute(known.bind(version)).await?;
    Ok(())
}

impl VersionRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row.text("digest")?,
            version: row.text_or_none("version")?,
            first_activated_at: row.time("first_activated_ms")?,
            activated_at: row.time("activated_ms")?,
        })
    }
}
