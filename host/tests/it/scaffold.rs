//! `hookbay plugin new`, outside of this repository: what it makes passes its own tests,
//! builds, and runs in the host, a verifier at its door.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hookbay::config::Environment;
use serde_json::json;

use crate::components::Component;
use crate::harness::{Folder, Host};
use crate::program::hookbay;
use crate::signing::hmac_sha256;

const SOURCES: &str = r#"
[sources.open]
provider = "none"
"#;

/// Cargo as a user calls it in a folder of theirs. What it needs was downloaded for this
/// repository: the SDK is a member of it.
fn cargo(folder: &Path, words: &[&str]) -> Command {
    let environment = Environment::of_process();
    let mut command = Command::new(env!("CARGO"));
    command.env_clear().current_dir(folder);
    for name in [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
    ] {
        if let Some(value) = environment.get(name) {
            command.env(name, value);
        }
    }
    // Not rustup's, which would look for a toolchain file in the folder of each crate.
    command.env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
    // Kept, so that only the first of these builds takes long.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffold");
    command.args(words).arg("--offline").arg("--target-dir");
    command.arg(target);
    command
}

#[track_caller]
fn succeed(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (stdout, stderr) = [&stdout, &stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .into();
    assert!(
        status.success(),
        "{command:?}: {status}\n{stdout}\n{stderr}"
    );
    stdout.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_builds_anywhere_and_runs_here() {
    let folder = Folder::new(SOURCES, &[]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut new = hookbay(&folder);
    new.args(["plugin", "new", "my-plugin", "--provider", "none", "--dir"]);
    new.arg(elsewhere.path());
    let said = succeed(new);
    let made = elsewhere.path().join("my-plugin");
    assert!(said.contains("plugins install --name my-plugin"), "{said}");

    let tested = succeed(cargo(&made, &["test"]));
    assert!(tested.contains("2 passed"), "{tested}");
    succeed(cargo(
        &made,
        &["build", "--target", "wasm32-wasip2", "--release"],
    ));
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("scaffold/wasm32-wasip2/release/my_plugin.wasm");

    let mut run = hookbay(&folder);
    run.args(["plugin", "run", "--event"])
        .arg(made.join("event.json"));
    run.arg(&built);
    let said = succeed(run);
    assert!(said.contains("any: id, total"), "{said}");
    assert!(!said.contains("note:"), "{said}");

    Component(fs::read(&built).unwrap()).place(&folder.plugins_dir(), "my-plugin.wasm");
    let host = Host::over(folder).await;
    let event = host.send("open", &[], r#"{"a":1,"b":2}"#).await.event();
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["plugin"], &run["state"], &run["summary"]),
        (
            &json!("my-plugin"),
            &json!("succeeded"),
            &json!("unknown: a, b")
        )
    );
}

const PARTNER: &str = r#"
public_url = "https://hooks.example.com"
[sources.partner]
provider = "plugin:my-verifier"
secret = "a secret of the source"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_verifier_builds_anywhere_and_proves_who_sent_a_request() {
    let folder = Folder::new(PARTNER, &[]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut new = hookbay(&folder);
    new.args(["plugin", "new", "--verifier", "my-verifier", "--dir"]);
    new.arg(elsewhere.path());
    let said = succeed(new);
    assert!(said.contains("a verifier with its tests"), "{said}");
    let made = elsewhere.path().join("my-verifier");

    let tested = succeed(cargo(&made, &["test"]));
    assert!(tested.contains("3 passed"), "{tested}");
    succeed(cargo(
        &made,
        &["build", "--target", "wasm32-wasip2", "--release"],
    ));
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("scaffold/wasm32-wasip2/release/my_verifier.wasm");
    Component(fs::read(&built).unwrap()).place(&folder.plugins_dir(), "my-verifier.wasm");

    // The captured request that comes along, as it was signed; then too late.
    for (at, is_genuine) in [("1700000000", true), ("1700009999", false)] {
        let mut verify = hookbay(&folder);
        verify.args(["--config", "hookbay.toml", "verify", "plugin:my-verifier"]);
        verify.args(["--source", "partner", "--at", at, "--request"]);
        verify.arg(made.join("request.json"));
        let output = verify.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.success(), is_genuine, "{said}");
    }

    let host = Host::over(folder).await;
    let now = host.folder.clock.now().millis() / 1000;
    let message = format!("POST\nhttps://hooks.example.com/webhooks/partner\n{now}\n{{}}");
    let signature = hmac_sha256("a secret of the source", message.as_bytes());
    let at = now.to_string();
    for (signature, status) in [(signature.as_str(), 202), ("00", 401)] {
        let headers = [("x-timestamp", at.as_str()), ("x-signature", signature)];
        let answer = host.send("partner", &headers, "{}").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_is_refused_where_one_is() {
    let folder = Folder::new("", &[]).await;
    let refused = |words: &[&str]| {
        let mut command = hookbay(&folder);
        let output = command
            .args(["plugin", "new"])
            .args(words)
            .output()
            .unwrap();
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), reason)
    };
    fs::create_dir(folder.path().join("taken")).unwrap();
    for (words, code, why) in [
        (&["taken"][..], 1, "taken is there already"),
        (&["Orders"], 2, "is not a name"),
        (&["2fa"], 2, "begins with a letter"),
        (&["a", "--provider", "githbu"], 2, "did you mean `github`?"),
        (&["a", "--kind", "a..b"], 2, "has an empty segment"),
        (
            &["a", "--verifier", "--kind", "push"],
            2,
            "cannot be used with",
        ),
        (&["taken", "--verifier"], 1, "taken is there already"),
    ] {
        let (status, reason) = refused(words);
        assert_eq!(status, Some(code), "{words:?}: {reason}");
        assert!(reason.contains(why), "{words:?}: {reason}");
    }
    assert!(!folder.path().join("a").exists());
}
