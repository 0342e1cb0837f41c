//! `hookbay migrate`: the database's tables as this version needs them, without a host.
//!
//! `serve` does the same at its start; this is for those who want it done before.

use std::path::Path;

use super::table::print;
use super::{CommandError, text};
use crate::config::{Config, Database};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(config_path: Option<&Path>, _args: Args) -> Result<(), CommandError> {
    let config = Config::load(config_path)?;
    let Database::Sqlite(file) = &config.database;
    let existed = file.exists();
    Store::migrate(&config.database)
        .await
        .map_err(|error| CommandError::Failed(error.to_string()))?;
    let done = if existed {
        "is up to date"
    } else {
        "was created"
    };
    let file = file.display().to_string();
    print(&format!("database {} {done}\n", text::harmless(&file)))?;
    Ok(())
}
