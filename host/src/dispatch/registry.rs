//! The registry as other hosts left it: which version of each plugin runs, where, and
//! what is paused. What this host finds there it takes over onto its board.

use std::sync::Arc;

use crate::name::PluginName;
use crate::plugin::Digest;
use crate::run::PluginId;
use crate::store::{HostRow, PluginRow, StoreError};

use super::board::{Candidate, Entries, Entry, triggers_in_force};
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
        let known: Vec<PluginId> = rows.iter().map(|row| PluginId(row.plugin_id)).collect();
        self.forget_what_is_gone(&known);
        let mut has_changed = false;
        let mut entries = self.board.load().entries.clone();
        for row in rows {
            let Ok(name) = row.name.parse::<PluginName>() else {
                continue;
            };
            has_changed |= self.take_over_one(&mut entries, &name, row, &hosts).await;
        }
        if has_changed {
            self.publish(entries);
        }
        Ok(())
    }

    /// Drops plugins that another host has forgotten. One whose file is here all the
    /// same, as a file that came back at that moment, is new.
    fn forget_what_is_gone(&self, known: &[PluginId]) {
        let board = self.board.load();
        let is_gone = |entry: &&Arc<Entry>| entry.id.is_some_and(|id| !known.contains(&id));
        let gone: Vec<Arc<Entry>> = board.entries.values().filter(is_gone).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let names: Vec<PluginName> = gone.iter().map(|entry| entry.name.clone()).collect();
        self.is_forgotten(&names);
        let here = gone.iter().filter(|entry| entry.is_present);
        self.rescan.again(here.map(|entry| entry.file.clone()));
    }

    /// Takes over one plugin; whether that changed anything.
    async fn take_over_one(
        &self,
        entries: &mut Entries,
        name: &PluginName,
        row: PluginRow,
        hosts: &[HostRow],
    ) -> bool {
        let new = || {
            Arc::new(Entry::new(
                name.clone(),
                row.file.clone(),
                self.config().plugin(name),
            ))
        };
        let is_new = !entries.contains_key(name);
        let shared = entries.entry(name.clone()).or_insert_with(new);
        let id = PluginId(row.plugin_id);
        let elsewhere = self.elsewhere(id, row.digest.as_deref(), hosts);
        let wanted: Option<Digest> = row.digest.as_deref().and_then(|text| text.parse().ok());
        let is_same = shared.id == Some(id)
            && shared.is_paused == row.is_paused
            && shared.is_pinned == row.is_pinned
            && shared.resumed_ms == row.resumed_ms
            && shared.registered == wanted
            && shared.elsewhere == elsewhere;
        if is_same && !is_new {
            return false;
        }
        let entry = Arc::make_mut(shared);
        if row.resumed_ms > entry.resumed_ms {
            entry.breaker.close();
        }
        let (was_pinned, was) = (entry.is_pinned, entry.registered);
        entry.is_in_registry(&row);
        entry.elsewhere = elsewhere;
        if was_pinned && !row.is_pinned && entry.candidate.is_some() {
            // The file here may run again.
            self.rescan.again([entry.file.clone()]);
        }
        let active = entry.active.as_ref().map(|active| active.digest);
        if wanted.is_some() && wanted != active && (wanted != was || is_new) {
            entry.manifest = serde_json::from_str(&row.manifest)
                .ok()
                .or(entry.manifest.take());
            entry.triggers = triggers_in_force(&entry.settings, entry.manifest.as_ref());
            if entry.is_present {
                self.run_instead(name, entry, wanted).await;
            }
        }
        true
    }

    /// Another version became active on another host: this one runs it if it has it,
    /// else it runs none, so that no two versions run at once.
    async fn run_instead(&self, name: &PluginName, entry: &mut Entry, wanted: Option<Digest>) {
        let loaded = self.kept(name, wanted).await;
        let on_disk = entry.on_disk();
        entry.active = None;
        if let Some(loaded) = loaded {
            entry.runs(loaded, self.clock.now());
        }
        let text = wanted.map(|digest| digest.to_string()).unwrap_or_default();
        tracing::info!(
            plugin = %name, digest = %text, is_here = entry.active.is_some(),
            "another host has made another version active"
        );
        let is_it = entry.active.is_some() && on_disk == wanted;
        entry.candidate = on_disk.filter(|_| !is_it).map(|on_disk| {
            let problem = format!("was replaced by {text}, which another host has made active");
            Candidate::waiting(on_disk, problem)
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
