//! `hookbay plugins rollback`, `unpin` and `forget`: which of its versions a plugin runs,
//! or none any more.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::client::{AdminArgs, AdminClient, path_segment};
use super::super::operations;
use super::super::table::{Screen, print, print_json};
use super::super::{CommandError, text};
use super::{NamedArgs, Plugin};

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The plugin's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    /// The version, as `plugins show` lists them [default: the one before the active one]
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    /// The plugin's name
    #[arg(value_name = "NAME", value_parser = path_segment)]
    name: String,
    /// Show how far it is until it is done
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A version that can be active.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Version {
    digest: String,
    version: Option<String>,
    first_activated_at: Option<String>,
    activated_at: Option<String>,
    is_active: bool,
}

pub(super) async fn roll_back(
    config_path: Option<&Path>,
    args: &RollbackArgs,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let body = match &args.digest {
        Some(start) => json!({ "digest": whole_digest(&client, &args.name, start).await? }),
        None => json!({}),
    };
    let path = ["plugins", &args.name, "rollback"];
    let answer = client.post_json(&path, &body).await?;
    say(&client, answer, args.admin.json, "is pinned to")
}

/// The digest that begins so; tables show only its start.
async fn whole_digest(
    client: &AdminClient,
    name: &str,
    start: &str,
) -> Result<String, CommandError> {
    let plugin: Plugin = client.get_json(&["plugins", name], &[]).await?;
    let fits = |version: &&Version| version.digest.starts_with(start);
    let found: Vec<&Version> = plugin.versions.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one.digest.clone()),
        // The host knows why it cannot have it.
        [] => Ok(start.to_owned()),
        several => Err(CommandError::Failed(format!(
            "`{start}` could be any of {} versions of plugin `{name}`",
            several.len()
        ))),
    }
}

pub(super) async fn unpin(
    config_path: Option<&Path>,
    args: &NamedArgs,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let path = ["plugins", &args.name, "unpin"];
    let answer = client.post_json(&path, &json!({})).await?;
    say(&client, answer, args.admin.json, "is unpinned and runs")
}

/// Says which version runs now.
fn say(client: &AdminClient, answer: Value, is_json: bool, what: &str) -> Result<(), CommandError> {
    if is_json {
        print_json(&answer)?;
        return Ok(());
    }
    let plugin: Plugin = client.typed(answer)?;
    let digest = text::short_digest(plugin.digest.as_deref());
    let version = text::or_dash(plugin.version.as_deref());
    let line = format!("plugin {} {what} {digest} ({version})", plugin.name);
    print(&format!("{}\n", text::harmless(&line)))?;
    Ok(())
}

pub(super) async fn forget(
    config_path: Option<&Path>,
    args: &ForgetArgs,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let path = ["plugins", &args.name, "forget"];
    let answer: Value = client.post_json(&path, &json!({})).await?;
    operations::begun(&client, answer, args.wait, args.admin.json).await
}

/// The versions, newest first; nothing, if there is no choice.
pub(super) fn table(versions: &[Version], screen: &Screen) -> String {
    if versions.len() < 2 {
        return String::new();
    }
    let row = |version: &Version| {
        vec![
            text::short_digest(Some(&version.digest)),
            text::or_dash(version.version.as_deref()),
            text::relative(version.first_activated_at.as_deref(), screen.now),
            text::relative(version.activated_at.as_deref(), screen.now),
            if version.is_active { "active" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = versions.iter().map(row).collect();
    let headers = ["DIGEST", "VERSION", "FIRST ACTIVATED", "LAST ACTIVATED", ""];
    let mut table = screen.table(&headers, &rows, "");
    table.push('\n');
    table
}
