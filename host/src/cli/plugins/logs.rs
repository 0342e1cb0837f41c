//! `hookbay plugins logs`: what a plugin has logged in its newest runs, in their order.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::client::{AdminArgs, AdminClient, Page, path_segment};
use crate::cli::table::{print, print_json};
use crate::cli::{CommandError, text};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    /// Of so many runs, the newest
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Run {
    id: String,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    n: u64,
    logs: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    at: String,
    level: String,
    message: String,
    fields: Value,
}

pub(super) async fn run(config_path: Option<&Path>, args: &Args) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let limit = args.runs.to_string();
    let parameters = [
        ("plugin", Some(args.name.as_str())),
        ("limit", Some(limit.as_str())),
    ];
    let page: Page<Named> = client.get_json(&["runs"], &parameters).await?;
    let (mut lines, mut output) = (Vec::new(), String::new());
    for named in page.items.iter().rev() {
        let run: Run = client.get_json(&["runs", &named.id], &[]).await?;
        for attempt in &run.attempts {
            for line in &attempt.logs {
                lines.push(json!({
                    "run": run.id, "attempt": attempt.n, "at": line.at, "level": line.level,
                    "message": line.message, "fields": line.fields,
                }));
                let fields = match line.fields.as_object() {
                    Some(fields) if !fields.is_empty() => format!("  {}", line.fields),
                    _ => String::new(),
                };
                let said = format!(
                    "{}  {:5}  run {} try {}  {}{fields}",
                    line.at, line.level, run.id, attempt.n, line.message
                );
                output.push_str(&text::harmless(&said));
                output.push('\n');
            }
        }
    }
    if args.admin.json {
        print_json(&Value::from(lines))?;
    } else if output.is_empty() {
        let name = text::harmless(&args.name);
        print(&format!(
            "{name} has logged nothing in its {} newest runs\n",
            page.items.len()
        ))?;
    } else {
        print(&output)?;
    }
    Ok(())
}
