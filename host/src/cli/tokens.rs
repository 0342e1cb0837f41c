//! `hookbay tokens`: who may ask a running host, and how much.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, AdminClient, Page, path_segment};
use super::table::{Screen, print, print_json};
use super::{CommandError, text};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the tokens, without their text
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Make a token and print it; nobody can read it again
    Create(CreateArgs),
    /// Make a token worthless
    Revoke {
        /// The token's name
        #[arg(value_name = "NAME", value_parser = path_segment)]
        name: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is good for; each includes the one before
    #[arg(long, value_name = "SCOPE", value_parser = ["read", "operate", "admin"])]
    scope: String,
    /// How long it is good, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "AGE", value_parser = text::age_of)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Token {
    name: String,
    scope: Option<String>,
    created_at: Option<String>,
    created_by: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    token: Option<String>,
}

pub(crate) async fn run(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::List { admin } => list(config_path, &admin).await,
        Command::Create(args) => create(config_path, &args).await,
        Command::Revoke { name, admin } => revoke(config_path, &name, &admin).await,
    }
}

async fn list(config_path: Option<&Path>, admin: &AdminArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer: Value = client.get_json(&["tokens"], &[]).await?;
    if admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let page: Page<Token> = client.typed(answer)?;
    let screen = Screen::current();
    let row = |token: &Token| {
        let when = |time: &Option<String>| text::relative(time.as_deref(), screen.now);
        vec![
            token.name.clone(),
            text::or_dash(token.scope.as_deref()),
            when(&token.created_at),
            text::or_dash(token.created_by.as_deref()),
            when(&token.expires_at),
            when(&token.last_used_at),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let headers = ["NAME", "SCOPE", "CREATED", "BY", "EXPIRES", "LAST USED"];
    let empty = "no tokens but the host's own: hookbay tokens create NAME --scope read";
    print(&screen.table(&headers, &rows, empty))?;
    Ok(())
}

async fn create(config_path: Option<&Path>, args: &CreateArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let now = Screen::current().now;
    let expires_at = args.expires_in.map(|age| now.plus(age).to_string());
    let wanted = json!({ "name": args.name, "scope": args.scope, "expires_at": expires_at });
    let answer: Value = client.post_json(&["tokens"], &wanted).await?;
    if args.admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    let made: Token = client.typed(answer)?;
    // The token alone, so that it can be redirected into a file.
    let token = made.token.unwrap_or_default();
    print(&format!("{}\n", text::harmless(&token)))?;
    Ok(())
}

async fn revoke(
    config_path: Option<&Path>,
    name: &str,
    admin: &AdminArgs,
) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, admin)?;
    let answer = client.delete_json(&["tokens", name], &[]).await?;
    if admin.json {
        print_json(&answer)?;
        return Ok(());
    }
    print(&format!("token {} is revoked\n", text::harmless(name)))?;
    Ok(())
}
