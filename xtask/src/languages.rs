//! `cargo xtask test --languages`: the plugins in `examples/` are built as their READMEs
//! say, from npm and PyPI, and answer a host as `plugins/github-push` does.
//!
//! Not part of the plain test, which needs neither Node.js nor Python nor a network.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::config::Database;
use crate::delivery::{Delivery, Shape, delivery_id};
use crate::guests;
use crate::host::Host;
use crate::http::Connection;
use crate::test::step;
use crate::workspace::{self, Profile, Workspace};

/// The plugin that the others are compared with.
const MODEL: &str = "github-push";
const EXAMPLES: [&str; 2] = ["github-push-js", "github-push-py"];
/// Plugins that end with an exception, and what is to be read of it.
const THROWERS: [(&str, &str); 2] = [
    (
        "throws-js",
        r#"the shop said "no" to issues.opened at handle"#,
    ),
    (
        "throws-py",
        r#"ValueError: the shop said "no" to issues.opened"#,
    ),
];
/// A host without optimisations compiles CPython for a minute, on a machine that is busy.
const LOADED_WITHIN: Duration = Duration::from_secs(600);
const RUN_WITHIN: Duration = Duration::from_secs(60);

/// Builds the examples and compares them with the model.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    let started = Instant::now();
    step("Node.js and Python", look_for_tools)?;
    step("compile target", guests::add_target)?;
    step("plugins", || guests::build_plugins(&workspace))?;
    step("host", || workspace.build_host(Profile::Debug))?;
    step("JavaScript", || build_javascript(&workspace))?;
    step("Python", || build_python(&workspace))?;
    let mut host = Host::prepare(&workspace, Profile::Debug, "languages", &Database::sqlite())?;
    step("loading", || load(&workspace, &mut host))?;
    step("the same answers", || compare(&host))?;
    step("exceptions that nobody catches", || read_exceptions(&host))?;
    host.remove()?;
    println!("\nAll passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// Says all that is missing at once.
pub(crate) fn look_for_tools() -> Result<()> {
    let tools: [(&str, &[&str], &str); 3] = [
        ("node", &["--version"], "Node.js 20 or newer"),
        ("npm", &["--version"], "npm, which comes with Node.js"),
        (
            "python3",
            &[
                "-c",
                "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
            ],
            "Python 3.10 or newer with venv (on Debian the package python3-venv)",
        ),
    ];
    let is_there = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<String> = tools
        .iter()
        .filter(|(program, words, _)| !is_there(program, words))
        .map(|(program, _, what)| format!("\n  {program}: install {what}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this test needs what is not here:{}", missing.concat());
}

fn example(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root.join("examples").join(name)
}

/// Where the plugins go that are there only to throw.
fn thrower(workspace: &Workspace, name: &str) -> PathBuf {
    workspace
        .target
        .join("languages")
        .join(format!("{name}.wasm"))
}

fn build_javascript(workspace: &Workspace) -> Result<()> {
    let folder = example(workspace, "github-push-js");
    workspace::run(Command::new("npm").arg("install").current_dir(&folder))?;
    workspace::run(
        Command::new("npm")
            .args(["run", "build"])
            .current_dir(&folder),
    )?;
    let mut command = Command::new("npx");
    command
        .args([
            "--no-install",
            "componentize-qjs",
            "--wit",
            "../../wit",
            "--world",
            "plugin",
        ])
        .args(["--js", "../../xtask/languages/throws.js"])
        .args([
            "--module-root",
            "../../xtask/languages",
            "--sync",
            "--output",
        ])
        .arg(thrower(workspace, "throws-js"));
    make_room(workspace)?;
    workspace::run(command.current_dir(&folder))
}

fn build_python(workspace: &Workspace) -> Result<()> {
    let folder = example(workspace, "github-push-py");
    let run = |program: &str, words: &[&str]| {
        workspace::run(Command::new(program).args(words).current_dir(&folder))
    };
    run("python3", &["-m", "venv", ".venv"])?;
    run(
        ".venv/bin/pip",
        &["install", "--quiet", "-r", "requirements.txt"],
    )?;
    let componentize = [
        "--wit-path",
        "../../wit",
        "--world",
        "plugin",
        "componentize",
    ];
    let own = [
        &componentize[..],
        &["app", "--output", "github-push-py.wasm"],
    ]
    .concat();
    run(".venv/bin/componentize-py", &own)?;
    let output = thrower(workspace, "throws-py");
    let output = output
        .to_str()
        .context("the target directory's name is text")?;
    let path = ["--python-path", "../../xtask/languages"];
    let throws = [&componentize[..], &path, &["throws", "--output", output]].concat();
    make_room(workspace)?;
    run(".venv/bin/componentize-py", &throws)
}

fn make_room(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("languages");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Starts the host and waits until it runs every plugin.
fn load(workspace: &Workspace, host: &mut Host) -> Result<()> {
    host.start()?;
    let model = workspace.plugin_files().join(format!("{MODEL}.wasm"));
    let mut files = vec![(MODEL, model)];
    for name in EXAMPLES {
        files.push((name, example(workspace, name).join(format!("{name}.wasm"))));
    }
    for (name, _) in THROWERS {
        files.push((name, thrower(workspace, name)));
    }
    for (name, file) in &files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        guests::place(&host.plugin_folder(), &format!("{name}.wasm"), &bytes)?;
    }
    let mut admin = host.admin()?;
    let started = Instant::now();
    for (name, _) in &files {
        loop {
            let plugins = admin.items("plugins")?;
            let plugin = plugins.iter().find(|plugin| plugin["name"] == *name);
            match plugin.map(|plugin| (plugin["state"].as_str(), &plugin["error"])) {
                Some((Some("active"), _)) => break,
                Some((Some("broken" | "held"), error)) => bail!("{name} does not run: {error}"),
                _ => {}
            }
            ensure!(
                started.elapsed() < LOADED_WITHIN,
                "{name} is not loaded after {} s; see {}",
                LOADED_WITHIN.as_secs(),
                host.log_file().display()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        println!(
            "{name} is active after {:.1} s",
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Sends every shape of push, and wants of each example what the model makes of it.
fn compare(host: &Host) -> Result<()> {
    let payloads = payloads();
    for (n, payload) in payloads.iter().enumerate() {
        let event = send(host, n, "push", payload)?;
        let model = finished(host, &event, MODEL)?;
        for name in EXAMPLES {
            let run = finished(host, &event, name)?;
            for key in ["state", "outcome", "summary", "data"] {
                ensure!(
                    run[key] == model[key],
                    "{name} has the {key} {}, {MODEL} {}, of {payload}\n{run:#}",
                    run[key],
                    model[key]
                );
            }
        }
    }
    let mut admin = host.admin()?;
    let counted = admin.pushes_counted(MODEL)?;
    ensure!(counted > 0, "{MODEL} has counted nothing");
    for name in EXAMPLES {
        let n = admin.pushes_counted(name)?;
        ensure!(
            n == counted,
            "{name} has counted {n} pushes, {MODEL} {counted}"
        );
    }
    println!(
        "{} payloads, {counted} pushes counted by each",
        payloads.len()
    );
    Ok(())
}

/// What nobody catches is a trap whose error says what was thrown.
fn read_exceptions(host: &Host) -> Result<()> {
    let event = send(
        host,
        payloads().len(),
        "issues",
        &json!({"action": "opened"}),
    )?;
    for (name, words) in THROWERS {
        let run = attempted(host, &event, name)?;
        let attempt = &run["attempts"][0];
        let message = attempt["error"]["message"].as_str().unwrap_or_default();
        ensure!(
            attempt["outcome"] == "trap" && message.starts_with(words),
            "{name} ended with {}: {message}",
            attempt["outcome"]
        );
        println!("{name}: {message}");
    }
    Ok(())
}

/// Pushes of every shape, and bodies that are none.
fn payloads() -> Vec<Value> {
    let push = json!({
        "ref": "refs/heads/main",
        "created": false,
        "deleted": false,
        "forced": false,
        "compare": "https://github.com/octo/hello/compare/111111111111...222222222222",
        "commits": [{"id": "3333"}, {"id": "2222"}],
        "repository": {"id": 7, "full_name": "octo/hello"},
        "pusher": {"name": "mona", "email": "mona@example.com"},
        "sender": {"login": "mona-login", "id": 9},
    });
    let changes = [
        json!({}),
        json!({"commits": [{}]}),
        json!({"commits": []}),
        json!({"ref": "refs/heads/fix/a \u{e9}\u{1f600}"}),
        json!({"created": true, "commits": []}),
        json!({"created": true, "commits": [{}]}),
        json!({"deleted": true, "commits": []}),
        json!({"forced": true}),
        json!({"forced": true, "commits": []}),
        json!({"ref": "refs/tags/v1.0", "created": true, "commits": []}),
        json!({"ref": "refs/notes/commits", "commits": []}),
        json!({"pusher": null, "compare": null}),
        json!({"pusher": {}, "sender": null}),
        json!({"ref": 3}),
        json!({"repository": null}),
        json!({"commits": 2}),
    ];
    let changed = |changes: &Value| {
        let mut payload = push.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            payload[name] = value.clone();
        }
        payload
    };
    changes.iter().map(changed).chain([json!([])]).collect()
}

/// Sends a signed delivery; gives the event's id.
fn send(host: &Host, n: usize, event: &str, payload: &Value) -> Result<String> {
    let public = host.addresses().public;
    let secret = host.secret()?;
    let body = payload.to_string();
    let shape = Shape {
        host: &public.to_string(),
        path: "/webhooks/github",
        secret: secret.as_bytes(),
        event,
        body_bytes: body.len(),
    };
    let mut request = Vec::new();
    let id = delivery_id(1, u64::try_from(n)?);
    Delivery::build(&shape, body.as_bytes()).write(&id, &mut request);
    let mut connection = Connection::new(public);
    let answer = connection.exchange(&request)?;
    let text = String::from_utf8_lossy(answer.body).into_owned();
    ensure!(
        answer.status == 202,
        "the host answered {}: {text}",
        answer.status
    );
    let answer: Value = serde_json::from_str(&text).context("the host's answer is not JSON")?;
    let id = answer["event_id"]
        .as_str()
        .context("the answer names no event")?;
    Ok(id.to_owned())
}

/// The run of a plugin for an event, when it has ended.
fn finished(host: &Host, event: &str, plugin: &str) -> Result<Value> {
    run_where(host, event, plugin, |run| {
        matches!(run["state"].as_str(), Some("succeeded" | "dead"))
    })
}

/// The same when its first attempt has.
fn attempted(host: &Host, event: &str, plugin: &str) -> Result<Value> {
    run_where(host, event, plugin, |run| {
        run["attempts"]
            .as_array()
            .is_some_and(|attempts| !attempts.is_empty())
    })
}

fn run_where(
    host: &Host,
    event: &str,
    plugin: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut admin = host.admin()?;
    let id = run_id(&mut admin, event, plugin)?;
    let started = Instant::now();
    loop {
        let run = admin.get(&format!("runs/{id}"))?;
        if is_wanted(&run) {
            return Ok(run);
        }
        ensure!(
            started.elapsed() < RUN_WITHIN,
            "the run of {plugin} is not done after {} s: {run:#}",
            RUN_WITHIN.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run_id(admin: &mut Admin, event: &str, plugin: &str) -> Result<String> {
    let event = admin.get(&format!("events/{event}"))?;
    let runs = event["runs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let run = runs.iter().find(|run| run["plugin"] == plugin);
    let id = run.and_then(|run| run["id"].as_str());
    Ok(id
        .with_context(|| format!("{plugin} has no run of this event"))?
        .to_owned())
}
