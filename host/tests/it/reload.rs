//! The plugins directory while the host runs: what is dropped in, replaced, broken, removed.

use std::fs;

use serde_json::{Value, json};

use crate::components::{Component, named};
use crate::harness::{Folder, Host, eventually, outcomes};

const SOURCES: &str = r#"
[sources.noop]
provider = "none"

[sources.misbehave]
provider = "none"
"#;

async fn send(host: &Host, source: &str) -> String {
    host.send(source, &[], r#"{"do":"ok"}"#).await.event()
}

async fn plugin(host: &Host, name: &str) -> Value {
    host.get(&format!("plugins/{name}")).await
}

/// Which version an attempt ran on.
fn digest_of(run: &Value) -> &str {
    run["attempts"].as_array().unwrap().last().unwrap()["digest"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_runs_and_older_events_can_be_replayed() {
    let host = Host::start(SOURCES, &[]).await;
    let early = send(&host, "noop").await;
    let event = host.get(&format!("events/{early}")).await;
    assert_eq!(
        (&event["runs"], &event["no_run_reason"]),
        (&json!([]), &json!("no_trigger"))
    );

    // Nobody asks for a scan here: the directory is watched.
    named("noop").place(&host.folder.plugins_dir(), "noop.wasm");
    eventually("the new plugin is there", async || {
        let plugins = host.items("plugins").await;
        plugins
            .iter()
            .any(|plugin| plugin["name"] == "noop" && plugin["state"] == "active")
            .then_some(())
    })
    .await;
    let late = send(&host, "noop").await;
    let run = host.finished(&late).await;
    assert_eq!(
        (&run["state"], digest_of(&run)),
        (&json!("succeeded"), named("noop").digest().as_str())
    );

    assert_eq!(
        host.post(&format!("events/{early}/replay")).await.status,
        202
    );
    assert_eq!(host.finished(&early).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_place_is_found_without_being_asked() {
    let host = Host::start(SOURCES, &["noop"]).await;
    let newer = named("noop").numbered(7);
    newer.write_over(&host.folder.plugins_dir(), "noop.wasm");
    eventually("the newer version is active", async || {
        (plugin(&host, "noop").await["digest"] == newer.digest()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_file_takes_over_and_what_runs_ends_on_the_older() {
    let config = format!("{SOURCES}\n[plugins.misbehave]\nlimits = {{ wall = \"30s\" }}");
    let host = Host::start(&config, &["misbehave"]).await;
    let old = named("misbehave");
    let event = host.tell(&json!({ "do": "sleep", "ms": 1500 })).await;
    host.run_in(&event, &["running"]).await;
    for number in 1..=3 {
        let newer = old.numbered(number);
        host.install(&newer, "misbehave.wasm").await;
        let plugin = plugin(&host, "misbehave").await;
        assert_eq!(
            (&plugin["state"], &plugin["digest"], &plugin["candidate"]),
            (&json!("active"), &json!(newer.digest()), &Value::Null)
        );
        let run = host.told(&json!({ "do": "ok" })).await;
        assert_eq!(digest_of(&run), newer.digest());
    }
    let run = host.finished(&event).await;
    assert_eq!(
        (outcomes(&run), digest_of(&run)),
        (vec!["succeeded"], old.digest().as_str())
    );
}

/// A file that is no plugin, and words that say why.
fn broken_files() -> Vec<(&'static str, Component, &'static str)> {
    let noop = named("noop");
    let core_module = Component(b"\0asm\x01\0\0\0".to_vec());
    let empty_component = Component(b"\0asm\x0d\0\x01\0".to_vec());
    vec![
        (
            "a truncated copy",
            noop.truncated(),
            "complete WebAssembly component",
        ),
        (
            "all but the last byte",
            Component(noop.0[..noop.0.len() - 1].to_vec()),
            "complete WebAssembly component",
        ),
        ("only the head", Component(noop.0[..8].to_vec()), ""),
        (
            "a program of this system",
            Component([&b"\x7fELF\x02\x01\x01"[..], &[0; 4000]].concat()),
            "",
        ),
        (
            "text",
            Component(b"#!/bin/sh\necho hello\n".to_vec()),
            "complete WebAssembly component",
        ),
        (
            "nothing",
            Component(Vec::new()),
            "complete WebAssembly component",
        ),
        ("a core module", core_module, "component"),
        (
            "a component that is no plugin",
            empty_component,
            "hookbay:plugin/handler",
        ),
        (
            "a later contract's import",
            named("misbehave").patched("plugin/kv@0.1.0", "plugin/kv@9.9.9"),
            "`hookbay:plugin/kv@9.9.9`",
        ),
        (
            "an import of somebody else's",
            named("misbehave").patched("hookbay:plugin/kv@0.1.0", "acmecor:thinge/kv@0.1.0"),
            "`acmecor:thinge/kv@0.1.0`",
        ),
        (
            "a later contract",
            noop.patched("handler@0.1.0", "handler@0.9.0"),
            "0.9.0",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_a_candidate_and_the_older_version_runs_on() {
    let host = Host::start(SOURCES, &["noop"]).await;
    let good = named("noop");
    for (what, broken, problem) in broken_files() {
        host.install(&broken, "noop.wasm").await;
        let plugin = plugin(&host, "noop").await;
        assert_eq!(
            (&plugin["state"], &plugin["digest"]),
            (&json!("active"), &json!(good.digest())),
            "{what}"
        );
        assert_eq!(
            plugin["candidate"]["digest"],
            broken.digest(),
            "{what}: {plugin}"
        );
        let said = plugin["candidate"]["problem"].as_str().unwrap();
        assert!(!said.is_empty() && said.contains(problem), "{what}: {said}");
        assert!(!said.contains('\n'), "{what}: {said}");
        let event = send(&host, "noop").await;
        assert_eq!(
            digest_of(&host.finished(&event).await),
            good.digest(),
            "{what}"
        );
    }
    let later = plugin(&host, "noop").await["candidate"]["problem"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        later.contains("0.9.0") && later.contains("0.1.0"),
        "both versions are named: {later}"
    );

    host.install(&good, "noop.wasm").await;
    assert_eq!(
        plugin(&host, "noop").await["candidate"],
        Value::Null,
        "the good file is back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_never_loaded_are_broken_and_harm_nobody() {
    let folder = Folder::new(SOURCES, &["noop"]).await;
    Component(b"\0asm\x0d\0\x01\0".to_vec()).place(&folder.plugins_dir(), "empty.wasm");
    named("misbehave")
        .truncated()
        .place(&folder.plugins_dir(), "misbehave.wasm");
    let host = Host::over(folder).await;
    assert_eq!(
        host.public_get("/readyz").await.status,
        200,
        "a broken file does not hold up the host"
    );
    for (name, state) in [
        ("empty", "broken"),
        ("misbehave", "broken"),
        ("noop", "active"),
    ] {
        let plugin = plugin(&host, name).await;
        assert_eq!(plugin["state"], state, "{plugin}");
        assert_eq!(plugin["error"].is_null(), state == "active", "{plugin}");
    }
    let event = send(&host, "noop").await;
    assert_eq!(host.finished(&event).await["state"], "succeeded");
    // Whole at last.
    host.install(&named("misbehave"), "misbehave.wasm").await;
    assert_eq!(
        host.told(&json!({ "do": "ok" })).await["state"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_not_even_read() {
    let host = Host::start(SOURCES, &["noop"]).await;
    // A hole: it takes no room on the disk.
    let huge = fs::File::create(host.folder.plugins_dir().join("noop.wasm")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    host.rescan().await;
    let plugin = plugin(&host, "noop").await;
    assert_eq!(
        (&plugin["state"], &plugin["candidate"]["digest"]),
        (&json!("active"), &Value::Null)
    );
    let said = plugin["candidate"]["problem"].as_str().unwrap();
    assert!(said.contains("64 MiB"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_again_change_nothing() {
    let host = Host::start(SOURCES, &["noop"]).await;
    let before = plugin(&host, "noop").await;
    named("noop").write_over(&host.folder.plugins_dir(), "noop.wasm");
    host.rescan().await;
    host.install(&named("noop"), "noop.wasm").await;
    assert_eq!(plugin(&host, "noop").await, before);
    let metrics = host.ask(reqwest::Method::GET, "/metrics", "").await.text();
    assert!(
        metrics.contains("hookbay_plugin_loads_total{result=\"ok\"} 1\n"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_file_is_not_looked_at() {
    let host = Host::start(SOURCES, &[]).await;
    for file in [
        ".noop.wasm",
        "noop.cwasm",
        "noop.wasm.tmp",
        "noop.wasm.part",
        "noop.wasm~",
        "noop",
        "NOOP.wasm",
        "no op.wasm",
    ] {
        host.install(&named("noop"), file).await;
        assert!(host.items("plugins").await.is_empty(), "{file}");
    }
    fs::create_dir(host.folder.plugins_dir().join("folder.wasm")).unwrap();
    host.rescan().await;
    assert!(host.items("plugins").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_while_their_plugins_file_is_gone() {
    let host = Host::start(SOURCES, &["noop"]).await;
    fs::remove_file(host.folder.plugins_dir().join("noop.wasm")).unwrap();
    host.rescan().await;
    let missing = plugin(&host, "noop").await;
    assert_eq!(
        (&missing["state"], &missing["digest"], &missing["hosts"]),
        (&json!("missing"), &Value::Null, &json!([]))
    );

    let event = send(&host, "noop").await;
    let other = send(&host, "noop").await;
    let waits = host.run_in(&event, &["blocked"]).await;
    assert_eq!(
        (&waits["attempt"], &waits["attempts"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(plugin(&host, "noop").await["runs"]["blocked"], 2);
    assert_eq!(host.items("runs?state=blocked").await.len(), 2);
    assert_eq!(host.items("runs?state=ready").await.len(), 0);
    assert_eq!(
        host.get(&format!("events/{event}")).await["runs"][0]["state"],
        "blocked"
    );
    assert_eq!(
        host.items("events").await[0]["runs"],
        json!({ "blocked": 1 })
    );

    // Also over a restart.
    let host = host.restart().await;
    assert_eq!(plugin(&host, "noop").await["state"], "missing");
    host.run_in(&event, &["blocked"]).await;
    host.install(&named("noop"), "noop.wasm").await;
    for event in [event, other] {
        let run = host.finished(&event).await;
        assert_eq!(
            (&run["state"], outcomes(&run)),
            (&json!("succeeded"), vec!["succeeded"])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_older_version_stands_in_for_a_broken_file() {
    let host = Host::start(SOURCES, &["noop"]).await;
    let folder = host.stop().await;
    named("noop")
        .truncated()
        .write_over(&folder.plugins_dir(), "noop.wasm");
    let host = Host::over(folder).await;
    let plugin = plugin(&host, "noop").await;
    assert_eq!(
        (&plugin["state"], &plugin["digest"]),
        (&json!("active"), &json!(named("noop").digest()))
    );
    assert_eq!(
        plugin["candidate"]["digest"],
        named("noop").truncated().digest()
    );
    let event = send(&host, "noop").await;
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], digest_of(&run)),
        (&json!("succeeded"), named("noop").digest().as_str())
    );
}
