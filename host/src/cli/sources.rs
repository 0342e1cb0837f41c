//! `hookbay sources`: what a running host receives, and from whom.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::table::{Screen, print, print_json};
use super::{CommandError, text};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the sources
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Tell a source's senders to come again later, on every host
    Pause(OneArgs),
    /// Take a source's webhooks again
    Resume(OneArgs),
    /// Forget the secret that a source's sender brought, so that the next one is learnt
    ForgetSecret(OneArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The source's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    name: String,
    paths: Vec<String>,
    provider: Option<String>,
    covers_body: Option<bool>,
    paused: bool,
    last_event_at: Option<String>,
    received_1h: u64,
    rejected_1h: u64,
    secrets: Vec<SourceSecret>,
}

/// A source's secret: which, and when it last proved a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SourceSecret {
    n: u64,
    last_matched_at: Option<String>,
    learnt: Option<Learnt>,
}

/// A secret that the sender brought.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Learnt {
    fingerprint: String,
    refused: Option<Refused>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refused {
    fingerprint: String,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List { admin } => list(config_path, &admin).await,
        Command::Pause(args) => steer(config_path, &args, "pause", "is paused").await,
        Command::Resume(args) => steer(config_path, &args, "resume", "takes webhooks").await,
        Command::ForgetSecret(args) => {
            let outcome = "learns the next secret that its sender brings";
            steer(config_path, &args, "secrets/forget", outcome).await
        }
    }
}

async fn steer(
    config_path: Option<&Path>,
    args: &OneArgs,
    action: &str,
    outcome: &str,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let mut path = vec!["sources", args.name.as_str()];
    path.extend(action.split('/'));
    let answer: Value = client.post_json(&path, &json!({})).await?;
    if args.admin.json {
        print_json(&answer)?;
    } else {
        print(&format!(
            "source {} {outcome}\n",
            text::harmless(&args.name)
        ))?;
    }
    Ok(())
}

async fn list(config_path: Option<&Path>, admin: &AdminArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer: Value = client
        .get_json(&["sources"], &[("limit", Some("1000"))])
        .await?;
    if admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Source> = client.typed(answer)?;
    let screen = Screen::current();
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|source| row(source, &screen))
        .collect();
    print(&screen.table(
        &[
            "NAME",
            "PROVIDER",
            "STATE",
            "SIGNS",
            "LAST EVENT",
            "RECEIVED 1H",
            "REJECTED 1H",
            "SECRETS MATCHED",
            "PATHS",
        ],
        &rows,
        "no sources yet: add a [sources.NAME] table to the configuration",
    ))?;
    Ok(())
}

fn row(source: &Source, screen: &Screen) -> Vec<String> {
    let signs = source
        .covers_body
        .map(|covers| if covers { "body" } else { "not the body" });
    vec![
        source.name.clone(),
        text::or_dash(source.provider.as_deref()),
        if source.paused { "paused" } else { "receiving" }.to_owned(),
        text::or_dash(signs),
        text::relative(source.last_event_at.as_deref(), screen.now),
        source.received_1h.to_string(),
        source.rejected_1h.to_string(),
        secrets(source, screen),
        text::or_dash(Some(&source.paths.join(" "))),
    ]
}

/// `1: 2 min ago, 2: -`; of one that the sender brought also by what it is recognised.
fn secrets(source: &Source, screen: &Screen) -> String {
    let one = |secret: &SourceSecret| {
        let matched = text::relative(secret.last_matched_at.as_deref(), screen.now);
        let Some(learnt) = &secret.learnt else {
            return format!("{}: {matched}", secret.n);
        };
        let refused = learnt.refused.as_ref().map_or_else(String::new, |refused| {
            format!(", {} was refused", refused.fingerprint)
        });
        format!("learnt {}: {matched}{refused}", learnt.fingerprint)
    };
    let all: Vec<String> = source.secrets.iter().map(one).collect();
    text::or_dash(Some(&all.join(", ")))
}
