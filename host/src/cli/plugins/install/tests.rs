//! What the host says about a digest, and where the file goes.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{InstallArgs, Plugin};
use super::{Verdict, is_of_file, place, plugin_name, verdict};
use crate::cli::client::AdminArgs;
use crate::name::PluginName;
use crate::plugin::TrustedKeys;

fn plugin(json: Value) -> Plugin {
    serde_json::from_value(json).expect("a plugin")
}

fn name(text: &str) -> PluginName {
    text.parse().expect("a name")
}

#[test]
fn the_verdict_is_about_our_digest() {
    let problem = || json!({ "digest": "new", "problem": "wants more" });
    for (state, digest, candidate, expected) in [
        ("active", json!("new"), json!(null), "active"),
        ("active", json!("old"), json!(null), "open"),
        (
            "active",
            json!("old"),
            json!({ "digest": "other", "problem": "bad" }),
            "open",
        ),
        (
            "active",
            json!("old"),
            json!({ "digest": "new", "problem": null }),
            "open",
        ),
        (
            "active",
            json!("old"),
            problem(),
            "is not active: wants more",
        ),
        ("held", json!(null), problem(), "is held: wants more"),
        ("broken", json!(null), problem(), "is broken: wants more"),
        ("broken", json!(null), json!(null), "open"),
        (
            "held",
            json!("new"),
            json!(null),
            "is loaded, but the plugin is held",
        ),
        (
            "paused",
            json!("new"),
            json!(null),
            "is loaded, but the plugin is paused",
        ),
        ("missing", json!("new"), json!(null), "open"),
    ] {
        let json = json!({ "name": "p", "state": state, "digest": digest, "candidate": candidate });
        let found = match verdict(&plugin(json.clone()), "new") {
            Verdict::Open => "open".to_owned(),
            Verdict::Active => "active".to_owned(),
            Verdict::Refused(reason) => reason,
        };
        assert_eq!(found, expected, "{json}");
    }
}

#[test]
fn a_file_can_be_several_plugins() {
    for (json, is_ours) in [
        (json!({ "name": "slack", "file": "slack.wasm" }), true),
        (
            json!({ "name": "orders", "file": "plugins.d/slack.wasm" }),
            true,
        ),
        (json!({ "name": "slack", "file": "other.wasm" }), false),
        (json!({ "name": "slack", "file": null }), true),
        (json!({ "name": "other" }), false),
    ] {
        assert_eq!(
            is_of_file(&plugin(json.clone()), "slack.wasm"),
            is_ours,
            "{json}"
        );
    }
}

#[test]
fn names_come_from_the_option_or_the_file() {
    let long = "a".repeat(64);
    for (file, name, expected) in [
        ("target/github_push.wasm", None, Some("github_push")),
        ("x/Some Plugin.wasm", None, None),
        (
            "x/Some Plugin.wasm",
            Some("some-plugin"),
            Some("some-plugin"),
        ),
        ("a.wasm", Some("../../etc/passwd"), None),
        ("a.wasm", Some(""), None),
        ("a.wasm", Some("-a"), None),
        ("a.wasm", Some(long.as_str()), None),
        ("a.wasm", Some(&long[..63]), Some(&long[..63])),
    ] {
        let args = InstallArgs {
            file: PathBuf::from(file),
            name: name.map(str::to_owned),
            admin: AdminArgs::default(),
        };
        assert_eq!(
            plugin_name(&args).ok().as_ref().map(PluginName::as_str),
            expected,
            "{file} {name:?}"
        );
    }
}

#[test]
fn the_file_is_placed_whole_and_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, plugins_dir) = (dir.path().join("in.wasm"), dir.path().join("plugins.d"));
    for content in [b"\0asm\x0d\0\x01\0one".as_slice(), b"\0asm\x0d\0\x01\0two"] {
        fs::write(&file, content).expect("a file");
        let installed =
            place(&file, &plugins_dir, &name("echo"), &TrustedKeys::default()).expect("placed");
        assert_eq!(
            fs::read(plugins_dir.join("echo.wasm")).expect("the copy"),
            content
        );
        assert_eq!(
            (installed.digest.len(), installed.file_name.as_str()),
            (64, "echo.wasm")
        );
        assert_eq!(fs::read_dir(&plugins_dir).expect("a directory").count(), 1);
    }
    fs::write(&file, "# not wasm").expect("a file");
    let error =
        place(&file, &plugins_dir, &name("other"), &TrustedKeys::default()).expect_err("text");
    assert!(error.to_string().contains("not WebAssembly"), "{error}");
    assert_eq!(fs::read_dir(&plugins_dir).expect("a directory").count(), 1);
}
