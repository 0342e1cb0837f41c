//! `hookbay check`: the configuration and every plugin file, with all problems at once.
//!
//! It loads plugins as a host does, but runs nothing beyond `describe`, opens no port and no
//! database, and needs no running host.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use super::table::{Screen, print};
use super::{CommandError, text};
use crate::app::permissions;
use crate::clock::Clock;
use crate::config::{Config, PluginConfig, SourceConfig};
use crate::ingest::scheme::Proof;
use crate::name::PluginName;
use crate::plugin::{FILE_BYTES_MAX, LoadError, Loaded, PluginFile, PluginHost, Role};
use crate::trigger::{Origin, Trigger};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What was found out, in the order in which it is shown.
#[derive(Debug, Default)]
struct Findings {
    rows: Vec<Vec<String>>,
    /// What makes the check fail.
    problems: Vec<String>,
    /// What is worth a look.
    warnings: Vec<String>,
}

pub(crate) async fn run(config_path: Option<&Path>, _args: Args) -> Result<(), CommandError> {
    let config = Config::load(config_path)?;
    let mut findings = Findings {
        warnings: permissions::too_open(&config),
        ..Findings::default()
    };
    for source in &config.sources {
        findings.rows.push(source_row(source));
    }
    let files = plugin_files(&config.plugins_dir, &mut findings)?;
    let host = PluginHost::start(config.maxima, Clock::system(), None)
        .map_err(|error| CommandError::Failed(error.to_string()))?
        .trusting(config.trusted_keys.clone());
    let mut n_plugins = 0;
    let mut verifiers = BTreeSet::new();
    for file in &files {
        let names = names_of(file, &config.plugins);
        n_plugins += names.len();
        if names.is_empty() {
            findings.unnamed(file);
            continue;
        }
        let loaded = load(&host, &config.plugins_dir.join(file)).await;
        for name in &names {
            findings.plugin(name, file, &loaded, &config);
        }
        if loaded.is_ok_and(|loaded| loaded.role() == Role::Verifier) {
            verifiers.extend(names);
        }
    }
    findings.unverified(&config.sources, &verifiers);
    findings.missing_files(&config.plugins, &files);
    conclude(&findings, config.sources.len(), n_plugins)
}

/// Prints everything, and fails if there is a problem.
fn conclude(findings: &Findings, n_sources: usize, n_plugins: usize) -> Result<(), CommandError> {
    let headers = ["WHAT", "NAME", "STATE", "DETAIL"];
    let empty = "no sources and no plugins yet";
    let mut output = Screen::current().table(&headers, &findings.rows, empty);
    let n_problems = findings.problems.len();
    let problems = findings.problems.iter().map(|line| ("problem", line));
    let warnings = findings.warnings.iter().map(|line| ("warning", line));
    for (label, line) in problems.chain(warnings) {
        output.push_str(&format!("{label}: {}\n", text::harmless(line)));
    }
    if n_problems == 0 {
        let sources = counted(n_sources, "source");
        let plugins = counted(n_plugins, "plugin");
        let verdict = match findings.warnings.len() {
            0 => "all good".to_owned(),
            n => format!("no problems, {}", counted(n, "warning")),
        };
        output.push_str(&format!("{sources}, {plugins}: {verdict}\n"));
    }
    print(&output)?;
    match n_problems {
        0 => Ok(()),
        n => Err(CommandError::Failed(counted(n, "problem"))),
    }
}

