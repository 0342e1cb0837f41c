//! Providers: the catalogue, what `[providers.NAME]` adds to it, and the keys by which a
//! source changes or completes its provider.
//!
//! A provider is one TOML table. A source's keys are laid over it before anything is read,
//! so that the one reader (`record`) knows nothing of catalogue and source.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::Value;

use crate::ingest::address::{Network, Networks};
use crate::ingest::scheme::Provider;

use super::reader::{Reading, Table};

mod catalogue;
mod handshake;
mod proof;
mod record;
mod signed;

use catalogue::CATALOGUE;

/// Keys that tell about a provider and change nothing: no source sets these.
const TELLING: [&str; 6] = [
    "title",
    "doc",
    "note",
    "content_types",
    "addresses",
    "sample",
];
/// Keys of which each group says one thing: who sets one replaces all.
const GROUPS: [&[&str]; 5] = [
    &["kind", "kind_header", "kind_pointer"],
    &["id", "id_header", "id_pointer"],
    &["signature_header", "signature_pointer", "signature_query"],
    &["timestamp_header", "timestamp_pointer"],
    &["signed", "signed_or"],
];

/// A provider's entry in the catalogue: the record, and what is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How it is spelt.
    pub title: String,
    /// The page that the record follows, or where its facts are from.
    pub doc: String,
    /// What whoever sets it up must know.
    pub note: Option<String>,
    /// What its bodies are; the first is what samples are.
    pub content_types: Vec<String>,
    /// Where its requests come from, if it says so and keeps to it.
    pub addresses: Option<Published>,
    /// The record.
    pub provider: Provider,
    /// Events as it sends them.
    pub samples: Vec<Sample>,
}

/// The addresses that a provider publishes for lists like `allow_ips`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where.
    pub doc: String,
    /// The addresses.
    pub networks: Networks,
}

/// An event as a provider sends it, about things that do not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The kind by which `hookbay send` finds it.
    pub kind: String,
    /// The body. `{{id}}` stands for the delivery's id, `{{kind}}` for any kind.
    pub body: String,
    /// Its `Content-Type`, where it is not the provider's first.
    pub content_type: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

/// Providers of the operator's own, by name, as written.
#[derive(Default)]
pub(super) struct OwnProviders(BTreeMap<String, toml::Table>);

/// The names of all providers in the catalogue.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|(name, _)| *name)
}

/// A provider as the catalogue has it.
pub fn named(name: &str) -> Option<Provider> {
    entry(name).map(|entry| entry.provider)
}

/// A provider's whole entry in the catalogue.
pub fn entry(name: &str) -> Option<Entry> {
    let reading = Reading {
        base: Path::new(""),
        from_environment: &BTreeSet::new(),
        variable: &|_| None,
        problems: RefCell::default(),
        files: &RefCell::default(),
        secret_files: RefCell::default(),
        has_secrets: false.into(),
    };
    let table = Table::new(format!("providers.{name}"), catalogued(name)?, &reading);
    let entry = record::read_entry(name, table);
    entry.filter(|_| reading.problems.borrow().is_empty())
}

/// What the catalogue has of a name; `plugin:NAME` stands for what that plugin verifies.
fn catalogued(name: &str) -> Option<toml::Table> {
    if let Some(plugin) = name.strip_prefix("plugin:") {
        let pairs = [("proof", "verifier"), ("verifier", plugin)];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.into()));
        return Some(pairs.into_iter().collect());
    }
    let (_, text) = CATALOGUE.iter().find(|(slug, _)| *slug == name)?;
    toml::from_str(text).ok()
}

