//! The board: all plugins of this host as they stand at one moment. Pure; only
//! `presence` makes a new one, everybody reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::config::PluginConfig;
use crate::name::PluginName;
use crate::plugin::{Digest, Loaded, Manifest};
use crate::run::PluginId;
use crate::trigger::{Trigger, TriggerIndex};

/// How a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginState {
    /// A version runs, here or on another host.
    Active,
    /// An operator has paused it.
    Paused,
    /// No version runs: the only one wants more than it is granted.
    Held,
    /// No live host has its file.
    Missing,
    /// Its file never loaded.
    Broken,
}

/// A newer file that is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its digest, if it could be read.
    pub digest: Option<Digest>,
    /// Why it is not active.
    pub problem: String,
    /// Grants that it wants and has not.
    pub missing_grants: Vec<String>,
}

/// All that is known of one plugin on this host.
#[derive(Clone)]
pub struct Entry {
    /// Its name.
    pub name: PluginName,
    /// Its file in the plugins directory.
    pub file: String,
    /// Its number in the store, once it has one.
    pub id: Option<PluginId>,
    /// What runs.
    pub active: Option<Arc<Loaded>>,
    /// When that became active.
    pub loaded_at: Option<Timestamp>,
    /// What is newer and does not run.
    pub candidate: Option<Candidate>,
    /// What it says of itself: the active version, or the last known.
    pub manifest: Option<Manifest>,
    /// The triggers in force.
    pub triggers: Vec<Trigger>,
    /// What the operator allows and sets.
    pub settings: Arc<PluginConfig>,
    /// Whether an operator has paused it, on all hosts.
    pub is_paused: bool,
    /// The other live hosts that run its active version.
    pub elsewhere: Vec<String>,
    /// Whether its file is in the directory.
    pub(super) is_present: bool,
}

/// All plugins, as they stand at one moment.
#[derive(Clone, Default)]
pub struct Board {
    /// By name.
    pub entries: BTreeMap<PluginName, Entry>,
    /// Which plugins want an event.
    pub triggers: TriggerIndex,
    /// Whether the first scan of the directory has ended.
    pub is_ready: bool,
    names: HashMap<PluginId, PluginName>,
}

/// The board that everybody reads and only `presence` writes.
pub type SharedBoard = Arc<ArcSwap<Board>>;

impl PluginState {
    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Missing => "missing",
            Self::Broken => "broken",
        }
    }
}

impl Entry {
    /// Takes over what the registry now has of a version.
    pub(super) fn is_registered(&mut self, id: PluginId, loaded: &Loaded) {
        self.id = Some(id);
        self.triggers = triggers_in_force(&self.settings, Some(&loaded.manifest));
        self.manifest = Some(loaded.manifest.clone());
    }

    pub(super) fn new(name: PluginName, file: String, settings: PluginConfig) -> Self {
        Self {
            name,
            file,
            id: None,
            active: None,
            loaded_at: None,
            candidate: None,
            manifest: None,
            triggers: Vec::new(),
            settings: Arc::new(settings),
            is_paused: false,
            elsewhere: Vec::new(),
            is_present: false,
        }
    }

    /// Whether this host may execute runs of it now.
    pub fn can_run(&self) -> bool {
        self.active.is_some() && !self.is_paused
    }

    /// How it stands, on all hosts together.
    pub fn state(&self) -> PluginState {
        let runs_somewhere = self.active.is_some() || !self.elsewhere.is_empty();
        match &self.candidate {
            _ if runs_somewhere && self.is_paused => PluginState::Paused,
            _ if runs_somewhere => PluginState::Active,
            _ if !self.is_present => PluginState::Missing,
            Some(candidate) if candidate.missing_grants.is_empty() => PluginState::Broken,
            _ => PluginState::Held,
        }
    }
}

impl Board {
    /// The board of these plugins.
    pub(super) fn new(entries: BTreeMap<PluginName, Entry>, is_ready: bool) -> Self {
        let mut triggers = TriggerIndex::default();
        let mut names = HashMap::with_capacity(entries.len());
        for entry in entries.values() {
            if let Some(id) = entry.id {
                triggers.insert(id, &entry.triggers);
                names.insert(id, entry.name.clone());
            }
        }
        Self {
            entries,
            triggers,
            is_ready,
            names,
        }
    }

    /// The plugin with this number.
    pub fn by_id(&self, id: PluginId) -> Option<&Entry> {
        self.entries.get(self.names.get(&id)?)
    }

    /// The plugins that can take no run now.
    pub fn blocked(&self) -> Vec<PluginId> {
        self.entries
            .values()
            .filter(|entry| !entry.can_run())
            .filter_map(|entry| entry.id)
            .collect()
    }
}

/// The operator's triggers, else the manifest's.
pub(super) fn triggers_in_force(
    settings: &PluginConfig,
    manifest: Option<&Manifest>,
) -> Vec<Trigger> {
    match &settings.triggers {
        Some(triggers) => triggers.clone(),
        None => manifest
            .and_then(|manifest| manifest.triggers().ok())
            .unwrap_or_default(),
    }
}
