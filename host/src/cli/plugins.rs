//! `hookbay plugins`: what a running host has loaded, what each plugin wants, and what keeps a
//! newer file from running. Putting a file there is [`install`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::page::next_page;
use super::table::{Screen, facts, print, print_json};
use super::{CommandError, runs, text};

mod install;
mod logs;
mod versions;

/// How many keys `show` lists.
const KV_SHOWN: &str = "20";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the plugins and their states
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show one plugin: what it wants, what it lacks, what it keeps
    Show(NamedArgs),
    /// Copy a component into the plugins directory and wait until the host runs it
    Install(InstallArgs),
    /// Start no more runs of a plugin; they wait
    Pause(NamedArgs),
    /// Let a paused plugin go on
    Resume(NamedArgs),
    /// Run a version that was active before, and stay with it
    Rollback(versions::RollbackArgs),
    /// Let the file in the plugins directory replace the active version again
    Unpin(NamedArgs),
    /// Take away a plugin whose file is gone, and cancel its unfinished runs
    Forget(versions::ForgetArgs),
    /// Make the host look at the plugins directory now
    Rescan {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show what a plugin has logged in its newest runs
    Logs(logs::Args),
    /// List what a plugin keeps in its key-value store
    Kv(KvArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NamedArgs {
    /// The plugin's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// The component, as `cargo build --target wasm32-wasip2` makes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The plugin's name [default: the file's name without .wasm]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvArgs {
    /// The plugin's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A plugin as the API shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Plugin {
    name: String,
    file: Option<String>,
    state: Option<String>,
    digest: Option<String>,
    version: Option<String>,
    description: Option<String>,
    contract: Value,
    triggers: Vec<Value>,
    wants: Value,
    missing_grants: Value,
    candidate: Option<Candidate>,
    pinned: bool,
    versions: Vec<versions::Version>,
    hosts: Value,
    runs: BTreeMap<String, u64>,
    loaded_at: Option<String>,
    error: Value,
}

/// A newer file that is not active.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Candidate {
    digest: Option<String>,
    problem: Value,
}

/// A key of a plugin's store.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    size_bytes: u64,
    updated_at: Option<String>,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List { admin } => list(config_path, &admin).await,
        Command::Show(args) => show(config_path, &args).await,
        Command::Install(args) => install::run(config_path, &args).await,
        Command::Pause(args) => steer(config_path, &args, "pause", "paused").await,
        Command::Resume(args) => steer(config_path, &args, "resume", "resumed").await,
        Command::Rollback(args) => versions::roll_back(config_path, &args).await,
        Command::Unpin(args) => versions::unpin(config_path, &args).await,
        Command::Forget(args) => versions::forget(config_path, &args).await,
        Command::Rescan { admin } => rescan(config_path, &admin).await,
        Command::Logs(args) => logs::run(config_path, &args).await,
        Command::Kv(args) => kv(config_path, &args).await,
    }
}

async fn list(config_path: Option<&Path>, admin: &AdminArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer: Value = client
        .get_json(&["plugins"], &[("limit", Some("1000"))])
        .await?;
    if admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Plugin> = client.typed(answer)?;
    let screen = Screen::current();
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|plugin| row(plugin, &screen))
        .collect();
    print(&screen.table(
        &[
            "NAME", "STATE", "VERSION", "DIGEST", "LOADED", "RUNS", "NOTE",
        ],
        &rows,
        "no plugins yet: try `hookbay plugins install FILE`",
    ))?;
    Ok(())
}

fn row(plugin: &Plugin, screen: &Screen) -> Vec<String> {
    vec![
        plugin.name.clone(),
        text::or_dash(plugin.state.as_deref()),
        text::or_dash(plugin.version.as_deref()),
        text::short_digest(plugin.digest.as_deref()),
        text::relative(plugin.loaded_at.as_deref(), screen.now),
        runs::counts(&plugin.runs),
        trouble(plugin).unwrap_or_default(),
    ]
}

/// What keeps the plugin, or its newer file, from running.
fn trouble(plugin: &Plugin) -> Option<String> {
    let missing =
        listed(&plugin.missing_grants).map(|missing| format!("missing grants: {missing}"));
    let error = said(&plugin.error);
    // Of a plugin without an active version, both are what is wrong with its file.
    let problem = plugin
        .candidate
        .as_ref()
        .and_then(|candidate| said(&candidate.problem))
        .filter(|problem| error.as_ref() != Some(problem));
    let troubles: Vec<String> = [error, problem, missing].into_iter().flatten().collect();
    (!troubles.is_empty()).then(|| troubles.join("; "))
}

fn said(value: &Value) -> Option<String> {
    let is_empty = value.is_null() || value.as_str().is_some_and(str::is_empty);
    (!is_empty).then(|| text::value(value))
}

