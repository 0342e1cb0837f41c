//! The board: all plugins of this host as they stand at one moment. Pure; only
//! `presence` makes a new one, everybody reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::config::PluginConfig;
use crate::name::PluginName;
use crate::plugin::{Digest, Loaded, Manifest};
use crate::run::PluginId;
use crate::trigger::{Trigger, TriggerIndex};

use super::breaker::{Allowance, Breaker, Trip};

/// How a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginState {
    /// A version runs, here or on another host.
    Active,
    /// An operator has paused it.
    Paused,
    /// Its version failed again and again on this host; its runs wait.
    Tripped,
    /// No version runs: the only one wants more than it is granted.
    Held,
    /// No live host has its file.
    Missing,
    /// Its file never loaded.
    Broken,
}

/// A file that is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its digest, if it could be read.
    pub digest: Option<Digest>,
    /// Why it is not active.
    pub problem: String,
    /// Grants that it wants and has not.
    pub missing_grants: Vec<String>,
    /// Whether it is nothing that could run, whatever an operator grants.
    pub is_broken: bool,
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
    /// Whether no known version may replace the active one.
    pub is_pinned: bool,
    /// The version that the registry calls active, as it was last read.
    pub(super) registered: Option<Digest>,
    /// The other live hosts that run its active version.
    pub elsewhere: Vec<String>,
    /// Whether the active version may be tried here.
    pub breaker: Arc<Breaker>,
    /// Of which version that is.
    breaker_of: Option<Digest>,
    /// When an operator last resumed it, as the registry says.
    pub(super) resumed_ms: i64,
    /// Whether its file is in the directory.
    pub(super) is_present: bool,
}

/// All plugins, as they stand at one moment.
#[derive(Clone, Default)]
pub struct Board {
    /// By name.
    pub entries: BTreeMap<PluginName, Arc<Entry>>,
    /// Which plugins want an event. Whoever matches one against it holds it until the event
    /// is stored.
    pub triggers: Arc<TriggerIndex>,
    /// Whether the first scan of the directory has ended.
    pub is_ready: bool,
    names: HashMap<PluginId, PluginName>,
    former: Former,
    /// The triggers of boards before this one, each with the plugins that it knew; they are
    /// gone once nobody holds them.
    earlier: Vec<(BTreeSet<PluginId>, Weak<TriggerIndex>)>,
}

/// Plugins by name.
pub(super) type Entries = BTreeMap<PluginName, Arc<Entry>>;

/// Plugins that were forgotten: their names are needed for their history.
pub(super) type Former = Arc<BTreeMap<PluginId, PluginName>>;

/// The board that everybody reads and only `presence` writes.
pub type SharedBoard = Arc<ArcSwap<Board>>;

impl PluginState {
    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Tripped => "tripped",
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
            is_pinned: false,
            registered: None,
            elsewhere: Vec::new(),
            breaker: Arc::default(),
            breaker_of: None,
            resumed_ms: 0,
            is_present: false,
        }
    }

    /// Takes over what the operator allows and sets.
    pub(super) fn configure(&mut self, settings: PluginConfig) {
        self.triggers = triggers_in_force(&settings, self.manifest.as_ref());
        self.settings = Arc::new(settings);
    }

    /// Takes a version to run from now on. A breaker says nothing of another version.
    pub(super) fn runs(&mut self, loaded: Arc<Loaded>, now: Timestamp) {
        if self.breaker_of != Some(loaded.digest) {
            self.breaker_of = Some(loaded.digest);
            self.breaker = Arc::default();
        }
        self.active = Some(loaded);
        self.loaded_at = Some(now);
    }

    /// How many of its runs this host may execute now.
    pub(super) fn allowance(&self, now: Timestamp) -> Allowance {
        if self.active.is_none() || self.is_paused {
            return Allowance::None;
        }
        self.breaker.allowance(now)
    }

    /// Whether this host may execute runs of it now.
    pub fn can_run(&self, now: Timestamp) -> bool {
        self.allowance(now) != Allowance::None
    }

    /// Why the active version is left alone on this host, if it is.
    pub fn trip(&self) -> Option<Trip> {
        self.active.as_ref().and_then(|_| self.breaker.trip())
    }

    /// How it stands, on all hosts together.
    pub fn state(&self) -> PluginState {
        let runs_somewhere = self.active.is_some() || !self.elsewhere.is_empty();
        match &self.candidate {
            _ if runs_somewhere && self.is_paused => PluginState::Paused,
            _ if self.trip().is_some() => PluginState::Tripped,
            _ if runs_somewhere => PluginState::Active,
            _ if !self.is_present => PluginState::Missing,
            Some(candidate) if candidate.is_broken => PluginState::Broken,
            _ => PluginState::Held,
        }
    }

    /// The version in the plugins directory, as far as it is known.
    pub(super) fn on_disk(&self) -> Option<Digest> {
        match &self.candidate {
            Some(candidate) => candidate.digest,
            None => self.active.as_ref().map(|active| active.digest),
        }
    }
}

impl Candidate {
    /// A version that could run, but for this.
    pub(super) fn waiting(digest: Digest, problem: String) -> Self {
        Self {
            digest: Some(digest),
            problem,
            missing_grants: Vec::new(),
            is_broken: false,
        }
    }

