//! Which plugins a file is, and what becomes of them when it comes, goes and has another name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::components::named;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::program::Program;

const TWO: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.left]
file = "misbehave.wasm"

[plugins.right]
file = "misbehave.wasm"
retry = { attempts = 1 }
"#;

async fn state(host: &Host, name: &str) -> Value {
    host.get(&format!("plugins/{name}")).await["state"].clone()
}

/// The finished runs of an event, by plugin.
async fn runs(host: &Host, event: &str) -> Vec<(String, Value)> {
    let mut runs = eventually("all its runs are over", async || {
        let event = host.get(&format!("events/{event}")).await;
        let runs = event["runs"].as_array()?.clone();
        let is_over = |run: &Value| ["succeeded", "dead"].contains(&run["state"].as_str().unwrap());
        (!runs.is_empty() && runs.iter().all(is_over)).then_some(runs)
    })
    .await;
    let name = |run: &Value| run["plugin"].as_str().unwrap().to_owned();
    runs.sort_by_key(name);
    runs.into_iter().map(|run| (name(&run), run)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_several_plugins_each_with_its_own() {
    let host = Host::start(TWO, &["misbehave"]).await;
    let names: Vec<Value> = host.items("plugins").await;
    let names: Vec<&str> = names
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["left", "right"],
        "it does not run under its own name too"
    );
    let event = host
        .tell(&json!({ "do": "kv_increment", "key": "n", "by": 1 }))
        .await;
    let both = runs(&host, &event).await;
    assert_eq!(both.len(), 2);
    for (name, run) in &both {
        assert_eq!(run["state"], "succeeded", "{name}");
        assert_eq!(host.kv(name, "n").await.as_deref(), Some("1"), "{name}");
    }
    // What an operator does to one does nothing to the other.
    assert_eq!(host.post("plugins/left/pause").await.status, 204);
    eventually("it is paused", async || {
        (state(&host, "left").await == "paused").then_some(())
    })
    .await;
    assert_eq!(state(&host, "right").await, "active");
    assert_eq!(host.post("plugins/left/resume").await.status, 204);

    // A newer file is a newer version of both; either can go back alone.
    let newer = named("misbehave").numbered(2);
    host.install(&newer, "misbehave.wasm").await;
    assert_eq!(host.post("plugins/left/rollback").await.status, 200);
    for (name, digest) in [
        ("left", named("misbehave").digest()),
        ("right", newer.digest()),
    ] {
        assert_eq!(host.get(&format!("plugins/{name}")).await["digest"], digest);
    }
    let host = host.restart().await;
    for (name, digest) in [
        ("left", named("misbehave").digest()),
        ("right", newer.digest()),
    ] {
        assert_eq!(host.get(&format!("plugins/{name}")).await["digest"], digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_plugins_of_a_file_may_be_held() {
    let config = "[sources.wants-config]\nprovider = \"none\"\n\
         [plugins.granted]\nfile = \"wants-config.wasm\"\nconfig.database_id = \"db-1\"\n\
         [plugins.held]\nfile = \"wants-config.wasm\"\n";
    let host = Host::start(config, &["wants-config"]).await;
    assert_eq!(state(&host, "granted").await, "active");
    assert_eq!(state(&host, "held").await, "held");
    let event = host.send("wants-config", &[], "{}").await.event();
    eventually("one runs and one waits", async || {
        let event = host.get(&format!("events/{event}")).await;
        let states = event["runs"].as_array()?.iter();
        let mut states: Vec<&str> = states.map(|run| run["state"].as_str().unwrap()).collect();
        states.sort_unstable();
        (states == ["blocked", "succeeded"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_takes_all_its_plugins_and_brings_them_back() {
    let host = Host::start(TWO, &["misbehave"]).await;
    let file = host.folder.plugins_dir().join("misbehave.wasm");
    let aside = host.folder.path().join("aside.wasm");
    fs::rename(&file, &aside).unwrap();
    host.rescan().await;
    for name in ["left", "right"] {
        assert_eq!(state(&host, name).await, "missing");
    }
    let event = host.tell(&json!({ "do": "ok" })).await;
    assert_eq!(host.get("plugins/left").await["runs"]["blocked"], 1);
    fs::rename(&aside, &file).unwrap();
    host.rescan().await;
    for (name, run) in runs(&host, &event).await {
        let run = host
            .get(&format!("runs/{}", run["id"].as_str().unwrap()))
            .await;
        assert_eq!(outcomes(&run), ["succeeded"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_another_name_is_another_plugin() {
    let host = Host::start("[sources.noop]\nprovider = \"none\"\n", &["noop"]).await;
    let folder = host.folder.plugins_dir();
    let event = host.send("noop", &[], "{}").await.event();
    host.finished(&event).await;
    fs::rename(folder.join("noop.wasm"), folder.join("other.wasm")).unwrap();
    host.rescan().await;
    assert_eq!(state(&host, "noop").await, "missing");
    assert_eq!(state(&host, "other").await, "active");
    assert_eq!(host.get("plugins/other").await["runs"]["succeeded"], 0);
    fs::rename(folder.join("other.wasm"), folder.join("noop.wasm")).unwrap();
    host.rescan().await;
    assert_eq!(state(&host, "noop").await, "active");
    assert_eq!(state(&host, "other").await, "missing");
    assert_eq!(host.get("plugins/noop").await["runs"]["succeeded"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_that_stands_there_already() {
    let host = Host::start("[sources.noop]\nprovider = \"none\"\n", &["noop"]).await;
    let loaded = async |host: &Host| {
        let row = host.store().plugin("noop").await.unwrap().unwrap();
        (row.loaded_ms, row.digest)
    };
    let before = loaded(&host).await;
    let versions = host.get("plugins/noop").await["versions"].clone();
    let host = host.restart().await;
    assert_eq!(loaded(&host).await, before);
    assert_eq!(host.get("plugins/noop").await["versions"], versions);
    let cache = fs::metadata(host.folder.path().join("data/cache")).unwrap();
    assert_eq!(
        cache.permissions().mode() & 0o777,
        0o700,
        "what is in it is executed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_room_for_the_pool_runs_plugins_all_the_same() {
    let folder = Folder::new("[sources.noop]\nprovider = \"none\"\n", &["noop"]).await;
    // Kilobytes: a pool for these settings reserves more than 100 GiB of addresses.
    let program = Program::start_within("-v 20000000", &folder).await;
    let event = program.send("noop", &json!({ "do": "ok" })).await.event();
    eventually("its run has succeeded", async || {
        let event = program.get(&format!("events/{event}")).await;
        (event["runs"][0]["state"] == "succeeded").then_some(())
    })
    .await;
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescan_that_activates_something_is_in_the_audit_log_with_its_digest() {
    let host = Host::start("", &["noop"]).await;
    host.rescan().await;
    let newest = async || {
        let changes = host.items("audit?action=plugins.rescan").await;
        changes[0]["target"].clone()
    };
    assert_eq!(newest().await, Value::Null);
    // The host may have noticed the file before it was asked to look.
    let mut number = 1;
    eventually("a rescan has activated a version", async || {
        number += 1;
        let version = named("noop").numbered(number);
        host.install(&version, "noop.wasm").await;
        let told = format!("noop {}", &version.digest()[..12]);
        (newest().await == told).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_not_known_yet_says_what_its_file_is_waiting_for() {
    let host = Host::start("", &[]).await;
    let said = async |name: &str| {
        let path = format!("/api/v1/runs?plugin={name}");
        let answer = host.ask(Method::GET, &path, "").await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(said("nobody").await, "there is no plugin `nobody`");
    assert_eq!(said("No-Body").await, "there is no plugin `No-Body`");
    let broken = named("noop").truncated();
    host.install(&broken, "half.wasm").await;
    let half = said("half").await;
    assert!(
        half.starts_with("plugin `half` was never active: "),
        "{half}"
    );
    // What was copied just now is looked at twice before it is taken for whole.
    let mut number = 0;
    eventually("one is asked for before it was looked at", async || {
        number += 1;
        let name = format!("late-{number}");
        broken.write_over(&host.folder.plugins_dir(), &format!("{name}.wasm"));
        let said = said(&name).await;
        said.contains("is not known yet, but `late-").then_some(())
    })
    .await;
}
