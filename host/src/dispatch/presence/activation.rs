//! From a version that has loaded to the active one, or to a candidate that says why
//! it is not.

use std::sync::Arc;

use crate::config::PluginConfig;
use crate::name::PluginName;
use crate::plugin::{Digest, Loaded, Manifest, PluginFile, Role, TriggerText};
use crate::retry::OnDead;
use crate::run::PluginId;
use crate::store::{PluginRow, RegisterPlugin, StoreError};

use super::super::board::{Candidate, triggers_in_force};
use super::super::operations::begin_catch_up;
use super::{Presence, difference};

impl Presence {
    /// A version of a file has loaded: activates it, or keeps it as a candidate.
    pub(super) async fn loaded(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Arc<Loaded>,
        content: &PluginFile,
    ) -> Result<(), StoreError> {
        let row = self.store.plugin(name.as_str()).await?;
        match self.candidate(name, loaded, row.as_ref()).await? {
            Some(candidate) => {
                self.keep_waiting(name, file, loaded, content, candidate)
                    .await
            }
            None => {
                // Active before, it stays pinned if it was; else it was never seen.
                let digest = loaded.digest.to_string();
                let is_pinned = row
                    .as_ref()
                    .is_some_and(|row| row.is_pinned && row.digest.as_ref() == Some(&digest));
                self.put_on_shelf(name, loaded.digest, content).await;
                if loaded.role() == Role::Plugin {
                    begin_catch_up(&self.store, name, &self.config().plugin(name)).await?;
                }
                self.activate(name, file, loaded, is_pinned, None).await
            }
        }
    }

    /// Makes a version the active one, here and in the registry, in one swap.
    pub(super) async fn activate(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Arc<Loaded>,
        is_pinned: bool,
        candidate: Option<Candidate>,
    ) -> Result<(), StoreError> {
        let id = self
            .register(name, file, loaded, Some((loaded.digest, is_pinned)))
            .await?;
        let board = self.board.load_full();
        let before = board.entries.get(name).and_then(|entry| {
            // Of one that runs on other hosts only the manifest is known.
            let active = entry.active.as_ref().map(|active| &active.manifest);
            active.or(entry.manifest.as_ref())
        });
        tracing::info!(
            plugin = %name, digest = %loaded.digest, version = %loaded.manifest.version, is_pinned,
            changes = difference::said(before, &loaded.manifest), "the plugin is active"
        );
        let now = self.clock.now();
        self.change(name, file, |entry| {
            entry.is_registered(id, loaded);
            entry.runs(Arc::clone(loaded), now);
            entry.candidate = candidate;
            entry.is_pinned = is_pinned;
            entry.registered = Some(loaded.digest);
        });
        Ok(())
    }

    /// Why a version of a file is not to be active, if it is not.
    async fn candidate(
        &self,
        name: &PluginName,
        loaded: &Loaded,
        row: Option<&PluginRow>,
    ) -> Result<Option<Candidate>, StoreError> {
        if let Some(candidate) = self.not_allowed(name, loaded) {
            return Ok(Some(candidate));
        }
        if let Some(problem) = row.and_then(|row| other_role(row, loaded)) {
            return Ok(Some(Candidate::waiting(loaded.digest, problem)));
        }
        let digest = loaded.digest.to_string();
        let Some((row, active)) = row.and_then(|row| Some((row, row.digest.as_deref()?))) else {
            return Ok(None);
        };
        let id = PluginId(row.plugin_id);
        if active == digest || !self.store.knows_digest(id, &digest).await? {
            return Ok(None);
        }
        let problem = if row.is_pinned {
            format!("is not active: the plugin is pinned to {active} until it is unpinned")
        } else if self.others_live().await? {
            format!("is a version that was replaced by {active}, which other hosts run")
        } else {
            return Ok(None);
        };
        Ok(Some(Candidate::waiting(loaded.digest, problem)))
    }

    /// Whether this host has just started while others live: one that comes back does
    /// not take them back to what it has.
    async fn others_live(&self) -> Result<bool, StoreError> {
        if self.board.load().is_ready || !self.store.is_shared() {
            return Ok(false);
        }
        let epoch = self.store.epoch().0;
        let others = self.store.live_hosts().await?;
        Ok(others.iter().any(|host| host.epoch != epoch))
    }

    /// What stands between a version and its grants.
    pub(super) fn not_allowed(&self, name: &PluginName, loaded: &Loaded) -> Option<Candidate> {
        let settings = self.config().plugin(name);
        let missing_grants = loaded.manifest.missing_grants(&settings);
        if !missing_grants.is_empty() {
            return Some(Candidate::held(loaded.digest, missing_grants));
        }
        let problem = loaded.exceeds(&settings.limits).or_else(|| {
            let has_triggers = settings.triggers.is_some();
            (has_triggers && loaded.role() == Role::Verifier).then(|| {
                format!("is a verifier, which gets no events: remove `plugins.{name}.triggers`")
            })
        });
        Some(Candidate::waiting(loaded.digest, problem?))
    }

