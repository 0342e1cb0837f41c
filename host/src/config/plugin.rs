//! `[plugins.NAME]`: what the operator allows and sets for one plugin.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use toml::Value;

use crate::name::{PluginName, SourceName};
use crate::rate::Rate;
use crate::retry::{OnDead, RetryPolicy};
use crate::trigger::{Origin, Trigger};

use super::grants::{self, EndpointGrant};
use super::reader::Table;
use super::retention::LONGEST_KEPT;
use super::secret::Secret;

/// What one attempt may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sum of all memories and tables, in bytes.
    pub memory_bytes: u64,
    /// CPU time of the guest.
    pub cpu: Duration,
    /// Time from start to end.
    pub wall: Duration,
}

/// What the operator allows and sets for one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// The component's file in `plugins_dir`, if not `NAME.wasm`.
    pub file: Option<String>,
    /// Triggers that replace the manifest's.
    pub triggers: Option<Vec<Trigger>>,
    /// What `config.get` answers.
    pub config: Arc<BTreeMap<String, String>>,
    /// Where its calls go, by the endpoint's name.
    pub http: Arc<BTreeMap<String, EndpointGrant>>,
    /// What it may use and not read, by name.
    pub secrets: Arc<BTreeMap<String, Secret>>,
    /// What one attempt may use.
    pub limits: Limits,
    /// When a failed run is tried again.
    pub retry: RetryPolicy,
    /// How many of its runs execute at once on this host.
    pub concurrency: u32,
    /// How many of its runs start in a time, on all hosts together.
    pub rate: Option<Rate>,
    /// What a dead run does to those behind it with its ordering key.
    pub on_dead: OnDead,
    /// How far back stored events get a run when the plugin is seen for the
    /// first time; none of them do without it.
    pub catch_up: Option<Duration>,
    /// Which attempts keep their recorded host calls.
    pub journal: JournalPolicy,
}

/// What a plugin may have at most: `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maxima {
    /// Upper bounds of each plugin's limits.
    pub limits: Limits,
    /// Runs of all plugins that execute at once on this host.
    pub concurrent_runs: u32,
}

/// A text that names no [`JournalPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `failures`, `all` or `none`")]
pub struct InvalidPolicy(String);

/// Which attempts keep their journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JournalPolicy {
    /// Those that failed.
    #[default]
    Failures,
    /// Every one.
    All,
    /// None.
    None,
}

impl FromStr for JournalPolicy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        match text {
            "failures" => Ok(Self::Failures),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            other => Err(InvalidPolicy(other.to_owned())),
        }
    }
}

impl Limits {
    /// What a plugin gets that sets nothing (design, section 3.3).
    const DEFAULT: Self = Self {
        memory_bytes: 64 << 20,
        cpu: Duration::from_millis(200),
        wall: Duration::from_secs(5),
    };
}

impl Default for Maxima {
    fn default() -> Self {
        Self {
            limits: Limits {
                memory_bytes: 256 << 20,
                cpu: Duration::from_secs(2),
                wall: Duration::from_mins(1),
            },
            concurrent_runs: 64,
        }
    }
}

impl PluginConfig {
    /// What a plugin has that the configuration does not mention.
    pub fn unmentioned(maxima: &Maxima) -> Self {
        Self {
            file: None,
            triggers: None,
            config: Arc::default(),
            http: Arc::default(),
            secrets: Arc::default(),
            limits: Limits::DEFAULT.within(&maxima.limits),
            retry: RetryPolicy::default(),
            concurrency: 4,
            rate: None,
            on_dead: OnDead::default(),
            catch_up: None,
            journal: JournalPolicy::default(),
        }
    }
}

impl Limits {
    /// These, but none above `most`.
    pub(super) fn within(self, most: &Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
            cpu: self.cpu.min(most.cpu),
            wall: self.wall.min(most.wall),
        }
    }
}

/// Reads `[limits]`.
pub(super) fn read_maxima(table: Option<Table<'_>>) -> Maxima {
    let default = Maxima::default();
    let Some(mut table) = table else {
        return default;
    };
    let maxima = Maxima {
        limits: Limits {
            memory_bytes: table
                .size("memory", 1 << 20..=4 << 30)
                .unwrap_or(default.limits.memory_bytes),
            cpu: table
                .duration("cpu", millis(10)..=millis(600_000))
                .unwrap_or(default.limits.cpu),
            wall: table
                .duration("wall", millis(10)..=millis(3_600_000))
                .unwrap_or(default.limits.wall),
        },
        concurrent_runs: table
            .integer("concurrent_runs", 1..=1024)
            .unwrap_or(default.concurrent_runs),
    };
    table.finish();
    maxima
}

