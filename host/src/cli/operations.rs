//! `hookbay operations`: bulk work of a running host, and how far it is. What begins one
//! is [`super::events`]' and [`super::runs`]'.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::page::next_page;
use super::progress::bar;
use super::table::{Reader, Screen, facts, print, print_json};
use super::{CommandError, text};

/// Between two looks at an operation that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List operations, newest first
    List(ListArgs),
    /// Show one operation and how far it is
    Show(OneArgs),
    /// End an operation; what it has done stays
    Cancel(OneArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The operation's id
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// How bulk work is begun.
#[derive(Debug, clap::Args)]
pub(crate) struct BulkArgs {
    /// Everything, where no filter is given
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    /// Only count what fits
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    /// Show how far it is until it is done
    #[arg(long, conflicts_with = "id")]
    wait: bool,
}

/// An operation as the API shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Operation {
    id: String,
    what: Option<String>,
    dry_run: bool,
    filter: Option<BTreeMap<String, String>>,
    plugin: Option<String>,
    forced: bool,
    state: Option<String>,
    done: u64,
    total: Option<u64>,
    created_by: Option<String>,
    created_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
}

/// The answer to what begins one.
#[derive(Debug, Deserialize)]
struct Begun {
    operation_id: String,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List(args) => list(config_path, &args).await,
        Command::Show(args) => show(config_path, &args).await,
        Command::Cancel(args) => cancel(config_path, &args).await,
    }
}

