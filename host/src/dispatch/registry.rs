//! The registry as other hosts left it: which version of each plugin runs, where, and
//! what is paused. What this host finds there it takes over onto its board.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::name::PluginName;
use crate::plugin::Digest;
use crate::run::PluginId;
use crate::store::{HostRow, PluginRow, StoreError};

use super::board::{Candidate, Entry, triggers_in_force};
use super::presence::Presence;

impl Presence {
    /// Takes over what has changed; what cannot be read now is read the next time.
    pub(super) async fn read_again(&self) {
        if let Err(error) = self.take_over().await {
            tracing::warn!(%error, "the registry of plugins cannot be read now");
        }
    }

    async fn take_over(&self) -> Result<(), StoreError> {
        let rows = self.store.plugins().await?;
        let hosts = self.store.live_hosts().await?;
        let mut has_changed = false;
        let board = self.board.load();
        let (mut entries, is_ready) = (board.entries.clone(), board.is_ready);
        drop(board);
        for row in rows {
            let Ok(name) = row.name.parse::<PluginName>() else {
                continue;
            };
            has_changed |= self.take_over_one(&mut entries, &name, row, &hosts).await;
        }
        if has_changed {
            self.publish(entries, is_ready);
        }
        Ok(())
    }

    /// Takes over one plugin; whether that changed anything.
    async fn take_over_one(
        &self,
        entries: &mut BTreeMap<PluginName, Entry>,
        name: &PluginName,
        row: PluginRow,
        hosts: &[HostRow],
    ) -> bool {
        let settings = self.config.plugin(name);
        let is_new = !entries.contains_key(name);
        let entry = entries
            .entry(name.clone())
            .or_insert_with(|| Entry::new(name.clone(), row.file.clone(), settings));
        let mut has_changed = is_new || entry.is_paused != row.is_paused;
        entry.is_paused = row.is_paused;
        let id = PluginId(row.plugin_id);
        has_changed |= entry.id != Some(id);
        entry.id = Some(id);
        let elsewhere = self.elsewhere(id, row.digest.as_deref(), hosts);
        has_changed |= entry.elsewhere != elsewhere;
        entry.elsewhere = elsewhere;
        let active = entry.active.as_ref().map(|active| active.digest);
        let wanted: Option<Digest> = row.digest.as_deref().and_then(|text| text.parse().ok());
        if wanted.is_none() || wanted == active {
            return has_changed;
        }
        let manifest = serde_json::from_str(&row.manifest).ok();
        if manifest.is_some() && entry.manifest != manifest {
            has_changed = true;
            entry.manifest = manifest;
            entry.triggers = triggers_in_force(&entry.settings, entry.manifest.as_ref());
        }
        if active.is_some() {
            has_changed = true;
            self.run_instead(name, entry, wanted).await;
        }
        has_changed
    }

    /// Another version became active on another host: this one runs it if it has it,
    /// else it runs none, so that no two versions run at once.
    async fn run_instead(&self, name: &PluginName, entry: &mut Entry, wanted: Option<Digest>) {
        let loaded = self.kept(name, wanted).await;
        let before = std::mem::replace(&mut entry.active, loaded.map(Arc::new));
        entry.loaded_at = entry.active.as_ref().map(|_| self.clock.now());
        let wanted = wanted.map(|digest| digest.to_string()).unwrap_or_default();
        tracing::info!(
            plugin = %name, digest = %wanted, is_here = entry.active.is_some(),
            "another host has made another version active"
        );
        entry.candidate = Some(Candidate {
            digest: before.map(|before| before.digest),
            problem: format!("was replaced by {wanted}, which another host has made active"),
            missing_grants: Vec::new(),
        });
    }

    /// The names of other live hosts that run this version.
    fn elsewhere(&self, id: PluginId, digest: Option<&str>, hosts: &[HostRow]) -> Vec<String> {
        let own = self.store.epoch().0;
        let runs_it = |host: &&HostRow| {
            host.loaded
                .iter()
                .any(|(plugin, version)| *plugin == id && Some(version.as_str()) == digest)
        };
        hosts
            .iter()
            .filter(|host| host.epoch != own)
            .filter(runs_it)
            .map(|host| host.name.clone())
            .collect()
    }
}