/// An error as a sentence; some of the compiler's go over many lines.
fn one_line(error: &LoadError) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn counted(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

fn source_row(source: &SourceConfig) -> Vec<String> {
    let address = format!("{} at /webhooks/{}", source.provider.name, source.name);
    row("source", source.name.as_str(), "ok", &address)
}

fn row(what: &str, name: &str, state: &str, detail: &str) -> Vec<String> {
    [what, name, state, detail].map(str::to_owned).to_vec()
}

impl Findings {
    /// One plugin of a file: whether a host would run it.
    fn plugin(
        &mut self,
        name: &PluginName,
        file: &str,
        loaded: &Result<Loaded, LoadError>,
        config: &Config,
    ) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                self.rows.push(row("plugin", name.as_str(), "bad", file));
                self.problems
                    .push(format!("plugin `{name}` ({file}): {}", one_line(error)));
                return;
            }
        };
        let settings = config.plugin(name);
        let missing = loaded.manifest.missing_grants(&settings);
        let state = if missing.is_empty() { "ok" } else { "held" };
        let size = text::size(loaded.size_bytes);
        let digest = text::short_digest(Some(&loaded.digest.to_string()));
        let detail = format!("{} {size} {digest} ({file})", loaded.manifest.version);
        self.rows.push(row("plugin", name.as_str(), state, &detail));
        if !missing.is_empty() {
            let missing = missing.join("`, `");
            self.problems.push(format!(
                "plugin `{name}` ({file}): is held until `[plugins.{name}]` grants `{missing}`"
            ));
        }
        let own = || loaded.manifest.triggers().unwrap_or_default();
        let triggers = settings.triggers.unwrap_or_else(own);
        for source in unknown_sources(&triggers, &config.sources) {
            self.warnings.push(format!(
                "plugin `{name}`: a trigger names the source `{source}`, which is not configured"
            ));
        }
    }

    /// Sources whose verifier is not there.
    fn unverified(&mut self, sources: &[SourceConfig], verifiers: &BTreeSet<PluginName>) {
        for source in sources {
            let Proof::Verifier(by) = &source.provider.proof else {
                continue;
            };
            if !verifiers.contains(&by.verifier) {
                self.problems.push(format!(
                    "sources.{}.provider: no file in `plugins_dir` is the verifier `{}`",
                    source.name, by.verifier
                ));
            }
        }
    }

    /// A file that is no plugin's.
    fn unnamed(&mut self, file: &str) {
        self.rows.push(row("plugin", "-", "bad", file));
        self.problems.push(format!(
            "{file}: its name without `.wasm` is not free or not a plugin name (`a-z0-9_-`), \
             and no `file =` names it"
        ));
    }

    /// Tables whose file is not there.
    fn missing_files(
        &mut self,
        plugins: &BTreeMap<PluginName, PluginConfig>,
        files: &BTreeSet<String>,
    ) {
        for (name, plugin) in plugins {
            match &plugin.file {
                Some(file) if !files.contains(file) => {
                    self.rows
                        .push(row("plugin", name.as_str(), "missing", file));
                    self.problems.push(format!(
                        "plugins.{name}.file: there is no `{file}` in `plugins_dir`"
                    ));
                }
                None if !names_of(&format!("{name}.wasm"), plugins).contains(name) => {
                    self.warnings.push(format!(
                        "plugins.{name}: `{name}.wasm` runs only under the tables that name it, \
                         so this table has no file"
                    ));
                }
                None if !files.contains(&format!("{name}.wasm")) => {
                    self.warnings.push(format!(
                        "plugins.{name}: there is no `{name}.wasm` in `plugins_dir`"
                    ));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// The names of the files that count in the directory; a warning if it is not there.
fn plugin_files(
    directory: &Path,
    findings: &mut Findings,
) -> Result<BTreeSet<String>, CommandError> {
    let shown = directory.display();
    let failed = |error: std::io::Error| {
        CommandError::Failed(format!("plugins_dir: cannot read {shown}: {error}"))
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let warning = format!("plugins_dir: there is no {shown}");
            findings.warnings.push(warning);
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut files = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wasm") && !name.starts_with('.') && !entry.path().is_dir() {
            files.insert(name);
        }
    }
    Ok(files)
}

/// The plugins that a file is: the tables that name it, else its stem, unless a table gives
/// that name another file.
fn names_of(file: &str, plugins: &BTreeMap<PluginName, PluginConfig>) -> BTreeSet<PluginName> {
    let is_named = |plugin: &PluginConfig| plugin.file.as_deref() == Some(file);
    let named: BTreeSet<PluginName> = plugins
        .iter()
        .filter(|(_, plugin)| is_named(plugin))
        .map(|(name, _)| name.clone())
        .collect();
    if !named.is_empty() {
        return named;
    }
    let stem = file
        .strip_suffix(".wasm")
        .and_then(|stem| stem.parse().ok());
    let is_free = |name: &PluginName| plugins.get(name).is_none_or(|plugin| plugin.file.is_none());
    stem.into_iter().filter(is_free).collect()
}

/// Loads a file as a host does; one that is too large is not read.
pub(super) async fn load(host: &PluginHost, file: &Path) -> Result<Loaded, LoadError> {
    let unreadable = |error: std::io::Error| LoadError::Unreadable(error.to_string());
    let size_bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if size_bytes > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge(text::size(size_bytes)));
    }
    host.load(&PluginFile::read(file).map_err(unreadable)?)
        .await
}

fn unknown_sources(triggers: &[Trigger], sources: &[SourceConfig]) -> BTreeSet<String> {
    let named = triggers.iter().filter_map(|trigger| match &trigger.origin {
        Origin::Source(name) => Some(name),
        Origin::Provider(_) => None,
    });
    named
        .filter(|name| sources.iter().all(|source| source.name != **name))
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Findings, names_of, unknown_sources};
    use crate::config::{Config, Environment, Overrides};
    use crate::trigger::{Origin, Trigger};

    const CONFIG: &str = "
        [sources.known]
        provider = 'none'
        [plugins.slack-a]
        file = 'slack.wasm'
        [plugins.slack-b]
        file = 'slack.wasm'
        [plugins.slack]
        [plugins.lost]
    ";

    fn config() -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbay.toml");
        std::fs::write(&file, CONFIG).unwrap();
        Config::load_with(Some(&file), &Overrides::default(), &Environment::default()).unwrap()
    }

    #[test]
    fn files_are_the_plugins_that_name_them() {
        for (file, expected) in [
            ("slack.wasm", "slack-a slack-b"),
            ("hello.wasm", "hello"),
            ("slack-a.wasm", ""),
            ("Hello.wasm", ""),
        ] {
            let names = names_of(file, &config().plugins);
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{file}");
        }
    }

    #[test]
    fn tables_without_a_file_are_reported() {
        for (files, n_problems, warned) in [
            (vec!["slack.wasm", "lost.wasm"], 0, vec!["plugins.slack:"]),
            (vec!["lost.wasm"], 2, vec!["plugins.slack:"]),
            (
                vec!["slack.wasm"],
                0,
                vec!["plugins.lost:", "plugins.slack:"],
            ),
        ] {
            let mut findings = Findings::default();
            let files = files.into_iter().map(str::to_owned).collect();
            findings.missing_files(&config().plugins, &files);
            assert_eq!(findings.problems.len(), n_problems, "{findings:?}");
            assert_eq!(findings.warnings.len(), warned.len(), "{findings:?}");
            for (warning, start) in findings.warnings.iter().zip(warned) {
                assert!(warning.starts_with(start), "{warning}");
            }
        }
    }

    #[test]
    fn triggers_of_unknown_sources_are_found() {
        let trigger = |origin| Trigger {
            origin,
            kind: "**".parse().unwrap(),
            ordering_key: None,
        };
        let triggers = [
            trigger(Origin::Source("known".parse().unwrap())),
            trigger(Origin::Source("unknown".parse().unwrap())),
            trigger(Origin::Provider("github".to_owned())),
        ];
        let unknown = unknown_sources(&triggers, &config().sources);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["unknown"]);
    }
}
