//! `hookbay audit`: who changed what on a running host.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::client::{AdminArgs, AdminClient, Page};
use super::page::next_page;
use super::table::{Screen, print, print_json};
use super::{CommandError, text};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List changes, newest first
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those made with this token
    #[arg(long = "by", value_name = "NAME")]
    token: Option<String>,
    /// Only these, such as plugins.pause
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only those since then: a time, a date, or an age such as 2h
    #[arg(long, value_name = "TIME", value_parser = text::moment)]
    since: Option<text::Moment>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    at: Option<String>,
    token: Option<String>,
    action: Option<String>,
    target: Option<String>,
    remote_addr: Option<String>,
    status: Option<u16>,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List(args) => list(config_path, &args).await,
    }
}

async fn list(config_path: Option<&Path>, args: &ListArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let limit = args.limit.map(|limit| limit.to_string());
    let since = args.since.map(|since| since.rfc3339(screen.now));
    let parameters = [
        ("token", args.token.as_deref()),
        ("action", args.action.as_deref()),
        ("since", since.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", args.cursor.as_deref()),
    ];
    let answer: Value = client.get_json(&["audit"], &parameters).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Change> = client.typed(answer)?;
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|change| row(change, &screen))
        .collect();
    let headers = ["AT", "TOKEN", "ACTION", "TARGET", "FROM", "RESULT"];
    let mut output = screen.table(&headers, &rows, "no changes");
    output.push_str(&next_page(page.next_cursor.as_deref()));
    print(&output)?;
    Ok(())
}

fn row(change: &Change, screen: &Screen) -> Vec<String> {
    let result = match change.status {
        Some(status @ 200..300) => format!("done ({status})"),
        Some(status) => format!("refused ({status})"),
        None => "unknown".to_owned(),
    };
    vec![
        text::relative(change.at.as_deref(), screen.now),
        text::or_dash(change.token.as_deref()),
        text::or_dash(change.action.as_deref()),
        text::or_dash(change.target.as_deref()),
        text::or_dash(change.remote_addr.as_deref()),
        result,
    ]
}
