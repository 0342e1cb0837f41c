//! The `hookbay` binary: everything it does is in [`hookbay::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbay::cli::run()
}
