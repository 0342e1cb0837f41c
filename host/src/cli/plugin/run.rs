//! `hookbay plugin run`: one attempt in the real sandbox, or many of them measured.
//!
//! Nothing is stored and nobody is asked: what the plugin writes is printed and forgotten,
//! and its requests are answered from a file, so that every call finds the same world.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fixture::{self, EventArgs, State};
use super::{maxima, name_of, start, unreadable};
use crate::cli::check::load;
use crate::cli::table::{print, print_json};
use crate::cli::{CommandError, text};
use crate::clock::Clock;
use crate::config::units::{self, UnitError};
use crate::config::{Config, JournalPolicy, Limits, Maxima, PluginConfig};
use crate::event::Event;
use crate::plugin::secrets::Secrets;
use crate::plugin::{Grants, Loaded, PluginHost, Report, RunContext};
use crate::run::Outcome;
use crate::trigger::{Origin, Trigger};

mod fixtures;
mod measure;
mod rerun;
mod show;

use fixtures::{Answering, Exchange, Fixtures};

/// What the largest memory of a component can have.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component, as `cargo build --target wasm32-wasip2` makes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The event as JSON, or just a payload with --provider and --kind
    #[arg(long, value_name = "FILE", required_unless_present = "journal")]
    event: Option<PathBuf>,
    /// Execute a recorded attempt again: a file of `hookbay runs journal --out`
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["event", "fixtures", "kv", "settings", "attempt", "repeat", "cpu", "wall", "memory"])]
    journal: Option<PathBuf>,
    #[command(flatten)]
    about_event: EventArgs,
    /// What the plugin's configuration has under KEY (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,
    /// What the plugin has stored: a JSON object of keys and texts
    #[arg(long, value_name = "FILE")]
    kv: Option<PathBuf>,
    /// What answers its requests: a JSON list of fixtures
    #[arg(long, value_name = "FILE")]
    fixtures: Option<PathBuf>,
    /// Which attempt of its run this is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    attempt: u32,
    /// Run it N times, after N/10 to warm up, and print how long a call takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    repeat: Option<u32>,
    /// With --repeat: load N versions of it, and call each in turn
    #[arg(long, value_name = "N", requires = "repeat", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    copies: Option<u32>,
    /// With --copies: call only the first, while the others lie beside it
    #[arg(long, requires = "copies")]
    only_first: bool,
    /// CPU time that it may use [default: 200ms]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cpu: Option<Duration>,
    /// Time that it may take [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wall: Option<Duration>,
    /// Memory that it may have [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything that a call takes, ready to be called any number of times.
struct Bench {
    host: PluginHost,
    plugin: Arc<Loaded>,
    event: Arc<Event>,
    context: RunContext,
    limits: Limits,
    /// What an operator grants it, as far as the bench knows.
    settings: PluginConfig,
    state: Arc<State>,
    secrets: Arc<Secrets>,
    fixtures: Fixtures,
}

/// What one call came to.
struct Called {
    report: Report,
    exchanges: Vec<Exchange>,
}

pub(super) async fn run(config: Option<&Config>, args: &Args) -> Result<(), CommandError> {
    if let Some(journal) = &args.journal {
        return rerun::run(config, &args.file, journal, args.json).await;
    }
    let bench = set_up(config, args).await?;
    if let Some(n_calls) = args.repeat {
        let copies = match args.copies {
            Some(n_copies) => Some(measure::copies(&bench.host, &args.file, n_copies).await?),
            None => None,
        };
        let timings = measure::timings(&bench, n_calls, copies, args.only_first).await?;
        if args.json {
            print_json(&timings.as_json())?;
        } else {
            print(&timings.as_text())?;
        }
        return Ok(());
    }
    let called = bench.call().await;
    if args.json {
        print_json(&show::as_json(&called))?;
    } else {
        print(&show::as_text(&called))?;
        print(&bench.notes(&called.exchanges))?;
    }
    called.ended_well()
}

