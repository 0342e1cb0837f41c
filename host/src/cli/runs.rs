//! `hookbay runs`: what became of each event for each plugin, try by try.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::operations::{self, BulkArgs};
use super::page::{Period, Window, next_page};
use super::table::{Screen, facts, print, print_json};
use super::{CommandError, text};

mod journal;

/// The states that the API filters by.
const STATES: [&str; 7] = [
    "ready",
    "running",
    "waiting",
    "blocked",
    "succeeded",
    "dead",
    "cancelled",
];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List runs, newest first
    List(ListArgs),
    /// Show one run with its attempts, their errors and logs
    Show(OneArgs),
    /// Show the recorded host calls of an attempt, or write them to a file
    Journal(journal::Args),
    /// Try a dead, cancelled or waiting run again, or all that fit a filter
    Retry(RetryArgs),
    /// End a run that is not over, or a dead one that holds up those behind it
    Cancel(OneArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only in this state
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// Only of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The run's id
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// The run's id; without it, all runs that fit
    #[arg(value_name = "ID", value_parser = path_segment,
        conflicts_with_all = ["plugin", "state", "event", "since", "until"])]
    id: Option<String>,
    /// Runs of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Runs in this state [default: dead]
    #[arg(long, value_name = "STATE", value_parser = ["dead", "cancelled", "waiting"])]
    state: Option<String>,
    /// Runs of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    bulk: BulkArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What is said of a dead run that blocks its ordering key.
const BLOCKS_KEY: &str =
    "the runs of its ordering key wait behind it until it is retried or cancelled";

/// A run as the API shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    id: String,
    event_id: Option<String>,
    plugin: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    attempt: u64,
    max_attempts: Option<u64>,
    created_at: Option<String>,
    next_attempt_at: Option<String>,
    finished_at: Option<String>,
    waits_behind: Option<String>,
    blocks_key: bool,
    outcome: Option<String>,
    summary: Option<String>,
    data: Value,
    error: Value,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attempt {
    n: u64,
    digest: Option<String>,
    host: Option<String>,
    started_at: Option<String>,
    duration_ms: Option<f64>,
    cpu_ms: Option<f64>,
    memory_bytes: Option<u64>,
    egress_bytes: Option<u64>,
    outcome: Option<String>,
    error: Value,
    logs: Vec<LogLine>,
    journal: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogLine {
    at: Option<String>,
    level: Option<String>,
    message: Option<String>,
    fields: Value,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List(args) => list(config_path, &args).await,
        Command::Show(args) => show(config_path, &args).await,
        Command::Journal(args) => journal::run(config_path, &args).await,
        Command::Retry(args) => retry(config_path, &args).await,
        Command::Cancel(args) => steer(config_path, &args.id, "cancel", &args.admin).await,
    }
}

async fn list(config_path: Option<&Path>, args: &ListArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let window = args.window.query(&screen);
    let filter = [
        ("plugin", args.plugin.as_deref()),
        ("state", args.state.as_deref()),
        ("event", args.event.as_deref()),
    ];
    let parameters = [filter.as_slice(), &window.parameters()].concat();
    let answer: Value = client.get_json(&["runs"], &parameters).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Run> = client.typed(answer)?;
    let mut output = table(&page.items, &screen, "no runs match");
    output.push_str(&next_page(page.next_cursor.as_deref()));
    print(&output)?;
    Ok(())
}

/// Runs as a table, or one line where there are none.
pub(crate) fn table(runs: &[Run], screen: &Screen, empty: &str) -> String {
    let rows: Vec<Vec<String>> = runs.iter().map(|run| row(run, screen)).collect();
    let headers = ["ID", "CREATED", "PLUGIN", "KIND", "STATE", "RESULT"];
    screen.table(&headers, &rows, empty)
}

fn row(run: &Run, screen: &Screen) -> Vec<String> {
    vec![
        run.id.clone(),
        text::relative(run.created_at.as_deref(), screen.now),
        text::or_dash(run.plugin.as_deref()),
        text::or_dash(run.kind.as_deref()),
        text::or_dash(run.state.as_deref()),
        result(run),
    ]
}

fn tries(run: &Run) -> String {
    run.max_attempts.map_or_else(
        || run.attempt.to_string(),
        |max| format!("{}/{max}", run.attempt),
    )
}

/// What the run has to say for itself, good or bad.
fn result(run: &Run) -> String {
    if run.error.is_null() {
        text::or_dash(run.summary.as_deref())
    } else {
        text::value(&run.error)
    }
}

/// Numbers by state on one line: `1 dead, 3 succeeded`.
pub(crate) fn counts(runs: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = runs
        .iter()
        .filter(|(_, n_runs)| **n_runs > 0)
        .map(|(state, n_runs)| format!("{n_runs} {state}"))
        .collect();
    text::or_dash(Some(&counts.join(", ")))
}

