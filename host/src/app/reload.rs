//! Reads the configuration again when its file, or a secret's, may have changed.
//!
//! What is in the files is the truth: they are read on a notification, on SIGHUP and
//! every few seconds, and nothing happens unless what was read differs from what was
//! read before, twice in a row, so that no half-written file counts. A configuration
//! with a problem is reported and changes nothing.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Read};
use crate::ingest::Sources;

use super::certificates::Certificates;

/// Between looks without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two looks that must agree.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Looks of one reading: a file that never rests waits for the next.
const LOOKS: u32 = 50;

/// Keeps the configuration in force.
pub(super) struct Reload {
    /// What is in force; whoever follows it is told.
    in_force: watch::Sender<Arc<Config>>,
    sources: Arc<Sources>,
    certificates: Certificates,
    /// What was read last, in force or not.
    read: Result<Config, ConfigError>,
    /// Rung by notifications and by SIGHUP.
    hint: Arc<Notify>,
    watcher: Option<notify::RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// Names of the files that matter: a database may be written beside them.
    names: Arc<ArcSwap<BTreeSet<OsString>>>,
}

impl Reload {
    pub(super) fn new(
        in_force: watch::Sender<Arc<Config>>,
        sources: Arc<Sources>,
        certificates: Certificates,
        hint: Arc<Notify>,
    ) -> Self {
        let read = Ok(Config::clone(&in_force.borrow()));
        let names = Arc::<ArcSwap<BTreeSet<OsString>>>::default();
        let (rings, ours) = (Arc::clone(&hint), Arc::clone(&names));
        let ring = move |event: notify::Result<notify::Event>| {
            // Reading it is no change; else each look would lead to another.
            let Some(event) = event.ok().filter(|event| !event.kind.is_access()) else {
                return;
            };
            let mut touched = event.paths.iter().filter_map(|path| path.file_name());
            let names = ours.load();
            // Mounted secrets are swapped as a whole, by a link whose name begins so.
            let is_link = |name: &OsStr| name.as_encoded_bytes().starts_with(b"..");
            if touched.any(|name| names.contains(name) || is_link(name)) {
                rings.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(ring);
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no notifications of files; the configuration is looked at every 10 s"))
            .ok();
        Self {
            in_force,
            sources,
            certificates,
            read,
            hint,
            watcher,
            watched: BTreeSet::new(),
            names,
        }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look().await;
            tokio::select! {
                () = self.hint.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads until two readings agree, and takes over what is new.
    async fn look(&mut self) {
        let mut before = None;
        for _ in 0..LOOKS {
            let Some(read) = self.read_once().await else {
                return;
            };
            self.watch(&read.files);
            if read.config == self.read {
                return;
            }
            if before.as_ref() == Some(&read.config) {
                return self.take_over(read.config);
            }
            before = Some(read.config);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// None, if the host stops.
    async fn read_once(&self) -> Option<Read> {
        let origin = self.in_force.borrow().origin.clone();
        tokio::task::spawn_blocking(move || origin.read())
            .await
            .ok()
    }

    fn take_over(&mut self, read: Result<Config, ConfigError>) {
        self.read.clone_from(&read);
        let read = match read {
            Ok(read) => read,
            Err(ConfigError { problems }) => {
                for problem in problems {
                    tracing::error!(%problem, "the configuration has a problem; the one before it stays in force");
                }
                return;
            }
        };
        let (now, change) = self.in_force.borrow().changed_to(read);
        for key in &change.needs_restart {
            tracing::warn!(key, "the setting has changed, which needs a restart");
        }
        self.sources.replace(&now);
        self.certificates.replace(&now);
        // That nobody follows means that the host stops.
        self.in_force.send_replace(Arc::new(now));
        tracing::info!(changed = %change, "the configuration was read again");
    }

    /// Has the folders of these files watched. Of a file itself nothing would be heard
    /// any more once another is renamed over it.
    fn watch(&mut self, files: &BTreeSet<PathBuf>) {
        let folder = |file: &PathBuf| {
            let folder = file
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            folder.map_or_else(|| PathBuf::from("."), PathBuf::from)
        };
        let folders: BTreeSet<PathBuf> = files.iter().map(folder).collect();
        let names = files.iter().filter_map(|file| file.file_name());
        let names: BTreeSet<OsString> = names.map(OsStr::to_owned).collect();
        self.names.store(Arc::new(names));
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in self.watched.difference(&folders) {
            // One that is gone is not watched any more anyway.
            drop(watcher.unwatch(folder));
        }
        // Watching again is harmless, and needed after a replacement.
        self.watched = folders;
        for folder in &self.watched {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, folder = %folder.display(), "the folder cannot be watched yet");
            }
        }
    }
}