impl Called {
    /// # Errors
    /// The attempt did not succeed, or not with what it was to be answered: a plugin may
    /// go on without an answer, the test of one may not.
    fn ended_well(&self) -> Result<(), CommandError> {
        let Report { outcome, error, .. } = &self.report;
        if *outcome != Outcome::Succeeded {
            let reason = error.as_deref().unwrap_or("no reason was given");
            let failure = format!("the attempt ended with `{}`: {reason}", outcome.as_str());
            return Err(CommandError::Failed(failure));
        }
        let mut unanswered = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.is_unanswered);
        match unanswered.next().map(|exchange| &exchange.answer) {
            Some(Err(denied)) => Err(CommandError::Failed(denied.to_string())),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

async fn set_up(config: Option<&Config>, args: &Args) -> Result<Bench, CommandError> {
    let file = args.event.as_deref().unwrap_or(Path::new("-"));
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let event = fixture::event(&bytes, &args.about_event, Clock::system().now())
        .map_err(|problem| in_file(file, &problem))?;
    let state = read_from(args.kv.as_deref(), State::read)?;
    let fixtures = read_from(args.fixtures.as_deref(), Fixtures::read)?;
    let maxima = maxima(config);
    let name = name_of(&args.file);
    let settings = match (config, &name) {
        (Some(config), Some(name)) => config.plugin(name),
        (_, _) => PluginConfig::unmentioned(&maxima),
    };
    let limits = Limits {
        memory_bytes: args.memory.unwrap_or(settings.limits.memory_bytes),
        cpu: args.cpu.unwrap_or(settings.limits.cpu),
        wall: args.wall.unwrap_or(settings.limits.wall),
    };
    let host = start(Maxima {
        limits: Limits {
            memory_bytes: maxima.limits.memory_bytes.max(limits.memory_bytes),
            ..maxima.limits
        },
        ..maxima
    })?;
    let plugin = load(&host, &args.file).await;
    let plugin = plugin.map_err(|error| in_file(&args.file, &error.to_string()))?;
    let mut values = (*settings.config).clone();
    values.extend(args.settings.iter().cloned());
    let settings = PluginConfig {
        config: Arc::new(values),
        ..settings
    };
    Ok(Bench {
        host,
        context: RunContext {
            id: "bench".to_owned(),
            attempt: args.attempt,
            max_attempts: settings.retry.attempts.max(args.attempt),
            plugin: name.map_or_else(|| plugin.manifest.name.clone(), |name| name.to_string()),
        },
        plugin: Arc::new(plugin),
        event: Arc::new(event),
        limits,
        secrets: Arc::new(Secrets::new(&settings.secrets)),
        settings,
        state: Arc::new(state),
        fixtures,
    })
}

/// What a file holds, or nothing where none is named.
fn read_from<T: Default>(
    file: Option<&Path>,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<T, CommandError> {
    let Some(file) = file else {
        return Ok(T::default());
    };
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    read(&bytes).map_err(|problem| in_file(file, &problem))
}

fn in_file(file: &Path, problem: &str) -> CommandError {
    CommandError::Failed(format!("{}: {problem}", file.display()))
}

impl Bench {
    /// One attempt on a fresh instance.
    async fn call(&self) -> Called {
        self.call_one(&self.plugin).await
    }

    /// The same of another plugin.
    async fn call_one(&self, plugin: &Arc<Loaded>) -> Called {
        let answering = self.fixtures.answering();
        let grants = Grants {
            config: Arc::clone(&self.settings.config),
            state: Arc::<State>::clone(&self.state),
            http: Arc::<Answering>::clone(&answering),
            secrets: Arc::clone(&self.secrets),
            depth: 0,
        };
        let report = self
            .host
            .call(
                Arc::clone(plugin),
                Arc::clone(&self.event),
                self.context.clone(),
                self.limits,
                grants,
                JournalPolicy::None,
            )
            .await;
        Called {
            report,
            exchanges: answering.exchanges(),
        }
    }

    /// In what a host would do otherwise.
    fn notes(&self, exchanges: &[Exchange]) -> String {
        let manifest = &self.plugin.manifest;
        let mut notes = String::new();
        let triggers = manifest.triggers().unwrap_or_default();
        if !triggers.iter().any(|trigger| fits(trigger, &self.event)) {
            let (provider, kind) = (&self.event.provider, &self.event.kind);
            notes.push_str(&format!(
                "note: none of the plugin's own triggers matches {} of {}\n",
                text::harmless(kind),
                text::harmless(provider)
            ));
        }
        let missing = manifest.missing_grants(&self.settings);
        if !missing.is_empty() {
            let missing = text::harmless(&missing.join(", "));
            notes.push_str(&format!(
                "note: a host holds the plugin until it is granted {missing}\n"
            ));
        }
        let wanted: BTreeSet<&str> = manifest
            .wants
            .endpoints
            .iter()
            .map(|want| want.name.as_str())
            .collect();
        let called: BTreeSet<&str> = exchanges
            .iter()
            .map(|exchange| exchange.request.endpoint.as_str())
            .collect();
        for endpoint in called.difference(&wanted) {
            let endpoint = text::harmless(endpoint);
            notes.push_str(&format!(
                "note: the manifest does not want the endpoint `{endpoint}`, so an operator \
                 does not learn to grant it\n"
            ));
        }
        notes
    }
}

fn fits(trigger: &Trigger, event: &Event) -> bool {
    let is_from = match &trigger.origin {
        Origin::Provider(name) => *name == event.provider,
        Origin::Source(name) => *name == event.source,
    };
    is_from && trigger.kind.matches(&event.kind)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, UnitError> {
    units::duration(text)
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = units::size(text).map_err(|error| error.to_string())?;
    let bounds = 1 << 16..=MEMORY_BYTES_MAX;
    if bounds.contains(&bytes) {
        Ok(bytes)
    } else {
        Err("expected 64KiB to 4GiB".to_owned())
    }
}
