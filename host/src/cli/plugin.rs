//! `hookbay plugin`: a plugin file on the bench, without a host and without a store.
//!
//! [`new`] makes the crate of one. [`inspect`] says what a file is, [`run`](mod@run) executes
//! it once or often in the real sandbox, on an event and a state that [`fixture`] reads from
//! files.

use std::path::Path;

use super::CommandError;
use crate::clock::Clock;
use crate::config::{Config, Maxima};
use crate::name::PluginName;
use crate::plugin::PluginHost;

mod fixture;
mod inspect;
mod new;
mod run;
mod sign;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a crate for a new plugin that builds and passes its own tests
    New(new::Args),
    /// Say what a file is: its manifest, its imports, and whether a host can run it
    Inspect(inspect::Args),
    /// Run a plugin once in the real sandbox, and print what it did and used
    Run(Box<run::Args>),
    /// Make a key that signs plugins, and print what goes into `trusted_keys`
    Keygen(sign::KeygenArgs),
    /// Sign a plugin file: writes FILE.sig beside it
    Sign(sign::SignArgs),
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    // The bench is not this folder's host: only a file that is named counts.
    let config = || config_path.map(|path| Config::load(Some(path))).transpose();
    match args.command {
        Command::New(args) => new::run(&args),
        Command::Inspect(args) => inspect::run(config()?.as_ref(), &args).await,
        Command::Run(args) => run::run(config()?.as_ref(), &args).await,
        Command::Keygen(args) => sign::keygen(&args),
        Command::Sign(args) => sign::sign(&args),
    }
}

/// What plugins may have at most, here or by default.
fn maxima(config: Option<&Config>) -> Maxima {
    config.map(|config| config.maxima).unwrap_or_default()
}

/// An engine with room for one run at a time.
fn start(maxima: Maxima) -> Result<PluginHost, CommandError> {
    let maxima = Maxima {
        concurrent_runs: 1,
        ..maxima
    };
    PluginHost::start(maxima, Clock::system(), None)
        .map_err(|error| CommandError::Failed(error.to_string()))
}

/// The name that a file gives its plugin.
fn name_of(file: &Path) -> Option<PluginName> {
    file.file_stem()?.to_str()?.parse().ok()
}

fn unreadable(file: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot read {}: {error}", file.display()))
}
