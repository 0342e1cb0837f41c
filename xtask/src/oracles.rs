//! `cargo xtask test --oracles`: the providers' own libraries judge what `hookbay send`
//! signs, and the host judges what they sign.
//!
//! The libraries come from npm and PyPI, at the versions pinned in `xtask/oracles/`, and run
//! there as two programs that answer on this machine. Beside each yes stands a no: the same
//! under another secret, and the same with another body. Not part of the plain test, which
//! needs neither Node.js nor Python nor a network.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::config::Database;
use crate::host::Host;
use crate::http::Connection;
use crate::languages;
use crate::test::step;
use crate::workspace::{self, Profile, Workspace};

/// The address that the host believes to have: some schemes sign it.
const PUBLIC_URL: &str = "https://hooks.example.com";

/// Providers whose secret is the key in base64 behind `whsec_` (Standard Webhooks).
const WHSEC: [&str; 5] = ["openai", "replicate", "resend", "standard-webhooks", "svix"];

/// A program of `xtask/oracles/`; it ends when this is dropped.
struct Oracle {
    name: &'static str,
    address: String,
    child: Child,
    /// Its lifeline.
    stdin: Option<ChildStdin>,
}

/// Installs the libraries and asks them.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    step("Node.js and Python", languages::look_for_tools)?;
    step("host", || workspace.build_host(Profile::Debug))?;
    step("libraries from npm and PyPI", || install(&workspace))?;
    let database = Database::sqlite().with("public_url", &format!("\"{PUBLIC_URL}\""));
    let mut host = Host::prepare(&workspace, Profile::Debug, "oracles", &database)?;
    let secrets = secrets(&host)?;
    let file = host.folder().join("oracle-secrets.json");
    fs::write(&file, json!(secrets).to_string())?;
    let folder = folder(&workspace);
    let mut oracles = Vec::new();
    for (name, program, script) in [
        ("npm", PathBuf::from("node"), "judge.mjs"),
        ("PyPI", folder.join(".venv/bin/python"), "judge.py"),
    ] {
        let mut command = Command::new(program);
        command.arg(script).arg(&file).current_dir(&folder);
        oracles.push(Oracle::start(name, command)?);
    }
    step("they judge what we sign", || {
        oracles
            .iter()
            .try_for_each(|oracle| judged(&workspace, &host, oracle, &secrets))
    })?;
    step("we judge what they sign", || {
        judge(&mut host, &oracles, &secrets)
    })?;
    host.remove()
}

/// Where the programs run: below the target directory, for the libraries are large.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("oracles")
}