/// Reads one plugin's table and notes its problems.
pub(super) fn read(
    name: &str,
    mut table: Table<'_>,
    maxima: &Maxima,
) -> Option<(PluginName, PluginConfig)> {
    let name = table.noted("", name.parse::<PluginName>());
    let default = PluginConfig::unmentioned(maxima);
    let granted = grants::read(&mut table);
    let config = PluginConfig {
        file: file(&mut table),
        triggers: triggers(&mut table),
        config: Arc::new(
            table
                .table("config")
                .map(|table| values(table.into_rest()))
                .unwrap_or_default(),
        ),
        http: Arc::new(granted.endpoints),
        secrets: Arc::new(granted.secrets),
        limits: match table.table("limits") {
            Some(limits) => read_limits(limits, default.limits, &maxima.limits),
            None => default.limits,
        },
        retry: table.table("retry").map(retry).unwrap_or_default(),
        concurrency: table
            .integer("concurrency", 1..=1024)
            .unwrap_or(default.concurrency),
        rate: table.parse("rate"),
        on_dead: table.parse("on_dead").unwrap_or_default(),
        catch_up: table.duration("catch_up", millis(1000)..=LONGEST_KEPT),
        journal: table.parse("journal").unwrap_or_default(),
    };
    table.finish();
    name.map(|name| (name, config))
}

fn file(table: &mut Table<'_>) -> Option<String> {
    let file = table.string("file")?;
    if file.contains(['/', '\\']) || !file.ends_with(".wasm") || file.starts_with('.') {
        table.problem(
            "file",
            format_args!("`{file}` must be the name of a `.wasm` file in `plugins_dir`"),
        );
        return None;
    }
    Some(file)
}

fn read_limits(mut table: Table<'_>, default: Limits, most: &Limits) -> Limits {
    let limits = Limits {
        memory_bytes: table
            .size("memory", 1 << 16..=most.memory_bytes)
            .unwrap_or(default.memory_bytes),
        cpu: table
            .duration("cpu", millis(1)..=most.cpu)
            .unwrap_or(default.cpu),
        wall: table
            .duration("wall", millis(1)..=most.wall)
            .unwrap_or(default.wall),
    };
    table.finish();
    limits
}

fn retry(mut table: Table<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let longest = Duration::from_hours(24 * 30);
    let policy = RetryPolicy {
        attempts: table
            .integer("attempts", 1..=1000)
            .unwrap_or(default.attempts),
        first: table
            .duration("first", Duration::ZERO..=longest)
            .unwrap_or(default.first),
        factor: table
            .number("factor", 1.0..=100.0)
            .unwrap_or(default.factor),
        max: table
            .duration("max", Duration::ZERO..=longest)
            .unwrap_or(default.max),
        jitter: table.number("jitter", 0.0..=1.0).unwrap_or(default.jitter),
    };
    table.finish();
    policy
}

fn triggers(table: &mut Table<'_>) -> Option<Vec<Trigger>> {
    let Value::Array(values) = table.take("triggers")? else {
        table.problem(
            "triggers",
            "must be a list of tables such as { source = \"github\", kind = \"push\" }",
        );
        return None;
    };
    let mut triggers = Vec::new();
    for (position, value) in values.into_iter().enumerate() {
        let path = format!("{}[{position}]", table.path_of("triggers"));
        match value {
            Value::Table(entries) => {
                triggers.extend(trigger(Table::new(path, entries, table.reading())))
            }
            other => table.reading().problem(
                &path,
                format_args!("must be a table, not {}", other.type_str()),
            ),
        }
    }
    Some(triggers)
}

fn trigger(mut table: Table<'_>) -> Option<Trigger> {
    let origin = match (
        table.string("provider"),
        table
            .string("source")
            .and_then(|text| table.noted("source", SourceName::of_events(&text))),
    ) {
        (Some(provider), None) => Some(Origin::Provider(provider)),
        (None, Some(source)) => Some(Origin::Source(source)),
        (_, _) => {
            table.problem("source", "name either a `source` or a `provider`");
            None
        }
    };
    let kind = table.parse("kind");
    if kind.is_none() {
        table.problem("kind", "is missing; `**` is every kind");
    }
    let ordering_key = table.parse("ordering_key");
    table.finish();
    Some(Trigger {
        origin: origin?,
        kind: kind?,
        ordering_key,
    })
}

/// Text values as they are, all others as JSON text (`wit/config.wit`).
fn values(entries: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => serde_json::to_string(&other).unwrap_or_default(),
    };
    entries
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect()
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
