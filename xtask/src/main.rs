//! The project's own commands: `cargo xtask <command>`.
//!
//! This file picks the command and turns its result into an exit code; each command has a
//! file of its own. Nothing here links the host or wasmtime, so that it compiles in seconds
//! and the host is only ever built by `cargo build` over the workspace's default members.

mod acked;
mod admin;
mod announce;
mod arguments;
mod bench;
mod browser;
mod config;
mod debian;
mod delivery;
mod dist;
mod faults;
mod fuzz;
mod guests;
mod host;
mod http;
mod languages;
mod load;
mod oracles;
mod postgres;
mod schemathesis;
mod sender;
mod serve;
mod stand_in;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::{Arguments, Usage};

const USAGE: &str = "\
cargo xtask <command>

  serve [--release] [--postgres] [-- HOOKBAY-ARGS]
                                        build host and plugins, serve them from dev/ on SQLite,
                                        or on a PostgreSQL that is removed when the host ends
  test [-- TEST-ARGS]                   build what the tests need and run everything, on a
                                        PostgreSQL of its own or on $HOOKBAY_TEST_POSTGRES
  test --languages                      build the plugins in examples/ from npm and PyPI, and
                                        compare them with plugins/github-push
  test --oracles                        providers' own libraries from npm and PyPI accept what we
                                        sign, and we what they sign
  test --vectors FILE                   have the requests of a file judged, at the door and by
                                        `hookbay verify`: a list of objects with id, provider,
                                        secret (text, or named values), method, url, headers,
                                        body or body_base64, now (Unix time, or null) and
                                        expect (`valid` or `invalid`)
  test --browser                        drive the dashboard in headless Chromium, which is
                                        installed where that is safe; needs Node.js with npm
  test --schemathesis                   install schemathesis from PyPI into target/, and let it
                                        look for answers that openapi.json does not have
  stand-in [--listen ADDR]              stand in for Notion and the other services that plugins
                                        call; `serve` starts it where dev/ names it
  plugins [--test-guests]               build every plugin to target/plugins/<name>.wasm
  dist                                  build a release with plugins, unit and documentation, and
                                        pack it to target/dist/hookbay-VERSION-TARGET.tar.gz
  bench [ingest|end-to-end|plugin|collection|door|all] [--requests N]
  bench store [--sqlite|--postgres] [--quick]
  bench lists [--sqlite|--postgres] [--events N] [--release]
                                        measure a release build, print Markdown tables
  faults [--release] [--kills N] [--sqlite|--postgres] [--only SCENARIO] [--short]
                                        kill, freeze, cut and fill up what runs under load, on
                                        both engines, and compare from outside
  fuzz [TARGET] [--seconds N]           run the targets in fuzz/, each for ten minutes or so long

  load --url URL --secret-file FILE [--requests N] [--concurrency N] [--rate N/s]
       [--event KIND] [--body-bytes N] [--acked FILE] [--retry] [--json]
                                        send signed GitHub deliveries to this machine
  verify-acked --acked FILE --admin URL --token-file FILE [--plugin NAME] [--digest HEX]...
       [--absent FILE] [--ordered [--many-clocks]] [--json]
                                        compare acknowledged deliveries with what was stored and run
";

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    match run(&command, Arguments::new(given)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, arguments: Arguments) -> Result<()> {
    match command {
        "serve" => serve::run(arguments),
        "test" => test::run(arguments),
        "plugins" => guests::run(arguments),
        "bench" => bench::run(arguments),
        "faults" => faults::run(arguments),
        "dist" => dist::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "load" => load::run(arguments),
        "verify-acked" => acked::run(arguments),
        stand_in::COMMAND => stand_in::run(arguments),
        announce::COMMAND => announce::run(arguments),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        "" => Err(Usage::new(format!("no command given\n\n{USAGE}"))),
        other => Err(Usage::new(format!(
            "there is no command `{other}`\n\n{USAGE}"
        ))),
    }
}
