//! Which plugins are here and may run: brings together the files of the plugins
//! directory, what the operator grants, and the store's registry.
//!
//! The directory names a plugin's candidate, the store its active version. A
//! candidate that loads and wants no more than it is granted becomes active in
//! one swap; any other is shown with its problem while the active one keeps
//! running. A board of all this is published for whoever needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::name::PluginName;
use crate::plugin::{Digest, Found, LoadError, Loaded, PluginHost, TriggerText};
use crate::retry::OnDead;
use crate::run::PluginId;
use crate::store::{RegisterPlugin, Store, StoreError};

use super::board::{Board, Candidate, Entry, SharedBoard, triggers_in_force};
use super::shelf::Shelf;
use super::wakeup::Wakeup;

/// Keeps the board.
pub struct Presence {
    /// What the operator allows and sets.
    pub config: Arc<Config>,
    /// Where the registry is.
    pub store: Store,
    /// What loads components.
    pub host: Arc<PluginHost>,
    /// What it keeps.
    pub board: SharedBoard,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Rung after every change: a plugin that is new here may have runs waiting.
    pub wakeup: Arc<Wakeup>,
    /// Rung when the registry has changed by somebody else's hand.
    pub registry_changed: Arc<Notify>,
}

/// Between looks at the registry that other hosts write too.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Presence {
    /// Reads the registry, so that known plugins have their triggers from the
    /// first moment, whether or not their file is found.
    ///
    /// # Errors
    /// [`StoreError`] if the registry cannot be read.
    pub async fn read_registry(&self) -> Result<(), StoreError> {
        let mut entries = BTreeMap::new();
        for row in self.store.plugins().await? {
            let Ok(name) = row.name.parse::<PluginName>() else {
                continue;
            };
            let mut entry = Entry::new(name.clone(), row.file, self.config.plugin(&name));
            entry.id = Some(PluginId(row.plugin_id));
            entry.manifest = serde_json::from_str(&row.manifest).ok();
            entry.triggers = triggers_in_force(&entry.settings, entry.manifest.as_ref());
            entry.is_paused = row.is_paused;
            entries.insert(name, entry);
        }
        self.publish(entries, false);
        Ok(())
    }

    /// Takes in what the directory holds, until it says no more.
    pub async fn run(self, mut found: mpsc::Receiver<Found>, stop: CancellationToken) {
        // Files that could not be registered, for the database's sake, not theirs.
        let mut again: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let one = tokio::select! {
                one = found.recv() => one,
                () = self.registry_changed.notified() => {
                    self.read_again().await;
                    continue;
                }
                _ = look.tick(), if self.store.is_shared() => {
                    self.read_again().await;
                    continue;
                }
            };
            let Some(one) = one else { return };
            // What else was found need not be loaded any more.
            if stop.is_cancelled() {
                return;
            }
            match one {
                Found::File(file, Ok(bytes)) => {
                    again.remove(&file);
                    if self.file_changed(&file, &bytes).await.is_err() {
                        again.insert(file, bytes);
                    }
                }
                Found::File(file, Err(error)) => self.refused(&file, None, &error).await,
                Found::Removed(file) => {
                    again.remove(&file);
                    self.removed(&file);
                }
                Found::ScanEnded { is_seen, waits } => {
                    for (file, bytes) in std::mem::take(&mut again) {
                        if self.file_changed(&file, &bytes).await.is_err() {
                            again.insert(file, bytes);
                        }
                    }
                    if is_seen {
                        self.scan_ended();
                    }
                    if waits.is_some_and(|waits| waits.send(()).is_err()) {
                        tracing::trace!("nobody waits for the scan any more");
                    }
                }
            }
        }
    }

    async fn file_changed(&self, file: &str, bytes: &Arc<[u8]>) -> Result<(), StoreError> {
        let names = self.names_of(file);
        if names.is_empty() {
            tracing::warn!(
                file,
                "the file's name without `.wasm` is not a plugin name (`a-z0-9_-`); it is ignored"
            );
            return Ok(());
        }
        let digest = Digest::of(bytes);
        let is_running = |name: &PluginName| {
            self.active(name)
                .is_some_and(|active| active.digest == digest)
        };
        if names.iter().all(is_running) {
            // Touched, or a candidate was taken back: what runs is what is here.
            for name in names {
                self.change(&name, file, |entry| entry.candidate = None);
            }
            return Ok(());
        }
        let loaded = self.host.load(Arc::clone(bytes)).await;
        self.metrics.plugin_loaded(loaded.is_ok());
        match loaded {
            Ok(loaded) => {
                let loaded = Arc::new(loaded);
                let mut registered = Ok(());
                for name in names {
                    if let Err(error) = self.loaded(&name, file, &loaded, bytes).await {
                        self.not_registered(&name, file, digest, &error);
                        registered = Err(error);
                    }
                }
                registered
            }
            Err(error) => {
                self.refused(file, Some(digest), &error).await;
                Ok(())
            }
        }
    }

    /// A version has loaded: activate it, or keep it as a candidate for what it
    /// lacks.
    async fn loaded(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Arc<Loaded>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let settings = self.config.plugin(name);
        let missing_grants = loaded.manifest.missing_grants(&settings);
        let problem = if missing_grants.is_empty() {
            match loaded.exceeds(&settings.limits) {
                None => self.is_older(name, loaded.digest).await?,
                problem => problem,
            }
        } else {
            Some(format!("wants {}", missing_grants.join(", ")))
        };
        if let Some(problem) = problem {
            tracing::warn!(plugin = %name, digest = %loaded.digest, problem, "the version is a candidate; what ran keeps running");
            let is_held = !missing_grants.is_empty();
            if self.active(name).is_none() && !self.activate_kept(name, file).await? && is_held {
                // Without an active version its triggers hold anyway: its runs wait.
                let id = self.register(name, file, loaded, None).await?;
                self.change(name, file, |entry| entry.is_registered(id, loaded));
            }
            self.change(name, file, |entry| {
                entry.candidate = Some(Candidate {
                    digest: Some(loaded.digest),
                    problem,
                    missing_grants,
                });
            });
            return Ok(());
        }
        if let Err(error) = self.shelf().put(loaded.digest, bytes).await {
            // It can run all the same; only a later rollback cannot have it.
            tracing::warn!(plugin = %name, %error, "the version cannot be kept in the data directory");
        }
        let id = self
            .register(name, file, loaded, Some(loaded.digest))
            .await?;
        tracing::info!(plugin = %name, digest = %loaded.digest, version = %loaded.manifest.version, "the plugin is active");
        let now = self.clock.now();
        self.change(name, file, |entry| {
            entry.is_registered(id, loaded);
            entry.active = Some(Arc::clone(loaded));
            entry.loaded_at = Some(now);
            entry.candidate = None;
        });
        Ok(())
    }

    /// A file did not load: what ran keeps running; at start, the version that
    /// the store calls active is loaded from the data directory.
    async fn refused(&self, file: &str, digest: Option<Digest>, error: &LoadError) {
        for name in self.names_of(file) {
            tracing::warn!(plugin = %name, file, %error, "the file is not a plugin that can run; what ran keeps running");
            if self.active(&name).is_none()
                && let Err(error) = self.activate_kept(&name, file).await
            {
                tracing::error!(plugin = %name, %error, "it cannot be said which version was active");
            }
            let problem = error.to_string();
            self.change(&name, file, |entry| {
                entry.candidate = Some(Candidate {
                    digest,
                    problem,
                    missing_grants: Vec::new(),
                });
            });
        }
    }

    /// The registry could not be written; the file is tried again after each scan.
    fn not_registered(&self, name: &PluginName, file: &str, digest: Digest, error: &StoreError) {
        tracing::error!(plugin = %name, %error, "the plugin cannot be registered; what ran keeps running");
        self.change(name, file, |entry| {
            let problem = "the registry could not be written; it is tried again".to_owned();
            entry.candidate = Some(Candidate {
                digest: Some(digest),
                problem,
                missing_grants: Vec::new(),
            });
        });
    }

    fn active(&self, name: &PluginName) -> Option<Arc<Loaded>> {
        self.board.load().entries.get(name)?.active.clone()
    }

    /// Whether a version that is found at start has been replaced since: while other
    /// hosts run a newer one, a host that comes back does not take them back.
    async fn is_older(
        &self,
        name: &PluginName,
        digest: Digest,
    ) -> Result<Option<String>, StoreError> {
        if self.board.load().is_ready || !self.store.is_shared() {
            return Ok(None);
        }
        let rows = self.store.plugins().await?;
        let row = rows.into_iter().find(|row| row.name == name.as_str());
        let Some((row, active)) = row.and_then(|row| Some((row.plugin_id, row.digest?))) else {
            return Ok(None);
        };
        let digest = digest.to_string();
        let epoch = self.store.epoch().0;
        let others = self.store.live_hosts().await?;
        if digest == active
            || others.iter().all(|host| host.epoch == epoch)
            || !self.store.knows_digest(PluginId(row), &digest).await?
        {
            return Ok(None);
        }
        Ok(Some(format!(
            "is a version that was replaced by {active}, which other hosts run"
        )))
    }

    /// Activates the version that the store calls active from where it is kept;
    /// returns whether there is one.
    async fn activate_kept(&self, name: &PluginName, file: &str) -> Result<bool, StoreError> {
        let rows = self.store.plugins().await?;
        let row = rows.into_iter().find(|row| row.name == name.as_str());
        let digest = row.and_then(|row| row.digest?.parse().ok());
        let Some(loaded) = self.kept(name, digest).await else {
            return Ok(false);
        };
        tracing::info!(plugin = %name, digest = %loaded.digest, "the version that was active runs, from the data directory");
        let now = self.clock.now();
        self.change(name, file, |entry| {
            entry.active = Some(Arc::new(loaded));
            entry.loaded_at = Some(now);
        });
        Ok(true)
    }

    /// A version, if it is kept here and may run.
    pub(super) async fn kept(&self, name: &PluginName, digest: Option<Digest>) -> Option<Loaded> {
        let bytes = self.shelf().get(digest?).await?;
        let loaded = self.host.load(bytes).await.ok()?;
        let settings = self.config.plugin(name);
        let is_allowed = loaded.manifest.missing_grants(&settings).is_empty()
            && loaded.exceeds(&settings.limits).is_none();
        is_allowed.then_some(loaded)
    }

    fn removed(&self, file: &str) {
        for name in self.names_of(file) {
            tracing::warn!(plugin = %name, file, "the plugin's file is gone; its runs wait until it is back");
            self.change(&name, file, |entry| {
                entry.is_present = false;
                entry.active = None;
                entry.candidate = None;
            });
        }
    }

    fn scan_ended(&self) {
        let board = self.board.load();
        if !board.is_ready {
            self.publish(board.entries.clone(), true);
        }
    }

    async fn register(
        &self,
        name: &PluginName,
        file: &str,
        loaded: &Loaded,
        digest: Option<Digest>,
    ) -> Result<PluginId, StoreError> {
        let settings = self.config.plugin(name);
        let triggers = triggers_in_force(&settings, Some(&loaded.manifest));
        let texts: Vec<TriggerText> = triggers.iter().map(TriggerText::from).collect();
        let row = RegisterPlugin {
            name: name.to_string(),
            file: file.to_owned(),
            digest: digest.map(|digest| digest.to_string()),
            manifest: serde_json::to_string(&loaded.manifest).unwrap_or_default(),
            triggers: serde_json::to_string(&texts).unwrap_or_default(),
            blocks_on_dead: settings.on_dead == OnDead::Block,
        };
        let id = self.store.register(row).await?;
        if let Err(error) = self.store.tell_registry().await {
            tracing::debug!(%error, "other hosts are not told of the plugin; they look by themselves");
        }
        Ok(id)
    }

    /// The plugins that a file is: the tables that name it, else its stem.
    fn names_of(&self, file: &str) -> BTreeSet<PluginName> {
        let named = self
            .config
            .plugins
            .iter()
            .filter(|(_, plugin)| plugin.file.as_deref() == Some(file));
        let named: BTreeSet<PluginName> = named.map(|(name, _)| name.clone()).collect();
        if !named.is_empty() {
            return named;
        }
        let stem = file
            .strip_suffix(".wasm")
            .and_then(|stem| stem.parse::<PluginName>().ok());
        // A table may give this name another file.
        let is_free = |name: &PluginName| {
            self.config
                .plugins
                .get(name)
                .is_none_or(|plugin| plugin.file.is_none())
        };
        stem.into_iter().filter(is_free).collect()
    }

    fn change(&self, name: &PluginName, file: &str, change: impl FnOnce(&mut Entry)) {
        let board = self.board.load();
        let mut entries = board.entries.clone();
        let entry = entries
            .entry(name.clone())
            .or_insert_with(|| Entry::new(name.clone(), file.to_owned(), self.config.plugin(name)));
        file.clone_into(&mut entry.file);
        entry.is_present = true;
        change(entry);
        // Nothing is known of a file that never loaded and is gone.
        if !entry.is_present && entry.id.is_none() {
            entries.remove(name);
        }
        self.publish(entries, board.is_ready);
    }

    pub(super) fn publish(&self, entries: BTreeMap<PluginName, Entry>, is_ready: bool) {
        let able = entries.values().filter(|entry| entry.active.is_some());
        let able: Vec<PluginId> = able.filter_map(|entry| entry.id).collect();
        self.board.store(Arc::new(Board::new(entries, is_ready)));
        self.wakeup.ring(&able);
    }

    /// Where versions are kept.
    fn shelf(&self) -> Shelf {
        Shelf::new(self.config.data_dir.join("digests"))
    }
}
