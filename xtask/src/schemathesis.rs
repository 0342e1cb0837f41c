//! `cargo xtask test --schemathesis`: requests made from the OpenAPI document, by a program
//! that looks for answers which the document does not have.
//!
//! Not part of the plain test, which needs neither Python nor a network. The program goes
//! into a virtual environment below the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::config::Database;
use crate::guests;
use crate::host::Host;
use crate::http::Connection;
use crate::test::step;
use crate::workspace::{self, Profile, Workspace};

/// The version that the checks below are known with.
const VERSION: &str = "schemathesis>=4,<5";
/// What is asked for, of each operation.
const EXAMPLES: &str = "30";
/// It never ends, which no such program waits for; the host's own tests follow it.
const LEFT_OUT: &str = "/api/v1/stream";

/// What it is to know of us, and what no schema can tell it, with the reasons.
const CONFIG: &str = include_str!("schemathesis/schemathesis.toml");
/// A plugin and a source of the names that the file above has, so that more is found than that
/// nothing is there.
const TABLES: &str = "\n[sources.open]\nprovider = \"none\"\nkind_header = \"x-kind\"\n\
                      [plugins.tried]\nfile = \"github-push.wasm\"\n\
                      triggers = [{ source = \"open\", kind = \"**\" }]\n";
const PLUGIN: &str = "github-push.wasm";

/// Builds the host and lets schemathesis at it.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    let started = Instant::now();
    step("compile target", guests::add_target)?;
    step("plugins", || guests::build_plugins(&workspace))?;
    step("host", || workspace.build_host(Profile::Debug))?;
    let mut program = PathBuf::new();
    step("schemathesis", || {
        program = install(&workspace.target.join("schemathesis"))?;
        Ok(())
    })?;
    let database = Database::sqlite();
    let mut host = Host::prepare(&workspace, Profile::Debug, "schemathesis", &database)?;
    host.configure(TABLES)?;
    std::fs::copy(
        workspace.plugin_files().join(PLUGIN),
        host.plugin_folder().join(PLUGIN),
    )
    .context("the plugin is not built")?;
    step("requests", || {
        host.start()?;
        send_some(&host)?;
        ask(&program, &host)
    })?;
    host.remove()?;
    println!("\nAll passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// Makes the environment where it is not there; the program in it.
fn install(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/schemathesis");
    if !program.exists() {
        let mut make = Command::new("python3");
        workspace::run(make.args(["-m", "venv"]).arg(folder))
            .context("python3 with its module venv is needed (Debian: python3-venv)")?;
        let mut install = Command::new(folder.join("bin/pip"));
        workspace::run(install.args(["install", "--quiet", VERSION]))?;
    }
    Ok(program)
}

/// A few events, so that lists are not empty.
fn send_some(host: &Host) -> Result<()> {
    let address = host.addresses().public;
    let mut connection = Connection::new(address);
    for n in 0..5 {
        let body = format!("{{\"n\": {n}}}");
        let request = format!(
            "POST /webhooks/open HTTP/1.1\r\nHost: {address}\r\nX-Kind: sample.sent\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let status = connection.exchange(request.as_bytes())?.status;
        ensure!(status == 202, "a sample was answered with {status}");
    }
    Ok(())
}

fn ask(program: &Path, host: &Host) -> Result<()> {
    let token = std::fs::read_to_string(host.token_file())?;
    let address = format!("http://{}", host.addresses().admin);
    let config = host.folder().join("schemathesis.toml");
    std::fs::write(&config, CONFIG)?;
    let mut command = Command::new(program);
    // It leaves notes where it runs.
    command.current_dir(host.folder());
    command
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(format!("{address}/openapi.json"))
        .args(["--url", &address])
        .args(["-H", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--exclude-path", LEFT_OUT])
        .args(["--checks", "all"])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", EXAMPLES, "--seed", "1"])
        .args([
            "--request-timeout",
            "30",
            "--continue-on-failure",
            "--no-color",
        ]);
    workspace::run(&mut command).context("schemathesis found something; it is said above")
}