async fn show(config_path: Option<&Path>, args: &NamedArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer: Value = client.get_json(&["plugins", &args.name], &[]).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let plugin: Plugin = client.typed(answer)?;
    let parameters = [("limit", Some(KV_SHOWN))];
    let kept: Page<Entry> = client
        .get_json(&["plugins", &args.name, "kv"], &parameters)
        .await?;
    let screen = Screen::current();
    let mut output = summary(&plugin, &screen);
    output.push('\n');
    output.push_str(&versions::table(&plugin.versions, &screen));
    output.push_str(&entries(&kept.items, &screen, "keeps no keys"));
    if kept.next_cursor.is_some() {
        output.push_str(&format!(
            "\nall of them: hookbay plugins kv {}\n",
            text::harmless(&plugin.name)
        ));
    }
    print(&output)?;
    Ok(())
}

fn summary(plugin: &Plugin, screen: &Screen) -> String {
    let candidate = plugin.candidate.as_ref();
    let triggers: Vec<String> = plugin.triggers.iter().map(trigger).collect();
    facts(&[
        ("plugin", Some(plugin.name.clone())),
        (
            "description",
            plugin
                .description
                .clone()
                .filter(|description| !description.is_empty()),
        ),
        ("state", Some(text::or_dash(plugin.state.as_deref()))),
        ("error", said(&plugin.error)),
        ("version", plugin.version.clone()),
        ("contract", said(&plugin.contract)),
        ("file", plugin.file.clone()),
        ("digest", plugin.digest.clone()),
        ("pinned", plugin.pinned.then(|| "yes".to_owned())),
        (
            "loaded",
            plugin
                .loaded_at
                .as_deref()
                .map(|at| text::time(Some(at), screen.now)),
        ),
        ("hosts", said(&plugin.hosts)),
        ("runs", Some(runs::counts(&plugin.runs))),
        ("triggers", Some(text::or_dash(Some(&triggers.join(", "))))),
        ("wants endpoints", listed(&plugin.wants["endpoints"])),
        ("wants secrets", listed(&plugin.wants["secrets"])),
        ("wants config", listed(&plugin.wants["config"])),
        ("missing grants", listed(&plugin.missing_grants)),
        (
            "candidate",
            candidate.and_then(|candidate| candidate.digest.clone()),
        ),
        (
            "candidate problem",
            candidate.and_then(|candidate| said(&candidate.problem)),
        ),
    ])
}

/// `github push.*`, `any *`.
fn trigger(trigger: &Value) -> String {
    let sender = ["source", "provider"]
        .into_iter()
        .find_map(|by| trigger[by].as_str());
    let kind = trigger["kind"].as_str();
    match (sender, kind) {
        (None, None) => text::value(trigger),
        (_, _) => format!("{} {}", sender.unwrap_or("any"), kind.unwrap_or("**")),
    }
}

/// The names in a list of wants or grants, however much is said about each; none if it is empty.
fn listed(list: &Value) -> Option<String> {
    let names: Vec<String> = match list {
        Value::Null => return None,
        Value::Array(items) => items.iter().map(named).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(what, list)| Some(format!("{what} {}", listed(list)?)))
            .collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![text::value(list)],
    };
    (!names.is_empty()).then(|| names.join(", "))
}

/// `notion (https://api.notion.com)`, or just the name.
fn named(item: &Value) -> String {
    let Some(name) = item["name"].as_str() else {
        return text::value(item);
    };
    let origin = ["origin", "default_origin"]
        .into_iter()
        .find_map(|key| item[key].as_str());
    match origin {
        Some(origin) if !origin.is_empty() => format!("{name} ({origin})"),
        Some(_) | None => name.to_owned(),
    }
}

/// Has a plugin paused or resumed.
async fn steer(
    config_path: Option<&Path>,
    args: &NamedArgs,
    what: &str,
    is_now: &str,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let path = ["plugins", &args.name, what];
    let answer: Value = client.post_json(&path, &json!({})).await?;
    if args.admin.json {
        print_json(&answer)?;
    } else {
        let name = text::harmless(&args.name);
        print(&format!("plugin {name} is {is_now}\n"))?;
    }
    Ok(())
}

async fn rescan(config_path: Option<&Path>, admin: &AdminArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer: Value = client.post_json(&["plugins", "rescan"], &json!({})).await?;
    if admin.json {
        print_json(&answer)?;
    } else {
        print("the host looks at its plugins directory; see `hookbay plugins list`\n")?;
    }
    Ok(())
}

async fn kv(config_path: Option<&Path>, args: &KvArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let limit = args.limit.map(|limit| limit.to_string());
    let parameters = [
        ("prefix", args.prefix.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer: Value = client
        .get_json(&["plugins", &args.name, "kv"], &parameters)
        .await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Entry> = client.typed(answer)?;
    let mut output = entries(&page.items, &Screen::current(), "no keys match");
    output.push_str(&next_page(page.next_cursor.as_deref()));
    print(&output)?;
    Ok(())
}

fn entries(entries: &[Entry], screen: &Screen, empty: &str) -> String {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let base64 = entry
                .value_base64
                .as_ref()
                .map(|base64| format!("base64:{base64}"));
            let value = entry.value.clone().or(base64);
            vec![
                entry.key.clone(),
                value.unwrap_or_default(),
                text::size(entry.size_bytes),
                text::relative(entry.updated_at.as_deref(), screen.now),
            ]
        })
        .collect();
    screen.table(&["KEY", "VALUE", "SIZE", "UPDATED"], &rows, empty)
}

#[cfg(test)]
mod tests;
