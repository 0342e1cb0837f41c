//! What an operator asks of a plugin: another of its versions, the file on disk again,
//! or to be rid of it.
//!
//! Requests come by a queue to the one task that changes the board, and are answered
//! when they are done.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::name::PluginName;
use crate::plugin::{Digest, Loaded};
use crate::run::PluginId;
use crate::store::{Forgot, OperationId, StoreError, VersionRow};

use super::super::board::{Board, Candidate, Entry};
use super::Presence;

/// Requests that may wait.
const WAITING: usize = 16;

/// Asks; a handle.
#[derive(Clone)]
pub struct Controls(mpsc::Sender<Request>);

/// Where requests come out.
pub struct ControlQueue(mpsc::Receiver<Request>);

/// Why a plugin does not do what an operator asks.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(PluginName),
    /// It has never been active in this version.
    #[error("there is no version `{0}` of the plugin")]
    UnknownVersion(Digest),
    /// It cannot be done as things stand.
    #[error("{0}")]
    NotNow(String),
    /// The registry cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

type Answer<T> = oneshot::Sender<Result<T, ControlError>>;

pub(super) enum Request {
    RollBack(PluginName, Option<Digest>, Answer<Digest>),
    Unpin(PluginName, Answer<String>),
    /// With the token that asks for it.
    Forget(PluginName, Arc<str>, Answer<OperationId>),
}

impl Controls {
    /// A handle, and the queue that it fills.
    pub fn new() -> (Self, ControlQueue) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), ControlQueue(receiver))
    }

    /// Makes a version active that the plugin has had, the one before the active one
    /// if none is named, and pins it; returns which.
    ///
    /// # Errors
    /// [`ControlError`] says why nothing was changed.
    pub async fn roll_back(
        &self,
        plugin: PluginName,
        to: Option<Digest>,
    ) -> Result<Digest, ControlError> {
        self.ask(|answer| Request::RollBack(plugin, to, answer))
            .await
    }

    /// Lets the file on disk replace the active version again; returns its name, for a
    /// new look at it.
    ///
    /// # Errors
    /// [`ControlError`] says why nothing was changed.
    pub async fn unpin(&self, plugin: PluginName) -> Result<String, ControlError> {
        self.ask(|answer| Request::Unpin(plugin, answer)).await
    }

    /// Takes away a plugin whose file is gone, as the token of this name asks; returns what
    /// ends its runs.
    ///
    /// # Errors
    /// [`ControlError`] says why nothing was changed.
    pub async fn forget(
        &self,
        plugin: PluginName,
        token: Arc<str>,
    ) -> Result<OperationId, ControlError> {
        self.ask(|answer| Request::Forget(plugin, token, answer))
            .await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ControlError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(request(answer)).await;
        sent.map_err(|_| ControlError::Stopping)?;
        answered.await.map_err(|_| ControlError::Stopping)?
    }
}

