//! `hookbay runs journal`: the recorded host calls of one attempt, as a table or as the
//! file that `hookbay plugin run --journal` executes again.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{AdminArgs, AdminClient, path_segment};
use crate::cli::table::{Screen, print, print_json};
use crate::cli::{CommandError, text};

/// Longest request or answer in the table.
const SHOWN_MAX: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id
    #[arg(value_name = "ID", value_parser = path_segment)]
    id: String,
    /// Which attempt [default: the last that kept a journal]
    #[arg(long, value_name = "N")]
    attempt: Option<u64>,
    /// Write the journal to this file, for `hookbay plugin run --journal`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Run {
    attempts: Vec<Attempt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attempt {
    n: u64,
    journal_size_bytes: u64,
}

pub(crate) async fn run(config_path: Option<&Path>, args: &Args) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let n = match args.attempt {
        Some(n) => n,
        None => last_kept(&client, &args.id).await?,
    }
    .to_string();
    let path = ["runs", &args.id, "attempts", &n, "journal"];
    let file: Value = client.get_json(&path, &[]).await?;
    if let Some(out) = &args.out {
        let written = std::fs::write(out, file.to_string());
        written.map_err(|error| {
            CommandError::Failed(format!("cannot write {}: {error}", out.display()))
        })?;
        print(&format!(
            "wrote {}; `hookbay plugin run FILE.wasm --journal` executes it again\n",
            out.display()
        ))?;
        return Ok(());
    }
    if args.admin.json {
        print_json(&file)?;
        return Ok(());
    }
    print(&table(&file["journal"], &Screen::current()))?;
    Ok(())
}

async fn last_kept(client: &AdminClient, id: &str) -> Result<u64, CommandError> {
    let run: Run = client.get_json(&["runs", id], &[]).await?;
    let kept = run
        .attempts
        .iter()
        .rev()
        .find(|attempt| attempt.journal_size_bytes > 0);
    kept.map(|attempt| attempt.n).ok_or_else(|| {
        CommandError::Failed(format!(
            "no attempt of run {} kept a journal; `journal = \"all\"` of its plugin keeps every one",
            text::harmless(id)
        ))
    })
}

fn table(journal: &Value, screen: &Screen) -> String {
    let calls = journal["calls"].as_array().map(Vec::as_slice);
    let calls = calls.unwrap_or_default().iter().enumerate();
    let rows: Vec<Vec<String>> = calls.map(|(position, call)| row(position, call)).collect();
    let headers = ["#", "AT MS", "TOOK MS", "CALL", "REQUEST", "RESPONSE"];
    let mut output = screen.table(&headers, &rows, "the attempt made no calls");
    if let Some(why) = journal["incomplete"].as_str() {
        output.push_str(&format!("incomplete: {}\n", text::harmless(why)));
    }
    output
}

fn row(position: usize, call: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_f64().map(|ms| format!("{ms:.1}"));
    vec![
        (position + 1).to_string(),
        text::or_dash(number(&call["started_ms"]).as_deref()),
        text::or_dash(number(&call["duration_ms"]).as_deref()),
        text::value(&call["call"]),
        short(&call["request"]),
        short(&call["response"]),
    ]
}

fn short(value: &Value) -> String {
    if value.is_null() {
        return "-".to_owned();
    }
    let mut shown = value.to_string();
    if shown.len() > SHOWN_MAX {
        shown.truncate(shown.floor_char_boundary(SHOWN_MAX));
        shown.push('…');
    }
    shown
}