    /// A version that wants more than it is granted.
    pub(super) fn held(digest: Digest, missing_grants: Vec<String>) -> Self {
        Self {
            problem: format!("wants {}", missing_grants.join(", ")),
            missing_grants,
            ..Self::waiting(digest, String::new())
        }
    }

    /// What cannot run.
    pub(super) fn broken(digest: Option<Digest>, problem: String) -> Self {
        Self {
            digest,
            problem,
            missing_grants: Vec::new(),
            is_broken: true,
        }
    }
}

impl Board {
    /// The board of these plugins.
    pub(super) fn new(entries: Entries, former: Former, is_ready: bool) -> Self {
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
            triggers: Arc::new(triggers),
            is_ready,
            names,
            former,
            earlier: Vec::new(),
        }
    }

    /// Takes the place of the board that everybody reads. To be called by one task only.
    pub(super) fn publish(self, shared: &SharedBoard) {
        let before = shared.load_full();
        let mut earlier = before.earlier.clone();
        earlier.push((before.known(), Arc::downgrade(&before.triggers)));
        earlier.retain(|(_, triggers)| triggers.strong_count() > 0);
        shared.store(Arc::new(Self { earlier, ..self }));
    }

    /// The plugins that every event was matched against which is not stored yet, and is from
    /// now on: one that was received without one of them is stored, or never will be.
    pub fn knows(&self) -> BTreeSet<PluginId> {
        let mut known = self.known();
        for (before, triggers) in &self.earlier {
            if triggers.strong_count() > 0 {
                known.retain(|plugin| before.contains(plugin));
            }
        }
        known
    }

    /// The plugins that have been active: of others the triggers are not known everywhere.
    fn known(&self) -> BTreeSet<PluginId> {
        let active = self
            .entries
            .values()
            .filter(|entry| entry.registered.is_some());
        active.filter_map(|entry| entry.id).collect()
    }

    /// The plugin with this number.
    pub fn by_id(&self, id: PluginId) -> Option<&Entry> {
        self.entries.get(self.names.get(&id)?).map(Arc::as_ref)
    }

    /// The name of the plugin with this number, also of one that is forgotten.
    pub fn name_of(&self, id: PluginId) -> Option<&PluginName> {
        self.names.get(&id).or_else(|| self.former.get(&id))
    }

    /// The number of the plugin with this name, else of the last one of this name that
    /// is forgotten.
    pub fn id_of(&self, name: &PluginName) -> Option<PluginId> {
        let former = || self.former.iter().rev().find(|(_, was)| *was == name);
        let present = self.entries.get(name).and_then(|entry| entry.id);
        present.or_else(|| former().map(|(id, _)| *id))
    }

    /// The plugins that can take no run now.
    pub fn blocked(&self, now: Timestamp) -> Vec<PluginId> {
        let cannot = self.entries.values().filter(|entry| !entry.can_run(now));
        let cannot = cannot.filter_map(|entry| entry.id);
        cannot.chain(self.former.keys().copied()).collect()
    }

    pub(super) fn former(&self) -> Former {
        Arc::clone(&self.former)
    }
}

/// The operator's triggers, else the manifest's; none of a verifier, which gets no events.
pub(super) fn triggers_in_force(
    settings: &PluginConfig,
    manifest: Option<&Manifest>,
) -> Vec<Trigger> {
    if manifest.is_some_and(Manifest::is_verifier) {
        return Vec::new();
    }
    match &settings.triggers {
        Some(triggers) => triggers.clone(),
        None => manifest
            .and_then(|manifest| manifest.triggers().ok())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Arc, Board, Digest, Entries, Entry, Former, PluginConfig, PluginId, PluginName, SharedBoard,
    };
    use crate::config::Maxima;

    /// A board of so many plugins that are active, and one that is held.
    fn with_plugins(count: i64) -> Board {
        let mut entries = Entries::new();
        for n in 0..=count {
            let name: PluginName = format!("p{n}").parse().unwrap();
            let settings = PluginConfig::unmentioned(&Maxima::default());
            let mut entry = Entry::new(name.clone(), String::new(), settings);
            entry.id = Some(PluginId(n));
            entry.registered = (n > 0).then(|| Digest::of(b"a"));
            entries.insert(name, Arc::new(entry));
        }
        Board::new(entries, Former::default(), true)
    }

    #[test]
    fn a_plugin_is_known_once_nothing_is_in_hand_that_was_matched_without_it() {
        let shared = SharedBoard::default();
        let knows = || -> Vec<i64> {
            let known = shared.load_full().knows();
            known.into_iter().map(|plugin| plugin.0).collect()
        };
        with_plugins(1).publish(&shared);
        assert_eq!(knows(), [1], "nobody holds the empty one");
        let first = Arc::clone(&shared.load().triggers);
        with_plugins(2).publish(&shared);
        let second = Arc::clone(&shared.load().triggers);
        with_plugins(3).publish(&shared);
        assert_eq!(knows(), [1]);
        drop(first);
        assert_eq!(knows(), [1, 2]);
        let reader = shared.load();
        with_plugins(4).publish(&shared);
        drop(second);
        // One that is being read may yet match.
        assert_eq!(knows(), [1, 2, 3]);
        drop(reader);
        assert_eq!(knows(), [1, 2, 3, 4]);
    }
}
