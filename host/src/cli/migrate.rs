//! `hookbay migrate`: the database's tables as this version needs them, without a host.
//!
//! `serve` does the same at its start; this is for those who want it done before.

use std::path::Path;

use super::table::print;
use super::{CommandError, text};
use crate::config::{Config, Database};
use crate::store::{Settings, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(config_path: Option<&Path>, _args: Args) -> Result<(), CommandError> {
    let config = Config::load(config_path)?;
    // Only a file can be seen to be new.
    let (name, existed) = match &config.database {
        Database::Sqlite(file) => (file.display().to_string(), file.exists()),
        Database::Postgres(url) => (url.to_string(), true),
    };
    Store::migrate(&Settings::of(&config))
        .await
        .map_err(|error| CommandError::Failed(error.to_string()))?;
    let done = if existed {
        "is up to date"
    } else {
        "was created"
    };
    print(&format!("database {} {done}\n", text::harmless(&name)))?;
    Ok(())
}
