//! What a changed configuration means for the plugins that are here.
//!
//! Files are not looked at here: all of them are reported again, and go the same way
//! as files that are new. So a grant lets a candidate run, and a table that names
//! another file is followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::{PluginRow, StoreError};

use super::super::board::Entry;
use super::Presence;
use super::activation::{described, is_so};

impl Presence {
    /// Takes over the configuration as it is now; false if the registry does not know
    /// of it yet.
    pub(super) async fn configured(&self) -> bool {
        let config = self.config();
        let mut entries = self.board.load().entries.clone();
        for shared in entries.values_mut() {
            let settings = config.plugin(&shared.name);
            let is_its_file = self.names_of(&shared.file).contains(&shared.name);
            if *shared.settings != settings {
                Arc::make_mut(shared).configure(settings);
            }
            if shared.is_present && !is_its_file {
                tracing::warn!(plugin = %shared.name, file = shared.file, "the file is another plugin's now");
                Arc::make_mut(shared).lost_its_file();
            }
            self.hold(shared);
        }
        self.publish(entries);
        self.rescan.all_again();
        match self.tell_registry().await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the registry cannot be told of the configuration; it is tried again");
                false
            }
        }
    }

    /// Stops a version that has not all it wants any more; its runs wait.
    fn hold(&self, shared: &mut Arc<Entry>) {
        let Some(active) = &shared.active else { return };
        let Some(candidate) = self.not_allowed(&shared.name, active) else {
            return;
        };
        tracing::warn!(plugin = %shared.name, digest = %active.digest, problem = candidate.problem, "the plugin is held; its runs wait");
        let entry = Arc::make_mut(shared);
        entry.active = None;
        entry.loaded_at = None;
        entry.candidate.get_or_insert(candidate);
    }

    /// Writes triggers and the like where they are others now.
    async fn tell_registry(&self) -> Result<(), StoreError> {
        let rows = self.store.plugins().await?;
        let rows: BTreeMap<&str, &PluginRow> =
            rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let board = self.board.load_full();
        let mut has_changed = false;
        for entry in board.entries.values().filter(|entry| entry.is_present) {
            let Some(manifest) = &entry.manifest else {
                continue;
            };
            let wanted = described(&entry.name, &entry.file, &entry.settings, manifest);
            let row = rows.get(entry.name.as_str());
            if row.is_some_and(|row| !is_so(row, &wanted)) {
                self.store.register(wanted).await?;
                has_changed = true;
            }
        }
        if has_changed {
            self.tell_others().await;
        }
        Ok(())
    }
}
