//! Plugins that must be signed by somebody who is trusted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hookbay::plugin::SigningKey;
use serde_json::{Value, json};

use crate::components::{Component, named};
use crate::harness::{Folder, Host, eventually};
use crate::program::hookbay;

const SOURCE: &str = "[sources.noop]\nprovider = \"none\"\n";

fn key(n: u8) -> SigningKey {
    SigningKey::of([n; 32])
}

/// A configuration that trusts the first key.
fn trusting() -> String {
    format!("trusted_keys = [\"{}\"]\n{SOURCE}", key(1).public())
}

/// Puts a signature beside a plugin's file.
fn sign(folder: &Path, file: &str, by: &SigningKey, component: &Component) {
    fs::write(folder.join(format!("{file}.sig")), by.sign(&component.0)).unwrap();
}

async fn plugin(host: &Host) -> Value {
    host.get("plugins/noop").await
}

async fn problem(host: &Host) -> String {
    let plugin = plugin(host).await;
    plugin["candidate"]["problem"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_does_not_run_until_it_is() {
    let host = Host::start(&trusting(), &["noop"]).await;
    let broken = plugin(&host).await;
    assert_eq!(broken["state"], "broken");
    let why = problem(&host).await;
    assert!(
        why.contains("no signature") && why.contains("trusted_keys"),
        "{why}"
    );
    // The signature comes later; nobody touches the file, and nobody asks for a scan.
    sign(
        &host.folder.plugins_dir(),
        "noop.wasm",
        &key(1),
        &named("noop"),
    );
    eventually("the plugin is active", async || {
        (plugin(&host).await["state"] == "active").then_some(())
    })
    .await;
    let event = host.send("noop", &[], "{}").await.event();
    assert_eq!(host.finished(&event).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_file_must_be_signed_too() {
    let (one, two) = (named("noop"), named("noop").numbered(2));
    let folder = Folder::new(&trusting(), &["noop"]).await;
    let plugins = folder.plugins_dir();
    sign(&plugins, "noop.wasm", &key(1), &one);
    let host = Host::over(folder).await;
    assert_eq!(plugin(&host).await["state"], "active");
    for (what, signature, said) in [
        ("that of the older file", None, "other bytes"),
        (
            "by nobody we know",
            Some(key(2).sign(&two.0)),
            "none of `trusted_keys`",
        ),
        (
            "of half the file",
            Some(key(1).sign(&two.truncated().0)),
            "other bytes",
        ),
        ("no signature at all", Some("hello".to_owned()), "base64"),
        ("far too long", Some("A".repeat(1 << 20)), "base64"),
    ] {
        if let Some(signature) = signature {
            fs::write(plugins.join("noop.wasm.sig"), signature).unwrap();
        }
        host.install(&two, "noop.wasm").await;
        let why = problem(&host).await;
        assert!(why.contains(said), "{what}: {why}");
        let plugin = plugin(&host).await;
        assert_eq!(
            (&plugin["state"], &plugin["digest"]),
            (&json!("active"), &json!(one.digest())),
            "{what}"
        );
    }
    fs::remove_file(plugins.join("noop.wasm.sig")).unwrap();
    host.rescan().await;
    assert!(problem(&host).await.contains("no signature"));
    sign(&plugins, "noop.wasm", &key(1), &two);
    host.rescan().await;
    assert_eq!(plugin(&host).await["digest"], two.digest());
    // The older one is kept with its signature, and so can run again.
    let roll_back = host.post("plugins/noop/rollback").await;
    assert_eq!(roll_back.status, 200, "{}", roll_back.text());
    let kept = host.folder.path().join("data/digests");
    fs::remove_file(kept.join(format!("{}.wasm.sig", two.digest()))).unwrap();
    let roll_back = host.post("plugins/noop/rollback").await;
    assert_eq!(roll_back.status, 409, "{}", roll_back.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_must_be_signed_by_who_is_trusted_now() {
    let folder = Folder::new(SOURCE, &["noop"]).await;
    let host = Host::over(folder).await;
    assert_eq!(plugin(&host).await["state"], "active");
    let folder = host.stop().await;
    let text = fs::read_to_string(folder.config_file()).unwrap();
    fs::write(
        folder.config_file(),
        format!("{}{text}", trusting().replace(SOURCE, "")),
    )
    .unwrap();
    // Neither the file nor the version that was active has a signature.
    let host = Host::over(folder).await;
    let broken = plugin(&host).await;
    assert_eq!(
        (&broken["state"], &broken["digest"]),
        (&json!("broken"), &Value::Null)
    );
    sign(
        &host.folder.plugins_dir(),
        "noop.wasm",
        &key(1),
        &named("noop"),
    );
    host.rescan().await;
    assert_eq!(plugin(&host).await["state"], "active");
    // From now on it is kept with it.
    let folder = host.stop().await;
    let plugins = folder.plugins_dir();
    named("noop").truncated().write_over(&plugins, "noop.wasm");
    let host = Host::over(folder).await;
    assert_eq!(plugin(&host).await["digest"], named("noop").digest());
}

/// Runs the program over a folder: whether it succeeded, and all it said.
async fn run(folder: &Folder, arguments: &[&str]) -> (bool, String) {
    let mut command = hookbay(folder);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_signatures_of_the_command_line_are_what_a_host_checks() {
    let folder = Folder::new(SOURCE, &["noop"]).await;
    let (made, said) = run(&folder, &["plugin", "keygen", "--out", "my.key"]).await;
    assert!(made, "{said}");
    let key = folder.path().join("my.key");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !said.contains(fs::read_to_string(&key).unwrap().trim()),
        "{said}"
    );
    let (again, said_again) = run(&folder, &["plugin", "keygen", "--out", "my.key"]).await;
    assert!(!again && said_again.contains("my.key"), "{said_again}");

    let line = said
        .lines()
        .find(|line| line.starts_with("trusted_keys"))
        .unwrap();
    let text = fs::read_to_string(folder.config_file()).unwrap();
    fs::write(folder.config_file(), format!("{line}\n{text}")).unwrap();
    let (good, said) = run(&folder, &["check"]).await;
    assert!(!good && said.contains("no signature"), "{said}");
    let inspect = [
        "--config",
        "hookbay.toml",
        "plugin",
        "inspect",
        "plugins.d/noop.wasm",
    ];
    assert!(!run(&folder, &inspect).await.0);
    let install = [
        "plugins",
        "install",
        "plugins.d/noop.wasm",
        "--name",
        "other",
        // Nobody listens there; where a host usually does, one may.
        "--url",
        "http://127.0.0.1:9",
    ];
    let (installed, said) = run(&folder, &install).await;
    assert!(!installed && said.contains("nothing was copied"), "{said}");
    assert!(!folder.plugins_dir().join("other.wasm").exists());

    let sign = ["plugin", "sign", "plugins.d/noop.wasm", "--key", "my.key"];
    let (signed, said) = run(&folder, &sign).await;
    assert!(signed, "{said}");
    let (good, said) = run(&folder, &["check"]).await;
    assert!(good, "{said}");
    assert!(run(&folder, &inspect).await.0);
    let (installed, said) = run(&folder, &install).await;
    assert!(installed, "{said}");
    let host = Host::over(folder).await;
    for name in ["noop", "other"] {
        assert_eq!(
            host.get(&format!("plugins/{name}")).await["state"],
            "active"
        );
    }
    let bad = [
        "plugin",
        "sign",
        "plugins.d/noop.wasm",
        "--key",
        "hookbay.toml",
    ];
    let (signed, said) = run(&host.folder, &bad).await;
    assert!(!signed && said.contains("not an Ed25519 key"), "{said}");
}