    /// A version that does not become active; what ran keeps running.
    async fn keep_waiting(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Arc<Loaded>,
        content: &PluginFile,
        candidate: Candidate,
    ) -> Result<(), StoreError> {
        let is_held = self.not_allowed(name, loaded).is_some();
        tracing::warn!(
            plugin = %name, digest = %loaded.digest, problem = candidate.problem,
            "the version is a candidate; what ran keeps running"
        );
        if !is_held {
            // It may be rolled back to.
            self.put_on_shelf(name, loaded.digest, content).await;
        }
        if self.active(name).is_none() && !self.activate_registered(name, file).await? && is_held {
            // Without an active version its triggers hold anyway: its runs wait.
            let id = self.register(name, file, loaded, None).await?;
            self.change(name, file, |entry| entry.is_registered(id, loaded));
        }
        self.change(name, file, |entry| entry.candidate = Some(candidate));
        Ok(())
    }

    /// Activates the version that the store calls active from where it is kept;
    /// returns whether there is one.
    pub(super) async fn activate_registered(
        &self,
        name: &PluginName,
        file: &str,
    ) -> Result<bool, StoreError> {
        let row = self.store.plugin(name.as_str()).await?;
        let digest = row
            .as_ref()
            .and_then(|row| row.digest.as_ref()?.parse().ok());
        let Some(loaded) = self.kept(name, digest).await else {
            return Ok(false);
        };
        tracing::info!(plugin = %name, digest = %loaded.digest, "the version that was active runs, from the data directory");
        let now = self.clock.now();
        self.change(name, file, |entry| {
            if let Some(row) = &row {
                entry.is_in_registry(row);
            }
            entry.runs(loaded, now);
        });
        Ok(true)
    }

    /// A version, if it is kept here and may run.
    pub(in crate::dispatch) async fn kept(
        &self,
        name: &PluginName,
        digest: Option<Digest>,
    ) -> Option<Arc<Loaded>> {
        let digest = digest?;
        let loaded = match self.loaded_before(digest) {
            Some(loaded) => loaded,
            None => {
                let kept = self.shelf.get(digest).await?;
                Arc::new(self.host.load(&kept).await.ok()?)
            }
        };
        self.not_allowed(name, &loaded).is_none().then_some(loaded)
    }

    async fn put_on_shelf(&self, name: &PluginName, digest: Digest, content: &PluginFile) {
        if let Err(error) = self.shelf.put(digest, content).await {
            // It can run all the same; only a later rollback cannot have it.
            tracing::warn!(plugin = %name, %error, "the version cannot be kept in the data directory");
        }
    }

    /// Writes what is known of a plugin, unless the registry has it so already.
    async fn register(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Loaded,
        active: Option<(Digest, bool)>,
    ) -> Result<PluginId, StoreError> {
        let settings = self.config().plugin(name);
        let wanted = RegisterPlugin {
            digest: active.map(|(digest, _)| digest.to_string()),
            is_pinned: active.is_some_and(|(_, is_pinned)| is_pinned),
            ..described(name, file, &settings, &loaded.manifest)
        };
        if let Some(row) = self.store.plugin(name.as_str()).await?
            && is_so(&row, &wanted)
        {
            return Ok(PluginId(row.plugin_id));
        }
        let id = self.store.register(wanted).await?;
        self.tell_others().await;
        Ok(id)
    }

    /// Tells other hosts to look at the registry.
    pub(super) async fn tell_others(&self) {
        if let Err(error) = self.store.tell_registry().await {
            tracing::debug!(%error, "other hosts are not told of the plugin; they look by themselves");
        }
    }
}

/// Why a version cannot follow the one that the registry knows: what has had runs cannot
/// prove requests, nor may what proves them be replaced by what does not.
fn other_role(row: &PluginRow, loaded: &Loaded) -> Option<String> {
    let known: Manifest = serde_json::from_str(&row.manifest).ok()?;
    let was = if known.is_verifier() {
        Role::Verifier
    } else {
        Role::Plugin
    };
    let is = loaded.role();
    (was != is).then(|| {
        let (is, was) = (is.as_str(), was.as_str());
        format!(
            "is a {is} and was a {was} before: give the file another name, or forget the {was} first"
        )
    })
}

/// What the registry is to say of a plugin, but for which version is active.
pub(super) fn described(
    name: &PluginName,
    file: &str,
    settings: &PluginConfig,
    manifest: &Manifest,
) -> RegisterPlugin {
    let triggers = triggers_in_force(settings, Some(manifest));
    let texts: Vec<TriggerText> = triggers.iter().map(TriggerText::from).collect();
    RegisterPlugin {
        name: name.to_string(),
        file: file.to_owned(),
        digest: None,
        manifest: serde_json::to_string(manifest).unwrap_or_default(),
        triggers: serde_json::to_string(&texts).unwrap_or_default(),
        blocks_on_dead: settings.on_dead == OnDead::Block,
        version: Some(manifest.version.clone()),
        is_pinned: false,
    }
}

/// Whether the registry says what it is to say: a restart then writes nothing.
pub(super) fn is_so(row: &PluginRow, wanted: &RegisterPlugin) -> bool {
    row.file == wanted.file
        && row.manifest == wanted.manifest
        && row.triggers == wanted.triggers
        && row.blocks_on_dead == wanted.blocks_on_dead
        && (wanted.digest.is_none()
            || row.digest == wanted.digest && row.is_pinned == wanted.is_pinned)
}