fn install(workspace: &Workspace) -> Result<()> {
    let (from, folder) = (workspace.root.join("xtask/oracles"), folder(workspace));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in ["package.json", "judge.mjs", "requirements.txt", "judge.py"] {
        fs::copy(from.join(file), folder.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let run = |program: &str, words: &[&str]| {
        workspace::run(Command::new(program).args(words).current_dir(&folder))
    };
    let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    run("npm", &npm)?;
    run("python3", &["-m", "venv", ".venv"])?;
    let pip = ["install", "--quiet", "-r", "requirements.txt"];
    run(".venv/bin/pip", &pip)
}

/// A secret for each provider, in the form that the provider's libraries want.
fn secrets(host: &Host) -> Result<BTreeMap<&'static str, Value>> {
    let mut all = BTreeMap::new();
    for name in [
        "contentful",
        "gocardless",
        "hubspot-v1",
        "hubspot-v3",
        "line",
        "linear",
        "paddle",
        "polar",
        "razorpay",
        "sanity",
        "shopify",
        "slack",
        "square",
        "stripe",
        "twilio",
        "workos",
    ] {
        all.insert(name, json!(format!("{name:-<64}")));
    }
    for name in WHSEC {
        all.insert(name, json!(format!("whsec_{:A<43}=", "b3JhY2xl")));
    }
    // The source that every throw-away host has.
    all.insert("github", json!(host.secret()?));
    let pair = json!({"public_key": "integration_public_key", "private_key": "a private one"});
    all.insert("braintree", pair);
    Ok(all)
}

/// Sends a sample of each provider that the oracle knows: with the right secret it says yes,
/// with another no.
fn judged(
    workspace: &Workspace,
    host: &Host,
    oracle: &Oracle,
    secrets: &BTreeMap<&'static str, Value>,
) -> Result<()> {
    let known = oracle.get("/")?;
    let known: Vec<&str> = known
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    ensure!(!known.is_empty(), "{} knows no provider", oracle.name);
    for provider in known {
        let secret = secrets.get(provider).and_then(Value::as_str);
        let secret = secret.with_context(|| format!("{provider} has no secret here"))?;
        let middle = secret.len() / 2;
        let swapped = if secret.as_bytes()[middle] == b'B' {
            "C"
        } else {
            "B"
        };
        let other = [&secret[..middle], swapped, &secret[middle + 1..]].concat();
        for (secret, is_right) in [(secret, true), (&other, false)] {
            let file = host.folder().join("oracle-secret");
            fs::write(&file, secret)?;
            let mut command = Command::new(workspace.binary(Profile::Debug, "hookbay"));
            command
                .args(["send", provider, "--to"])
                .arg(format!("{}/{provider}", oracle.address))
                .arg("--secret-file")
                .arg(&file);
            let output = command.output().context("cannot start hookbay")?;
            ensure!(
                output.status.code() == Some(if is_right { 0 } else { 1 }),
                "the {} library of {provider}, {}: {}\n{}",
                oracle.name,
                if is_right {
                    "right secret"
                } else {
                    "other secret"
                },
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        println!(
            "{} takes what is signed as {provider}, and nothing else",
            oracle.name
        );
    }
    Ok(())
}

/// Delivers what the oracles sign to a host; then the same with another body.
fn judge(
    host: &mut Host,
    oracles: &[Oracle],
    secrets: &BTreeMap<&'static str, Value>,
) -> Result<()> {
    let mut requests = Vec::new();
    for oracle in oracles {
        let signed = oracle.get(&format!("/signed?base={PUBLIC_URL}"))?;
        let signed = signed.as_array().cloned().unwrap_or_default();
        requests.extend(signed.into_iter().map(|request| (oracle.name, request)));
    }
    ensure!(!requests.is_empty(), "nobody signs anything");
    let mut sources = BTreeMap::new();
    for (_, request) in &requests {
        let provider = request["provider"]
            .as_str()
            .context("it names its provider")?;
        // A key pair is made by the one who signs.
        let secret = request.get("secret").filter(|secret| secret.is_string());
        let secret = secret.or_else(|| secrets.get(provider));
        sources.insert(provider, secret.cloned().unwrap_or_default());
    }
    sources.remove("github");
    let mut tables = String::new();
    for (provider, secret) in &sources {
        let secret = inline(secret);
        write!(
            tables,
            "\n[sources.{provider}]\nprovider = \"{provider}\"\nsecret = {secret}\n"
        )?;
    }
    host.configure(&tables)?;
    host.start()?;
    for (oracle, request) in &requests {
        let provider = request["provider"].as_str().unwrap_or_default();
        let body = request["body"].as_str().context("it has a body")?;
        let at = body.rfind(|c: char| c.is_ascii_alphanumeric());
        let at = at.context("its body says something")?;
        let digit = if body.as_bytes()[at] == b'4' {
            "5"
        } else {
            "4"
        };
        let changed = [&body[..at], digit, &body[at + 1..]].concat();
        // The changed one goes first: it must not be a duplicate of what is stored.
        let refused = deliver(host, provider, request, &changed)?;
        ensure!(
            refused.0 >= 400,
            "a changed {provider} of {oracle} is answered {}: {}",
            refused.0,
            refused.1
        );
        let taken = deliver(host, provider, request, body)?;
        ensure!(
            (200..300).contains(&taken.0),
            "{provider} as {oracle} signs it is answered {}: {}",
            taken.0,
            taken.1
        );
        println!("the host takes {provider} as {oracle} signs it, and not with another body");
    }
    Ok(())
}

/// A secret as TOML writes it.
fn inline(secret: &Value) -> String {
    match secret.as_object() {
        None => secret.to_string(),
        Some(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name} = {value}"));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn deliver(host: &Host, provider: &str, request: &Value, body: &str) -> Result<(u16, String)> {
    let public = host.addresses().public;
    let mut text = format!(
        "POST /webhooks/{provider} HTTP/1.1\r\nhost: {public}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        write!(text, "{name}: {}\r\n", value.as_str().unwrap_or_default())?;
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut connection = Connection::new(public);
    let answer = connection.exchange(text.as_bytes())?;
    let said = String::from_utf8_lossy(answer.body).into_owned();
    Ok((answer.status, said))
}

impl Oracle {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the libraries of {name}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim_end().to_owned();
        if address.is_empty() {
            bail!("the libraries of {name} do not start");
        }
        Ok(Self {
            name,
            address,
            child,
            stdin,
        })
    }

    fn get(&self, path: &str) -> Result<Value> {
        let authority = self.address.trim_start_matches("http://");
        let mut connection = Connection::new(authority.parse()?);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
        let answer = connection.exchange(request.as_bytes())?;
        let text = String::from_utf8_lossy(answer.body).into_owned();
        ensure!(answer.status == 200, "{} says {text}", self.name);
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the libraries of {} do not end: {error}", self.name);
        }
    }
}
