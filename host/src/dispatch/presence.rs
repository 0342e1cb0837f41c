//! Which plugins are here and may run: brings together the files of the plugins
//! directory, what the operator grants, and the store's registry.
//!
//! The directory names a plugin's candidate, the store its active version. A
//! candidate that loads and wants no more than it is granted becomes active in one
//! swap (`activation`); any other is shown with its problem while the active one keeps
//! running. What an operator asks for is done here too (`controls`), so that one task
//! alone changes the board, which is published for whoever needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::name::PluginName;
use crate::plugin::{Digest, Found, LoadError, Loaded, PluginFile, PluginHost, Rescan};
use crate::run::PluginId;
use crate::store::{PluginRow, Store, StoreError};

use super::board::{Board, Candidate, Entries, Entry, SharedBoard, triggers_in_force};
use super::shelf::Shelf;
use super::wakeup::Wakeup;

mod activation;
mod controls;
mod difference;
mod settings;

pub use controls::{ControlError, Controls};

use controls::ControlQueue;

/// Keeps the board.
pub struct Presence {
    /// What the operator allows and sets, now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Where the registry is.
    pub store: Store,
    /// What loads components.
    pub host: Arc<PluginHost>,
    /// Where versions are kept.
    pub shelf: Shelf,
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
    /// Has files looked at again.
    pub rescan: Rescan,
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
            let mut entry = Entry::new(name.clone(), row.file.clone(), self.config().plugin(&name));
            entry.is_in_registry(&row);
            entry.manifest = serde_json::from_str(&row.manifest).ok();
            entry.triggers = triggers_in_force(&entry.settings, entry.manifest.as_ref());
            entries.insert(name, Arc::new(entry));
        }
        let former = self.store.forgotten_plugins().await?;
        let former = former
            .into_iter()
            .filter_map(|(id, name)| Some((id, name.parse().ok()?)));
        let former = Arc::new(former.collect());
        Board::new(entries, former, false).publish(&self.board);
        Ok(())
    }

    /// Takes in what the directory holds and what operators ask for, until the
    /// directory says no more.
    pub async fn run(
        self,
        mut found: mpsc::Receiver<Found>,
        mut controls: ControlQueue,
        stop: CancellationToken,
    ) {
        // Files that could not be registered, for the database's sake, not theirs.
        let mut again: BTreeMap<String, PluginFile> = BTreeMap::new();
        let mut config = self.config.clone();
        let mut is_configured = true;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let one = tokio::select! {
                one = found.recv() => one,
                request = controls.next() => {
                    self.answer(request).await;
                    continue;
                }
                Ok(()) = config.changed() => {
                    is_configured = self.configured().await;
                    continue;
                }
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
                Found::File(file, Ok(content)) => {
                    again.remove(&file);
                    if self.file_changed(&file, &content).await.is_err() {
                        again.insert(file, content);
                    }
                }
                Found::File(file, Err(error)) => self.refused(&file, None, &error).await,
                Found::Removed(file) => {
                    again.remove(&file);
                    self.removed(&file);
                }
                Found::ScanEnded { is_seen, waits } => {
                    for (file, content) in std::mem::take(&mut again) {
                        if self.file_changed(&file, &content).await.is_err() {
                            again.insert(file, content);
                        }
                    }
                    if !is_configured {
                        is_configured = self.configured().await;
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

    async fn file_changed(&self, file: &str, content: &PluginFile) -> Result<(), StoreError> {
        let names = self.names_of(file);
        if names.is_empty() {
            tracing::warn!(
                file,
                "the file's name without `.wasm` is not a plugin name (`a-z0-9_-`); it is ignored"
            );
            return Ok(());
        }
        let digest = content.digest;
        if let Err(error) = self.host.check_signature(content).await {
            self.refused(file, Some(digest), &error.into()).await;
            return Ok(());
        }
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
        let loaded = match self.loaded_before(digest) {
            Some(loaded) => Ok(loaded),
            None => {
                let loaded = self.host.load(content).await;
                self.metrics.plugin_loaded(loaded.is_ok());
                loaded.map(Arc::new)
            }
        };
        match loaded {
            Ok(loaded) => {
                let mut registered = Ok(());
                for name in names {
                    if let Err(error) = self.loaded(&name, file, &loaded, content).await {
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

    /// A version that runs here already, under whatever name.
    fn loaded_before(&self, digest: Digest) -> Option<Arc<Loaded>> {
        let board = self.board.load();
        let mut active = board
            .entries
            .values()
            .filter_map(|entry| entry.active.as_ref());
        active.find(|active| active.digest == digest).cloned()
    }

    /// A file did not load: what ran keeps running; at start, the version that
    /// the store calls active is loaded from the data directory.
    async fn refused(&self, file: &str, digest: Option<Digest>, error: &LoadError) {
        for name in self.names_of(file) {
            tracing::warn!(plugin = %name, file, %error, "the file is not a plugin that can run; what ran keeps running");
            if self.active(&name).is_none()
                && let Err(error) = self.activate_registered(&name, file).await
            {
                tracing::error!(plugin = %name, %error, "it cannot be said which version was active");
            }
            let candidate = Candidate::broken(digest, error.to_string());
            self.change(&name, file, |entry| entry.candidate = Some(candidate));
        }
    }

    /// The registry could not be written; the file is tried again after each scan.
    fn not_registered(&self, name: &PluginName, file: &str, digest: Digest, error: &StoreError) {
        tracing::error!(plugin = %name, %error, "the plugin cannot be registered; what ran keeps running");
        self.change(name, file, |entry| {
            let problem = "the registry could not be written; it is tried again".to_owned();
            entry.candidate = Some(Candidate::waiting(digest, problem));
        });
    }

    fn active(&self, name: &PluginName) -> Option<Arc<Loaded>> {
        self.board.load().entries.get(name)?.active.clone()
    }

    fn removed(&self, file: &str) {
        for name in self.names_of(file) {
            tracing::warn!(plugin = %name, file, "the plugin's file is gone; its runs wait until it is back");
            self.change(&name, file, Entry::lost_its_file);
        }
    }

    fn scan_ended(&self) {
        let board = self.board.load();
        if !board.is_ready {
            let ready = Board::new(board.entries.clone(), board.former(), true);
            ready.publish(&self.board);
        }
    }

    /// The plugins that a file is: the tables that name it, else its stem.
    fn names_of(&self, file: &str) -> BTreeSet<PluginName> {
        let plugins = &self.config().plugins;
        let named = plugins
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
        let is_free =
            |name: &PluginName| plugins.get(name).is_none_or(|plugin| plugin.file.is_none());
        stem.into_iter().filter(is_free).collect()
    }

    /// What the operator allows and sets, now.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    fn change(&self, name: &PluginName, file: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.board.load().entries.clone();
        let new = || {
            Arc::new(Entry::new(
                name.clone(),
                file.to_owned(),
                self.config().plugin(name),
            ))
        };
        let entry = Arc::make_mut(entries.entry(name.clone()).or_insert_with(new));
        file.clone_into(&mut entry.file);
        entry.is_present = true;
        change(entry);
        // Nothing is known of a file that never loaded and is gone.
        if !entry.is_present && entry.id.is_none() {
            entries.remove(name);
        }
        self.publish(entries);
    }

    pub(super) fn publish(&self, entries: Entries) {
        let able = entries.values().filter(|entry| entry.active.is_some());
        let able: Vec<PluginId> = able.filter_map(|entry| entry.id).collect();
        let board = self.board.load();
        let board = Board::new(entries, board.former(), board.is_ready);
        board.publish(&self.board);
        self.wakeup.changed(&able);
    }
}

impl Entry {
    /// Nothing runs, and nothing is a candidate.
    fn lost_its_file(&mut self) {
        self.is_present = false;
        self.active = None;
        self.candidate = None;
    }

    /// Takes over what the registry says beside the version and its triggers.
    pub(super) fn is_in_registry(&mut self, row: &PluginRow) {
        self.id = Some(PluginId(row.plugin_id));
        self.is_paused = row.is_paused;
        self.is_pinned = row.is_pinned;
        self.resumed_ms = row.resumed_ms;
        self.registered = row.digest.as_deref().and_then(|text| text.parse().ok());
    }
}
