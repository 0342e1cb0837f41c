//! The directory that plugins are dropped into: which files count, and when.
//!
//! Notifications are hints; a scan of the directory is the truth, on each hint
//! and every 30 s. A file counts once two looks 100 ms apart agree on its size
//! and time (one, if it was renamed into place), and one after it was read: so neither
//! half a copy does, nor the halves of two.
//! What a file then is, a plugin or not, is for whoever receives [`Found`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};

use crate::config::units::readable_size;

use super::{FILE_BYTES_MAX, LoadError, PluginFile};

mod look;

use look::{Look, is_plugin_file, look_at, looks};

/// Between two looks at a file that changes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Between scans without a hint.
const SCAN_EVERY: Duration = Duration::from_secs(30);
const HINTS: usize = 64;
/// Looks of one scan: a file that never rests must not hold up the others.
const LOOKS: u32 = 50;

/// What a scan found.
#[derive(Debug)]
pub enum Found {
    /// A file is new or has changed, or its signature; what is in it, or why it cannot
    /// be read.
    File(String, Result<PluginFile, LoadError>),
    /// A file is gone.
    Removed(String),
    /// The directory was looked at and everything found was reported.
    ScanEnded {
        /// Whether the directory could be read.
        is_seen: bool,
        /// Who waits for this.
        waits: Option<oneshot::Sender<()>>,
    },
}

/// Asks for a scan now.
#[derive(Clone)]
pub struct Rescan {
    hints: mpsc::Sender<Hint>,
    again: Arc<Mutex<Again>>,
}

/// Files that are to be reported again.
#[derive(Debug, Default)]
struct Again {
    files: BTreeSet<String>,
    is_all: bool,
}

/// Watches one directory.
pub struct Directory {
    path: PathBuf,
    has_signatures: bool,
    hints: mpsc::Receiver<Hint>,
    sender: mpsc::Sender<Hint>,
    /// Files as they were when they were last reported.
    reported: BTreeMap<String, Look>,
    /// Those of them that could not be read.
    unread: BTreeSet<String>,
    /// Those that are to be reported again, changed or not.
    again: Arc<Mutex<Again>>,
    watcher: Option<notify::RecommendedWatcher>,
}

enum Hint {
    /// Something happened; the file that was renamed into place, if one was.
    Changed(Option<String>),
    /// Somebody waits for a scan.
    Asked(oneshot::Sender<()>),
}

impl Rescan {
    /// Has the directory looked at, and returns when that has ended.
    pub async fn now(&self) {
        let (done, waits) = oneshot::channel();
        if self.hints.send(Hint::Asked(done)).await.is_ok() {
            // An error means that the host stops.
            drop(waits.await);
        }
    }

    /// Has files reported again as if they were new, by the next scan, which is soon.
    pub fn again(&self, files: impl IntoIterator<Item = String>) {
        locked(&self.again).files.extend(files);
        self.hint();
    }

    /// The same of all files.
    pub fn all_again(&self) {
        locked(&self.again).is_all = true;
        self.hint();
    }

    fn hint(&self) {
        // A full channel holds hints enough for a scan already.
        drop(self.hints.try_send(Hint::Changed(None)));
    }
}

impl Directory {
    /// Watches a directory, which need not exist yet; `has_signatures` if the files with
    /// signatures beside those of plugins matter.
    pub fn new(path: &Path, has_signatures: bool) -> Self {
        let (sender, hints) = mpsc::channel(HINTS);
        Self {
            path: path.to_owned(),
            has_signatures,
            hints,
            sender,
            reported: BTreeMap::new(),
            unread: BTreeSet::new(),
            again: Arc::default(),
            watcher: None,
        }
    }

    /// A handle that asks for scans.
    pub fn rescan(&self) -> Rescan {
        Rescan {
            hints: self.sender.clone(),
            again: Arc::clone(&self.again),
        }
    }

    /// Reports what is there and what changes, until nobody listens.
    pub async fn run(mut self, found: mpsc::Sender<Found>) {
        let mut asked = Vec::new();
        let mut renamed = BTreeSet::new();
        loop {
            self.watch();
            let Ok(is_seen) = self.scan(&found, &mut renamed).await else {
                return;
            };
            let waiting = std::mem::take(&mut asked).into_iter().map(Some);
            for waits in waiting.chain([None]) {
                let ended = Found::ScanEnded { is_seen, waits };
                if found.send(ended).await.is_err() {
                    return;
                }
            }
            let hint = tokio::select! {
                hint = self.hints.recv() => hint,
                () = tokio::time::sleep(SCAN_EVERY) => Some(Hint::Changed(None)),
                () = found.closed() => return,
            };
            // One scan serves every hint that has come by now.
            let more = std::iter::from_fn(|| self.hints.try_recv().ok());
            for hint in hint.into_iter().chain(more) {
                match hint {
                    Hint::Changed(name) => renamed.extend(name),
                    Hint::Asked(done) => asked.push(done),
                }
            }
        }
    }

