//! `hookbay events`: the stored webhooks of a running host, and running one again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::operations::{self, BulkArgs};
use super::page::{Period, Window, next_page};
use super::runs::{self, Run};
use super::table::{Screen, facts, print, print_json};
use super::{CommandError, request, text};

mod export;
mod search;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List events, newest first
    List(ListArgs),
    /// Show one event: where it came from, its headers, its runs
    Show(ShowArgs),
    /// Run an event again, or all that fit a filter: for every plugin whose trigger matches
    /// now, or for one
    Replay(ReplayArgs),
    /// Erase one event with its runs, for ever
    Delete(DeleteArgs),
    /// Write events with their bodies as JSON lines, oldest first
    Export(ExportArgs),
}

/// Which events.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only from this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only of this kind; `*` is one segment, `**` the rest
    #[arg(long, value_name = "PATTERN")]
    kind: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Look for this in ids, kinds and indexed values, then in the newest bodies
    #[arg(long, short, value_name = "TEXT")]
    q: Option<String>,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The event's id
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    /// Write the raw body to stdout, byte for byte, and nothing else
    #[arg(long, conflicts_with = "json")]
    body: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The event's id; without it, all events that fit
    #[arg(value_name = "ID", value_parser = path_segment,
        conflicts_with_all = ["source", "kind", "since", "until"])]
    id: Option<String>,
    /// Only for this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    bulk: BulkArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The event's id
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    /// Cancel runs that need it still
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    admin: AdminArgs,
}

/// An event; `R` is what it says about its runs: their number by state in a list, else all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event<R> {
    id: String,
    source: Option<String>,
    provider: Option<String>,
    kind: Option<String>,
    delivery_id: Option<String>,
    received_at: Option<String>,
    size_bytes: u64,
    content_type: Option<String>,
    handshake: bool,
    dedup_conflict: bool,
    forced: bool,
    runs: R,
    headers: Vec<(String, String)>,
    no_run_reason: Option<String>,
}

/// An event in a list.
type Listed = Event<BTreeMap<String, u64>>;

/// The answer to a replay.
#[derive(Debug, Deserialize)]
struct Replayed {
    runs: Vec<Run>,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List(args) => list(config_path, &args).await,
        Command::Show(args) if args.body => {
            let client = AdminClient::new(config_path, &args.admin)?;
            request::write_body(&client, &["events", &args.id, "body"]).await
        }
        Command::Show(args) => show(config_path, &args).await,
        Command::Replay(args) => replay(config_path, &args).await,
        Command::Delete(args) => delete(config_path, &args).await,
        Command::Export(args) => export::run(config_path, &args).await,
    }
}

async fn delete(config_path: Option<&Path>, args: &DeleteArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let parameters = [("cancel", args.cancel.then_some("true"))];
    let answer = client
        .delete_json(&["events", &args.id], &parameters)
        .await?;
    if args.admin.json {
        print_json(&answer)?;
    } else {
        print(&format!("event {} is erased\n", text::harmless(&args.id)))?;
    }
    Ok(())
}

async fn list(config_path: Option<&Path>, args: &ListArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let window = args.window.query(&screen);
    let filter = [
        ("source", args.which.source.as_deref()),
        ("kind", args.which.kind.as_deref()),
        ("q", args.q.as_deref()),
    ];
    if args.admin.json {
        let parameters = [filter.as_slice(), &window.parameters()].concat();
        let answer: Value = client.get_json(&["events"], &parameters).await?;
        print_json(&answer)?;
        return Ok(());
    }
    if args.q.is_some() {
        let filter = [filter.as_slice(), &window.period()].concat();
        let (cursor, limit) = (args.window.cursor(), args.window.limit());
        let found = search::search(&client, &filter, cursor, limit).await?;
        print(&(table(&found.items, &screen, found.nothing()) + &found.rest()))?;
        return found.error.map_or(Ok(()), |error| Err(error.into()));
    }
    let parameters = [filter.as_slice(), &window.parameters()].concat();
    let page: Page<Listed> = client.get_json(&["events"], &parameters).await?;
    let table = table(&page.items, &screen, "no events match");
    print(&(table + &next_page(page.next_cursor.as_deref())))?;
    Ok(())
}

fn table(events: &[Listed], screen: &Screen, empty: &str) -> String {
    let rows: Vec<Vec<String>> = events.iter().map(|event| row(event, screen)).collect();
    let headers = ["ID", "RECEIVED", "SOURCE", "KIND", "RUNS", "DELIVERY"];
    screen.table(&headers, &rows, empty)
}

fn row(event: &Listed, screen: &Screen) -> Vec<String> {
    vec![
        event.id.clone(),
        text::relative(event.received_at.as_deref(), screen.now),
        text::or_dash(event.source.as_deref()),
        text::or_dash(event.kind.as_deref()),
        runs::counts(&event.runs),
        text::or_dash(event.delivery_id.as_deref()),
    ]
}

async fn show(config_path: Option<&Path>, args: &ShowArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer: Value = client.get_json(&["events", &args.id], &[]).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let event: Event<Vec<Run>> = client.typed(answer)?;
    let screen = Screen::current();
    let mut output = summary(&event, &screen);
    output.push('\n');
    output.push_str(&request::headers(&screen, &event.headers));
    output.push('\n');
    output.push_str(&runs::table(&event.runs, &screen, "no runs"));
    print(&output)?;
    Ok(())
}

fn summary(event: &Event<Vec<Run>>, screen: &Screen) -> String {
    let mut notes = Vec::new();
    if event.handshake {
        notes.push("a handshake: it matches no trigger");
    }
    if event.forced {
        notes.push("released from quarantine without proof");
    }
    if event.dedup_conflict {
        notes.push("an earlier event has the same delivery id and another body");
    }
    facts(&[
        ("event", Some(event.id.clone())),
        ("source", event.source.clone()),
        ("provider", event.provider.clone()),
        ("kind", event.kind.clone()),
        ("delivery", event.delivery_id.clone()),
        (
            "received",
            Some(text::time(event.received_at.as_deref(), screen.now)),
        ),
        ("size", Some(text::size(event.size_bytes))),
        ("content type", event.content_type.clone()),
        ("note", (!notes.is_empty()).then(|| notes.join("; "))),
        ("no run because", event.no_run_reason.clone()),
    ])
}

async fn replay(config_path: Option<&Path>, args: &ReplayArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let Some(id) = &args.id else {
        let screen = Screen::current();
        let (since, until) = (args.period.since(&screen), args.period.until(&screen));
        let filter = [
            ("source", args.which.source.as_deref()),
            ("kind", args.which.kind.as_deref()),
            ("since", since.as_deref()),
            ("until", until.as_deref()),
        ];
        let plugin = args.plugin.as_deref().map(|name| ("plugin", name.into()));
        let path = ["events", "replay"];
        let is_json = args.admin.json;
        return operations::begin(&client, &path, &filter, plugin, &args.bulk, is_json).await;
    };
    let wish = args
        .plugin
        .as_ref()
        .map_or_else(|| json!({}), |plugin| json!({ "plugin": plugin }));
    let answer: Value = client.post_json(&["events", id, "replay"], &wish).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let replayed: Replayed = client.typed(answer)?;
    let empty = "no plugin's trigger matches this event now, so nothing runs";
    print(&runs::table(&replayed.runs, &Screen::current(), empty))?;
    Ok(())
}