impl ControlQueue {
    /// The next request; never, when nobody can ask any more.
    pub(super) async fn next(&mut self) -> Request {
        match self.0.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

impl Presence {
    pub(super) async fn answer(&self, request: Request) {
        let is_heard = match request {
            Request::RollBack(plugin, to, answer) => {
                answer.send(self.roll_back(&plugin, to).await).is_ok()
            }
            Request::Unpin(plugin, answer) => answer.send(self.unpin(&plugin).await).is_ok(),
            Request::Forget(plugin, token, answer) => {
                answer.send(self.forget(&plugin, &token).await).is_ok()
            }
        };
        if !is_heard {
            tracing::debug!("an operator did not wait for an answer");
        }
    }

    async fn roll_back(
        &self,
        name: &PluginName,
        to: Option<Digest>,
    ) -> Result<Digest, ControlError> {
        let (entry, id) = self.known(name)?;
        if !entry.is_present {
            let file = &entry.file;
            return Err(ControlError::NotNow(format!(
                "the file `{file}` of the plugin is gone; its runs wait until one is there"
            )));
        }
        let row = self.store.plugin(name.as_str()).await?;
        let active = row.and_then(|row| row.digest);
        let versions = self.store.versions(id).await?;
        let to = chosen(&versions, active.as_deref(), to)?;
        let loaded = self.version(name, to).await?;
        // Of a file that is that version nothing is waiting.
        let on_disk = entry.on_disk().filter(|on_disk| *on_disk != to);
        let candidate = on_disk.map(|on_disk| {
            let problem =
                format!("is not active: the plugin is pinned to {to} until it is unpinned");
            Candidate::waiting(on_disk, problem)
        });
        self.activate(name, &entry.file, &loaded, true, candidate)
            .await?;
        Ok(to)
    }

    /// A version that is kept here and may run, or why there is none.
    async fn version(&self, name: &PluginName, to: Digest) -> Result<Arc<Loaded>, ControlError> {
        let not_now = |why: String| ControlError::NotNow(format!("version `{to}` {why}"));
        let Some(kept) = self.shelf.get(to).await else {
            let why = "is not kept in this host's data directory".to_owned();
            return Err(not_now(why));
        };
        let loaded = match self.loaded_before(to) {
            Some(loaded) => loaded,
            None => {
                let loaded = self.host.load(&kept).await;
                Arc::new(loaded.map_err(|error| not_now(format!("does not load: {error}")))?)
            }
        };
        match self.not_allowed(name, &loaded) {
            Some(candidate) => Err(not_now(format!("cannot run: it {}", candidate.problem))),
            None => Ok(loaded),
        }
    }

    async fn unpin(&self, name: &PluginName) -> Result<String, ControlError> {
        let (entry, id) = self.known(name)?;
        if !self.store.unpin(id).await? {
            return Err(ControlError::NotNow("the plugin is not pinned".to_owned()));
        }
        tracing::info!(plugin = %name, "the plugin is unpinned; the file on disk may run again");
        let mut entries = self.board.load().entries.clone();
        if let Some(entry) = entries.get_mut(name) {
            Arc::make_mut(entry).is_pinned = false;
        }
        self.publish(entries);
        self.tell_others().await;
        Ok(entry.file.clone())
    }

    async fn forget(&self, name: &PluginName, token: &str) -> Result<OperationId, ControlError> {
        let (entry, id) = self.known(name)?;
        if entry.is_present {
            let file = &entry.file;
            return Err(ControlError::NotNow(format!(
                "the plugin's file `{file}` is in the plugins directory; remove it first"
            )));
        }
        let operation = match self.store.forget_plugin(id, Some(token)).await? {
            Forgot::Begun(operation) => operation,
            Forgot::Unknown => return Err(ControlError::UnknownPlugin(name.clone())),
            Forgot::IsAt(hosts) => {
                let hosts = hosts.join(", ");
                return Err(ControlError::NotNow(format!(
                    "the plugin's file is still on {hosts}; remove it there first"
                )));
            }
        };
        tracing::info!(plugin = %name, operation = operation.0, "the plugin is forgotten; its unfinished runs are cancelled");
        self.is_forgotten(std::slice::from_ref(name));
        self.tell_others().await;
        Ok(operation)
    }

    /// Takes plugins off the board, but for their names.
    pub(in crate::dispatch) fn is_forgotten(&self, names: &[PluginName]) {
        let board = self.board.load();
        let (mut entries, mut former) = (board.entries.clone(), board.former());
        for name in names {
            if let Some(id) = entries.remove(name).and_then(|entry| entry.id) {
                Arc::make_mut(&mut former).insert(id, name.clone());
            }
        }
        Board::new(entries, former, board.is_ready).publish(&self.board);
    }

    /// A plugin that the registry knows.
    fn known(&self, name: &PluginName) -> Result<(Arc<Entry>, PluginId), ControlError> {
        let entry = self.board.load().entries.get(name).cloned();
        let entry = entry.ok_or_else(|| ControlError::UnknownPlugin(name.clone()))?;
        match entry.id {
            Some(id) => Ok((entry, id)),
            None => Err(ControlError::NotNow(
                "the plugin has never been active".to_owned(),
            )),
        }
    }
}

/// The version to go back to, if it or any is known.
fn chosen(
    versions: &[VersionRow],
    active: Option<&str>,
    to: Option<Digest>,
) -> Result<Digest, ControlError> {
    if let Some(to) = to {
        let text = to.to_string();
        let is_known = versions.iter().any(|version| version.digest == text);
        return is_known
            .then_some(to)
            .ok_or(ControlError::UnknownVersion(to));
    }
    let before = versions
        .iter()
        .find(|version| Some(version.digest.as_str()) != active);
    before
        .and_then(|version| version.digest.parse().ok())
        .ok_or_else(|| {
            let why = "there is nothing to roll back to: the plugin has had no other version";
            ControlError::NotNow(why.to_owned())
        })
}
