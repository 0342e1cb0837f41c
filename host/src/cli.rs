//! The command line: the tree of commands, their runtime, and their exit codes.
//!
//! `serve`, `check`, `verify`, `plugin` and `migrate` work on this machine's configuration and files;
//! `events`, `runs`, `quarantine`, `operations`, `sources`, `plugins`, `tokens`, `audit` and `backup` ask a
//! running host over its admin API (`client`) and print what it answers (`table`, `text`).
//!
//! Exit codes: 0 good, 1 the thing asked about is bad, 2 usage (clap's own), 64 bad
//! configuration, one line per problem. No command reads the environment: that is
//! `config`'s.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;

mod client;
mod table;
mod text;

mod audit;
mod backup;
mod check;
mod completions;
mod events;
mod listen;
mod migrate;
mod operations;
mod page;
mod plugin;
mod plugins;
mod progress;
mod quarantine;
mod request;
mod runs;
mod send;
mod serve;
mod sources;
mod telemetry;
mod tokens;
mod verify;

/// Exit code of wrong usage, as clap's.
const EXIT_USAGE: u8 = 2;
/// Exit code of a bad configuration: `EX_USAGE` of `sysexits.h`.
const EXIT_CONFIG: u8 = 64;

/// A webhook engine: it receives webhooks, proves who sent them, keeps them, and runs them
/// through sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "hookbay", version = env!("HOOKBAY_VERSION"), about, max_term_width = 100)]
struct Cli {
    /// The configuration file [default: hookbay.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host
    Serve(serve::Args),
    /// Read the configuration and every plugin file, and report all problems at once
    Check(check::Args),
    /// Sign and send a sample event as a provider would
    Send(send::Args),
    /// Say whether a captured request is genuine and, if not, exactly why
    Verify(verify::Args),
    /// Stored events of a running host
    #[command(subcommand)]
    Events(events::Command),
    /// Runs of a running host: one event for one plugin
    #[command(subcommand)]
    Runs(runs::Command),
    /// Refused requests that a running host has set aside
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Bulk replays, retries and releases of a running host
    #[command(subcommand)]
    Operations(operations::Command),
    /// Sources of a running host
    #[command(subcommand)]
    Sources(sources::Command),
    /// Plugins of a running host
    #[command(subcommand)]
    Plugins(plugins::Command),
    /// Who may ask a running host, and how much
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Who changed what on a running host
    #[command(subcommand)]
    Audit(audit::Command),
    /// A plugin file on the bench, without a host
    Plugin(plugin::Args),
    /// Bring the database's schema up to date
    Migrate(migrate::Args),
    /// Send a running host's events on to a local address, as they come
    Listen(listen::Args),
    /// Print a script that completes commands in a shell
    Completions(completions::Args),
    /// Copy a running host's SQLite database into a file
    Backup(backup::Args),
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The thing asked about is bad, or could not be asked: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The same, and its output has said it all.
    #[error("the thing asked about is bad")]
    Said,
    /// What was given to the command cannot be used: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The configuration is bad: exit code 64, one line per problem.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<client::ClientError> for CommandError {
    fn from(error: client::ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Parses the command line, runs the command that it names, and says how that went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return explain(&usage),
    };
    // An error here only says that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    match dispatch(cli.config.as_deref(), cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Failed(reason)) => {
            complain(&format!("error: {}", text::harmless_lines(&reason)));
            ExitCode::FAILURE
        }
        Err(CommandError::Said) => ExitCode::FAILURE,
        Err(CommandError::Usage(reason)) => {
            complain(&format!("error: {}", text::harmless_lines(&reason)));
            ExitCode::from(EXIT_USAGE)
        }
        Err(CommandError::Config(problems)) => {
            complain(&text::harmless_lines(&problems.to_string()));
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn dispatch(config_path: Option<&Path>, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve(args) => on_all_cores(serve::run(config_path, args)),
        Command::Check(args) => on_all_cores(check::run(config_path, args)),
        Command::Send(args) => on_this_thread(send::run(config_path, args)),
        Command::Verify(args) => on_this_thread(verify::run(config_path, args)),
        Command::Events(command) => on_this_thread(events::run(config_path, command)),
        Command::Runs(command) => on_this_thread(runs::run(config_path, command)),
        Command::Quarantine(command) => on_this_thread(quarantine::run(config_path, command)),
        Command::Operations(command) => on_this_thread(operations::run(config_path, command)),
        Command::Sources(command) => on_this_thread(sources::run(config_path, command)),
        Command::Plugins(command) => on_this_thread(plugins::run(config_path, command)),
        Command::Tokens(command) => on_this_thread(tokens::run(config_path, command)),
        Command::Audit(command) => on_this_thread(audit::run(config_path, command)),
        Command::Plugin(args) => on_all_cores(plugin::run(config_path, args)),
        Command::Migrate(args) => on_all_cores(migrate::run(config_path, args)),
        Command::Listen(args) => on_this_thread(listen::run(config_path, args)),
        Command::Completions(args) => completions::run(&args),
        Command::Backup(args) => on_this_thread(backup::run(config_path, args)),
    }
}

/// For commands that run the host or parts of it.
fn on_all_cores(
    command: impl Future<Output = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    block_on(&mut tokio::runtime::Builder::new_multi_thread(), command)
}

/// For commands that only ask: they start faster without a pool of threads.
fn on_this_thread(
    command: impl Future<Output = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    block_on(&mut tokio::runtime::Builder::new_current_thread(), command)
}

fn block_on(
    builder: &mut tokio::runtime::Builder,
    command: impl Future<Output = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    let runtime = builder.enable_all().build().map_err(|error| {
        CommandError::Failed(format!("cannot start the async runtime: {error}"))
    })?;
    runtime.block_on(command)
}

/// Help and version to stdout with 0, wrong usage to stderr with 2.
fn explain(usage: &clap::Error) -> ExitCode {
    // A reader who has gone away needs no explanation.
    drop(usage.print());
    ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2))
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes to stderr; where that is closed there is nobody left to tell.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{}", text.trim_end()));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
