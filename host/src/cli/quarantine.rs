//! `hookbay quarantine`: refused requests that a running host has set aside.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::operations::{self, BulkArgs};
use super::page::{Period, Window, next_page};
use super::table::{Screen, facts, print, print_json};
use super::{CommandError, request, text};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List refused requests, newest first, with what was wrong
    List(ListArgs),
    /// Show one with what has probably happened; credentials are hidden
    Show(ShowArgs),
    /// Verify again as of receipt, and store what is genuine now
    Release(ReleaseArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Refused for this reason, such as `wrong_signature`
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The request's id, which its sender was told
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    /// Write the raw body to stdout, and nothing else
    #[arg(long, conflicts_with = "json")]
    body: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The request's id; without it, all that fit and are genuine now
    #[arg(value_name = "ID", value_parser = path_segment,
        conflicts_with_all = ["source", "reason", "since", "until"])]
    id: Option<String>,
    /// Store without proof: noted in the audit log, and marked on the event
    #[arg(long)]
    force: bool,
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Refused for this reason
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    bulk: BulkArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A refused request as the API shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refused {
    id: String,
    source: Option<String>,
    received_at: Option<String>,
    reason: Reason,
    size_bytes: u64,
    remote_addr: Option<String>,
    expires_at: Option<String>,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: Option<String>,
    message: Option<String>,
    hint: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Released {
    status: String,
    #[serde(default)]
    event_id: Option<String>,
    /// Instead, where it is several.
    #[serde(default)]
    event_ids: Vec<String>,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List(args) => list(config_path, &args).await,
        Command::Show(args) if args.body => {
            let client = AdminClient::new(config_path, &args.admin)?;
            request::write_body(&client, &["quarantine", &args.id, "body"]).await
        }
        Command::Show(args) => show(config_path, &args).await,
        Command::Release(args) => release(config_path, &args).await,
    }
}

async fn list(config_path: Option<&Path>, args: &ListArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let window = args.window.query(&screen);
    let filter = [
        ("source", args.source.as_deref()),
        ("reason", args.reason.as_deref()),
    ];
    let parameters = [filter.as_slice(), &window.parameters()].concat();
    let answer: Value = client.get_json(&["quarantine"], &parameters).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Refused> = client.typed(answer)?;
    let row = |one: &Refused| {
        vec![
            one.id.clone(),
            text::relative(one.received_at.as_deref(), screen.now),
            text::or_dash(one.source.as_deref()),
            text::or_dash(one.reason.code.as_deref()),
            text::or_dash(one.remote_addr.as_deref()),
            text::or_dash(one.reason.hint.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let headers = ["ID", "RECEIVED", "SOURCE", "REASON", "FROM", "PROBABLY"];
    let mut output = screen.table(&headers, &rows, "nothing is set aside");
    output.push_str(&next_page(page.next_cursor.as_deref()));
    print(&output)?;
    Ok(())
}

async fn show(config_path: Option<&Path>, args: &ShowArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let answer: Value = client.get_json(&["quarantine", &args.id], &[]).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let one: Refused = client.typed(answer)?;
    let screen = Screen::current();
    let time = |time: &Option<String>| time.as_deref().map(|at| text::time(Some(at), screen.now));
    let mut output = facts(&[
        ("request", Some(one.id.clone())),
        ("source", one.source.clone()),
        ("from", one.remote_addr.clone()),
        ("received", time(&one.received_at)),
        ("kept until", time(&one.expires_at)),
        ("size", Some(text::size(one.size_bytes))),
        ("refused", one.reason.code.clone()),
        ("because", one.reason.message.clone()),
        ("probably", one.reason.hint.clone()),
    ]);
    output.push('\n');
    output.push_str(&request::headers(&screen, &one.headers));
    print(&output)?;
    Ok(())
}

async fn release(config_path: Option<&Path>, args: &ReleaseArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let Some(id) = &args.id else {
        let screen = Screen::current();
        let (since, until) = (args.period.since(&screen), args.period.until(&screen));
        let filter = [
            ("source", args.source.as_deref()),
            ("reason", args.reason.as_deref()),
            ("since", since.as_deref()),
            ("until", until.as_deref()),
        ];
        let force = args.force.then_some(("force", Value::Bool(true)));
        let path = ["quarantine", "release"];
        let is_json = args.admin.json;
        return operations::begin(&client, &path, &filter, force, &args.bulk, is_json).await;
    };
    let wish = json!({ "force": args.force });
    let path = ["quarantine", id, "release"];
    let answer: Value = client.post_json(&path, &wish).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let released: Released = client.typed(answer)?;
    let events = released.event_id.iter().chain(&released.event_ids);
    let events: Vec<String> = events.map(|event| text::harmless(event)).collect();
    let word = match events.as_slice() {
        [_] => "event",
        _ => "events",
    };
    let events = events.join(", ");
    print(&match released.status.as_str() {
        "accepted" => format!("it is {word} {events} now\n"),
        _ => format!("it had come before: {word} {events}\n"),
    })?;
    Ok(())
}