async fn show(config_path: Option<&Path>, args: &OneArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer: Value = client.get_json(&["runs", &args.id], &[]).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let run: Run = client.typed(answer)?;
    let screen = Screen::current();
    let mut output = summary(&run, &screen);
    for attempt in &run.attempts {
        output.push('\n');
        output.push_str(&describe(attempt, &screen));
    }
    print(&output)?;
    Ok(())
}

fn summary(run: &Run, screen: &Screen) -> String {
    let time = |time: &Option<String>| {
        time.as_deref()
            .map(|time| text::time(Some(time), screen.now))
    };
    let next_try = match (&run.waits_behind, run.state.as_deref()) {
        (Some(first), _) => Some(format!(
            "when run {first} is over, which has the same ordering key"
        )),
        (None, Some("blocked")) => {
            let plugin = text::or_dash(run.plugin.as_deref());
            Some(format!(
                "when `{plugin}` can run: see `hookbay plugins show {plugin}`"
            ))
        }
        (None, _) => time(&run.next_attempt_at),
    };
    facts(&[
        ("run", Some(run.id.clone())),
        ("event", run.event_id.clone()),
        ("plugin", run.plugin.clone()),
        ("source", run.source.clone()),
        ("kind", run.kind.clone()),
        (
            "state",
            Some(format!(
                "{}, tries {}",
                text::or_dash(run.state.as_deref()),
                tries(run)
            )),
        ),
        ("created", time(&run.created_at)),
        ("next try", next_try),
        ("finished", time(&run.finished_at)),
        ("outcome", run.outcome.clone()),
        ("summary", run.summary.clone()),
        ("data", said(&run.data)),
        ("error", said(&run.error)),
        ("note", run.blocks_key.then(|| BLOCKS_KEY.to_owned())),
    ])
}

/// A value as text, if there is one.
fn said(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| text::value(value))
}

/// One attempt: its bill, its error, its log lines.
fn describe(attempt: &Attempt, screen: &Screen) -> String {
    let bill: Vec<String> = [
        ("took", attempt.duration_ms.map(|ms| format!("{ms:.1} ms"))),
        ("cpu", attempt.cpu_ms.map(|ms| format!("{ms:.1} ms"))),
        ("memory", attempt.memory_bytes.map(text::size)),
        ("egress", attempt.egress_bytes.map(text::size)),
    ]
    .into_iter()
    .filter_map(|(what, amount)| Some(format!("{what} {}", amount?)))
    .collect();
    let n_calls = attempt.journal.len();
    let mut output = facts(&[
        ("attempt", Some(attempt.n.to_string())),
        (
            "outcome",
            Some(
                attempt
                    .outcome
                    .clone()
                    .unwrap_or_else(|| "running".to_owned()),
            ),
        ),
        ("error", said(&attempt.error)),
        (
            "started",
            Some(text::time(attempt.started_at.as_deref(), screen.now)),
        ),
        ("bill", (!bill.is_empty()).then(|| bill.join(", "))),
        ("digest", attempt.digest.clone()),
        ("host", attempt.host.clone()),
        (
            "host calls",
            (n_calls > 0).then(|| format!("{n_calls}, shown by `hookbay runs journal`")),
        ),
    ]);
    for line in &attempt.logs {
        writeln!(output, "  {}", text::harmless(&log_line(line)))
            .expect("a String takes every write");
    }
    output
}

fn log_line(line: &LogLine) -> String {
    let has_fields = match &line.fields {
        Value::Null => false,
        Value::Array(fields) => !fields.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    let fields = if has_fields {
        format!("  {}", line.fields)
    } else {
        String::new()
    };
    let (at, level) = (
        text::or_dash(line.at.as_deref()),
        text::or_dash(line.level.as_deref()),
    );
    format!(
        "{at}  {level:5}  {}{fields}",
        line.message.as_deref().unwrap_or_default()
    )
}

async fn retry(config_path: Option<&Path>, args: &RetryArgs) -> Result<(), CommandError> {
    if let Some(id) = &args.id {
        return steer(config_path, id, "retry", &args.admin).await;
    }
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let (since, until) = (args.period.since(&screen), args.period.until(&screen));
    let filter = [
        ("plugin", args.plugin.as_deref()),
        ("state", args.state.as_deref()),
        ("event", args.event.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
    ];
    let path = ["runs", "retry"];
    let is_json = args.admin.json;
    operations::begin(&client, &path, &filter, None, &args.bulk, is_json).await
}

/// Has one run retried or cancelled.
async fn steer(
    config_path: Option<&Path>,
    id: &str,
    what: &str,
    admin: &AdminArgs,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer: Value = client.post_json(&["runs", id, what], &json!({})).await?;
    if admin.json {
        print_json(&answer)?;
    } else {
        let state = text::value(&answer["state"]);
        print(&format!(
            "run {} is {}\n",
            text::harmless(id),
            text::harmless(&state)
        ))?;
    }
    Ok(())
}