/// Begins bulk work over what a filter names, with one more wish, and follows it if that
/// is wanted.
///
/// # Errors
/// [`CommandError::Failed`] if it cannot begin, or does not succeed while it is followed.
pub(crate) async fn begin(
    client: &AdminClient,
    path: &[&str],
    filter: &[(&'static str, Option<&str>)],
    more: Option<(&'static str, Value)>,
    args: &BulkArgs,
    is_json: bool,
) -> Result<(), CommandError> {
    let given = filter
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    let filter: serde_json::Map<String, Value> = given
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if filter.is_empty() && !args.all {
        return Err(CommandError::Failed(
            "name an id, a filter, or --all for everything".to_owned(),
        ));
    }
    let mut wish = json!({ "filter": filter, "dry_run": args.dry_run });
    if let Some((name, value)) = more {
        wish[name] = value;
    }
    let answer: Value = client.post_json(path, &wish).await?;
    if args.dry_run {
        let begun: Begun = client.typed(answer)?;
        return follow(client, &begun.operation_id, true, is_json).await;
    }
    begun(client, answer, args.wait, is_json).await
}

/// Says that an operation has begun, or follows it if that is wanted.
///
/// # Errors
/// [`CommandError::Failed`] if it does not succeed while it is followed.
pub(super) async fn begun(
    client: &AdminClient,
    answer: Value,
    is_awaited: bool,
    is_json: bool,
) -> Result<(), CommandError> {
    if is_json && !is_awaited {
        print_json(&answer)?;
        return Ok(());
    }
    let begun: Begun = client.typed(answer)?;
    if is_awaited {
        return follow(client, &begun.operation_id, false, is_json).await;
    }
    let id = text::harmless(&begun.operation_id);
    print(&format!(
        "operation {id} has begun: hookbay operations show {id}\n"
    ))?;
    Ok(())
}

/// Shows how far an operation is until it is over: on a terminal in one line.
async fn follow(
    client: &AdminClient,
    id: &str,
    is_dry_run: bool,
    is_json: bool,
) -> Result<(), CommandError> {
    let is_terminal = std::io::stderr().is_terminal();
    let mut shown = String::new();
    loop {
        let answer: Value = client.get_json(&["operations", id], &[]).await?;
        let operation: Operation = client.typed(answer.clone())?;
        let state = text::or_dash(operation.state.as_deref());
        let is_over = state != "running";
        let mut progress = format!("operation {}: {}", text::harmless(id), progress(&operation));
        if let (true, Some(total)) = (is_terminal, operation.total) {
            progress = format!("{progress} [{}]", bar(operation.done, total));
        }
        if progress != shown && !is_dry_run {
            say(&progress, is_terminal, is_over);
            shown = progress;
        }
        if !is_over {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        if is_json {
            print_json(&answer)?;
        } else if is_dry_run && state == "succeeded" {
            print(&format!("{} fit\n", operation.total.unwrap_or_default()))?;
        }
        return match (state.as_str(), operation.error) {
            ("succeeded", _) => Ok(()),
            (_, error) => Err(CommandError::Failed(format!(
                "operation {id} is {state}{}",
                error.map_or_else(String::new, |error| format!(": {error}"))
            ))),
        };
    }
}

/// A line of progress, which is not the command's result: to stderr. Where that is closed
/// nobody wants to know.
fn say(progress: &str, is_terminal: bool, is_last: bool) {
    let mut stderr = std::io::stderr().lock();
    let (before, after) = match (is_terminal, is_last) {
        (true, false) => ("\r", "\x1b[K"),
        (true, true) => ("\r", "\x1b[K\n"),
        (false, _) => ("", "\n"),
    };
    drop(write!(stderr, "{before}{progress}{after}"));
    drop(stderr.flush());
}

/// `running, 1200 of 4500`; of what is only counted `succeeded, 4500 would be done`.
fn progress(operation: &Operation) -> String {
    let state = text::or_dash(operation.state.as_deref());
    if operation.dry_run {
        let state = text::harmless(&state);
        return match operation.total {
            Some(total) => format!("{state}, {total} would be done"),
            None => format!("{state}, not counted yet"),
        };
    }
    let total = operation
        .total
        .map_or_else(|| "?".to_owned(), |total| total.to_string());
    format!("{}, {} of {total}", text::harmless(&state), operation.done)
}

/// What it does, and whether it only counts.
fn what(operation: &Operation) -> Option<String> {
    let what = operation.what.clone()?;
    Some(match operation.dry_run {
        true => format!("{what} (dry run)"),
        false => what,
    })
}

/// What it is over: `kind=push since=…`; nothing for the end of a plugin, which has its name.
fn over_what(operation: &Operation) -> Option<String> {
    if operation.what.as_deref() == Some("forget") {
        return None;
    }
    let filter = operation.filter.as_ref()?;
    let parts: Vec<String> = filter
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Some(if parts.is_empty() {
        "everything".to_owned()
    } else {
        parts.join(" ")
    })
}

async fn list(config_path: Option<&Path>, args: &ListArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let limit = args.limit.map(|limit| limit.to_string());
    let parameters = [
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer: Value = client.get_json(&["operations"], &parameters).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Operation> = client.typed(answer)?;
    let screen = Screen::current();
    let row = |operation: &Operation| {
        vec![
            operation.id.clone(),
            text::relative(operation.created_at.as_deref(), screen.now),
            what(operation).unwrap_or_else(|| text::or_dash(None)),
            progress(operation),
            text::or_dash(operation.error.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let headers = ["ID", "CREATED", "WHAT", "STATE", "ERROR"];
    let mut output = screen.table(&headers, &rows, "no operations");
    output.push_str(&next_page(page.next_cursor.as_deref()));
    print(&output)?;
    Ok(())
}

async fn show(config_path: Option<&Path>, args: &OneArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer: Value = client.get_json(&["operations", &args.id], &[]).await?;
    shown(&client, answer, args.admin.json).map(drop)
}

async fn cancel(config_path: Option<&Path>, args: &OneArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer = client.delete_json(&["operations", &args.id], &[]).await?;
    shown(&client, answer, args.admin.json).map(drop)
}

fn shown(client: &AdminClient, answer: Value, is_json: bool) -> Result<Reader, CommandError> {
    if is_json {
        return print_json(&answer);
    }
    let operation: Operation = client.typed(answer)?;
    let now = Screen::current().now;
    let time = |time: &Option<String>| time.as_deref().map(|time| text::time(Some(time), now));
    let note = operation.forced.then_some("without proof of who sent it");
    print(&facts(&[
        ("operation", Some(operation.id.clone())),
        ("what", what(&operation)),
        ("filter", over_what(&operation)),
        ("plugin", operation.plugin.clone()),
        ("note", note.map(str::to_owned)),
        ("state", Some(progress(&operation))),
        ("begun by", operation.created_by.clone()),
        ("created", time(&operation.created_at)),
        ("finished", time(&operation.finished_at)),
        ("error", operation.error.clone()),
    ]))
}
