//! `hookbay completions`: a script that completes commands and options in a shell.

use clap::CommandFactory as _;

use super::table::write_bytes;
use super::{Cli, CommandError};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hookbay", &mut script);
    write_bytes(&script).map(drop)
}