    /// Arms the notifications, and again when the directory was replaced.
    fn watch(&mut self) {
        let sender = self.sender.clone();
        let report = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let into_place = matches!(
                event.kind,
                EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
            );
            let name = event
                .paths
                .last()
                .and_then(|path| path.file_name())
                .and_then(|name| name.to_str());
            let is_ours = name.is_some_and(is_plugin_file);
            if matches!(
                event.kind,
                EventKind::Access(
                    notify::event::AccessKind::Open(_) | notify::event::AccessKind::Read
                )
            ) {
                return;
            }
            // A full channel holds hints enough for a scan already.
            drop(sender.try_send(Hint::Changed(
                name.filter(|_| into_place && is_ours).map(str::to_owned),
            )));
        };
        if self.watcher.is_none() {
            self.watcher = notify::recommended_watcher(report)
                .inspect_err(|error| tracing::warn!(%error, "no notifications of files; the directory is scanned every 30 s"))
                .ok();
        }
        if let Some(watcher) = &mut self.watcher {
            // Watching again is harmless, and needed after a replacement.
            if let Err(error) = watcher.watch(&self.path, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, directory = %self.path.display(), "the directory cannot be watched yet");
            }
        }
    }

    /// Looks until every file was the same twice, and reports what changed; returns
    /// whether there was anything to be seen.
    async fn scan(
        &mut self,
        found: &mpsc::Sender<Found>,
        renamed: &mut BTreeSet<String>,
    ) -> Result<bool, Closed> {
        let mut before = BTreeMap::new();
        let mut is_seen = true;
        let again = std::mem::take(&mut *locked(&self.again));
        for (name, look) in &mut self.reported {
            if again.is_all || again.files.contains(name) {
                *look = Look::NONE;
            }
        }
        for _ in 0..LOOKS {
            let now = match looks(&self.path, self.has_signatures).await {
                Ok(now) => now,
                Err(error) => {
                    // That nothing can be seen does not mean that nothing is there.
                    tracing::warn!(%error, directory = %self.path.display(), "the plugins directory cannot be read");
                    is_seen = false;
                    break;
                }
            };
            let is_gone = |name: &&String| !now.contains_key(*name);
            let gone: Vec<String> = self.reported.keys().filter(is_gone).cloned().collect();
            for name in gone {
                self.reported.remove(&name);
                found.send(Found::Removed(name)).await.map_err(|_| Closed)?;
            }
            let changed = now
                .iter()
                .filter(|(name, look)| self.reported.get(*name) != Some(*look));
            let changed: Vec<(String, Look)> =
                changed.map(|(name, look)| (name.clone(), *look)).collect();
            if changed.is_empty() {
                break;
            }
            for (name, look) in changed {
                if before.get(&name) == Some(&look) || renamed.remove(&name) {
                    self.report(name, look, found).await?;
                }
            }
            before = now;
            if before
                .iter()
                .any(|(name, look)| self.reported.get(name) != Some(look))
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        // A later change of the same file is not what was renamed.
        renamed.clear();
        // What could not be read is looked at again by the next scan.
        for name in std::mem::take(&mut self.unread) {
            self.reported.insert(name, Look::NONE);
        }
        Ok(is_seen)
    }

    async fn report(
        &mut self,
        name: String,
        look: Look,
        found: &mpsc::Sender<Found>,
    ) -> Result<(), Closed> {
        let path = self.path.join(&name);
        let read = if look.bytes > FILE_BYTES_MAX {
            Err(LoadError::TooLarge(readable_size(look.bytes)))
        } else {
            match self.read(path, look).await {
                Some(read) => read,
                // Somebody is still writing: it is looked at again.
                None => return Ok(()),
            }
        };
        self.reported.insert(name.clone(), look);
        if matches!(read, Err(LoadError::Unreadable(_))) {
            self.unread.insert(name.clone());
        }
        found
            .send(Found::File(name, read))
            .await
            .map_err(|_| Closed)
    }

    /// What is in a file; nothing, if it no longer looks as it did.
    async fn read(&self, path: PathBuf, look: Look) -> Option<Result<PluginFile, LoadError>> {
        let has_signatures = self.has_signatures;
        let read = move || {
            let read = PluginFile::read(&path);
            let now = look_at(&path, has_signatures);
            (now.is_ok_and(|now| now == Some(look)), read)
        };
        let (is_same, read) = match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => (true, Err(std::io::Error::other(error))),
        };
        is_same.then(|| read.map_err(|error| LoadError::Unreadable(error.to_string())))
    }
}

/// Nobody listens any more.
struct Closed;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