impl OwnProviders {
    /// Reads `[providers.NAME]`, notes what is wrong, and returns the records too.
    pub(super) fn read(root: &mut Table<'_>) -> (Self, BTreeMap<String, Provider>) {
        let mut own = Self::default();
        let mut records = BTreeMap::new();
        for (name, table) in root.tables("providers") {
            let (path, reading) = (table.path_of(""), table.reading());
            let path = path.trim_end_matches('.').to_owned();
            if let Err(error) = name.parse::<crate::name::SourceName>() {
                reading.problem(&path, error);
                continue;
            }
            if catalogued(&name).is_some() {
                let problem =
                    "is in the catalogue; set its keys in the source, or take another name";
                reading.problem(&path, problem);
                continue;
            }
            let mut written: toml::Table = table.into_rest().into_iter().collect();
            if let Some(base) = written.remove("extends") {
                let base = base.as_str().and_then(catalogued);
                let Some(base) = base else {
                    reading.problem(
                        &format!("{path}.extends"),
                        "is no provider of the catalogue",
                    );
                    continue;
                };
                written = laid_over(base, written);
            }
            let read = record::read_entry(&name, Table::new(path, written.clone(), reading));
            if let Some(entry) = read {
                records.insert(name.clone(), entry.provider);
                own.0.insert(name, written);
            }
        }
        (own, records)
    }

    /// The addresses that a provider publishes.
    pub(super) fn addresses(&self, name: &str) -> Option<Networks> {
        let table = self.find(name)?;
        let networks = table.get("addresses")?.get("networks")?.as_array()?;
        let read = networks.iter().filter_map(Value::as_str);
        // What is wrong with one is noted where its provider is read.
        Some(
            read.filter_map(|text| text.parse::<Network>().ok())
                .collect(),
        )
    }

    fn find(&self, name: &str) -> Option<toml::Table> {
        self.0.get(name).cloned().or_else(|| catalogued(name))
    }
}

/// What is said of a name that no provider has: whose is near, or where all are.
pub fn instead_of(name: &str) -> String {
    let distance = |known| (strsim::damerau_levenshtein(known, name), known);
    let nearest = names().map(distance).min();
    let near = nearest.filter(|(distance, _)| *distance <= 2);
    near.map_or_else(
        || "docs/providers.md lists them, `generic` is for senders of your own".to_owned(),
        |(_, near)| format!("did you mean `{near}`?"),
    )
}

/// A provider with the keys of a source laid over. Notes an unknown name and keys that do
/// not fit together.
pub(super) fn overlaid(name: &str, source: &mut Table<'_>, own: &OwnProviders) -> Option<Provider> {
    let Some(mut base) = own.find(name) else {
        let hint = instead_of(name);
        source.problem("provider", format_args!("`{name}` is not known; {hint}"));
        return None;
    };
    for key in TELLING {
        base.remove(key);
    }
    let mut keys = toml::Table::new();
    for key in proof::KEYS.into_iter().chain(record::KEYS) {
        if let Some(value) = source.take(key) {
            keys.insert(key.to_owned(), value);
        }
    }
    let was = base.get("proof").and_then(Value::as_str).map(str::to_owned);
    let wanted = keys.get("proof").and_then(Value::as_str);
    if wanted == Some("none") && was.as_deref() != Some("none") {
        let problem =
            "`none` would check nothing; a source that wants this says `provider = \"none\"`";
        source.problem("proof", problem);
        return None;
    }
    if wanted.is_some() && wanted != was.as_deref() {
        // Another way of proving: nothing of the provider's own applies to it.
        base.retain(|key, _| !proof::KEYS.contains(&key));
    }
    let merged = laid_over(base, keys);
    let path = source.path_of("");
    let table = Table::new(
        path.trim_end_matches('.').to_owned(),
        merged,
        source.reading(),
    );
    record::read(name, table)
}

/// One table's keys over another's.
fn laid_over(mut base: toml::Table, over: toml::Table) -> toml::Table {
    for group in GROUPS {
        if group.iter().any(|key| over.contains_key(*key)) {
            base.retain(|key, _| !group.contains(&key));
        }
    }
    base.extend(over);
    base
}
