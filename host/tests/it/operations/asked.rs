//! What is asked for in a wrong way, and what is asked for twice.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{begin, bulk, host, n_runs, over, tell};
use crate::program::asked;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_what_is_wrong_is_refused_and_named() {
    let replay = "events/replay";
    refused(&[
        (replay, json!({}), 400, "filter"),
        (replay, json!({ "filter": [] }), 400, "sequence"),
        (replay, json!({ "filter": {}, "dry": true }), 400, "dry"),
        (
            replay,
            json!({ "filter": {}, "dry_run": "yes" }),
            400,
            "boolean",
        ),
        (replay, json!({ "filter": { "sorce": "a" } }), 400, "sorce"),
        (replay, json!({ "filter": { "limit": "5" } }), 400, "limit"),
        (replay, json!({ "filter": { "source": "" } }), 400, "source"),
        (
            replay,
            json!({ "filter": { "source": null } }),
            400,
            "source",
        ),
        (replay, json!({ "filter": { "kind": "a..b" } }), 400, "kind"),
        (
            replay,
            json!({ "filter": { "since": "yesterday" } }),
            400,
            "since",
        ),
        (
            replay,
            json!({ "filter": { "state": "dead" } }),
            400,
            "state",
        ),
        (
            replay,
            json!({ "filter": {}, "plugin": "nobody" }),
            404,
            "nobody",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_is_wrong_is_refused_and_named() {
    let retry = "runs/retry";
    refused(&[
        (
            retry,
            json!({ "filter": { "plugin": "nobody" } }),
            404,
            "nobody",
        ),
        (
            retry,
            json!({ "filter": {}, "plugin": "misbehave" }),
            400,
            "plugin",
        ),
        (
            retry,
            json!({ "filter": { "state": "succeeded" } }),
            400,
            "state",
        ),
        (
            retry,
            json!({ "filter": { "state": "lost" } }),
            400,
            "state",
        ),
        (
            retry,
            json!({ "filter": { "event": "nonsense" } }),
            400,
            "event",
        ),
        (retry, json!({ "filter": { "source": "a" } }), 400, "source"),
    ])
    .await;
}

/// Each of these requests is refused with a status, for a reason that names this.
async fn refused(requests: &[(&str, Value, u16, &str)]) {
    let host = host().await;
    for (path, body, status, named) in requests {
        let answer = bulk(&host, path, body, None).await;
        assert_eq!(answer.status, *status, "{path} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let said = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(said.contains(named), "{body}: {said}");
    }
    assert_eq!(host.items("operations").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_ids_that_are_none_are_refused() {
    let host = host().await;
    let long = "k".repeat(256);
    for key in ["", " ", &long] {
        let answer = bulk(&host, "events/replay", &json!({ "filter": {} }), Some(key)).await;
        assert_eq!(answer.status, 400, "{key}");
    }
    for (method, id) in [
        (Method::GET, "9999"),
        (Method::GET, "none"),
        (Method::DELETE, "9999"),
    ] {
        let answer = host
            .ask(method, &format!("/api/v1/operations/{id}"), "")
            .await;
        assert_eq!(answer.status, 404);
    }
    assert_eq!(host.items("operations").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_an_operation_once() {
    let host = host().await;
    let event = tell(&host, "misbehave", "a", &json!({ "do": "ok" })).await;
    let body = json!({ "filter": { "source": "misbehave" } });
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let answer = bulk(&host, "events/replay", &body, Some("key-1")).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["operation_id"].as_str().unwrap().to_owned();
        over(&host, &id).await;
        ids.insert(id);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(n_runs(&host, &event).await, 2);
    let dry = json!({ "filter": { "source": "misbehave" }, "dry_run": true });
    for (path, body) in [
        ("events/replay", &dry),
        ("events/replay", &json!({ "filter": {} })),
        ("runs/retry", &json!({ "filter": {} })),
    ] {
        let answer = bulk(&host, path, body, Some("key-1")).await;
        assert_eq!(answer.status, 409, "{path} {body}: {}", answer.text());
    }
    let answer = bulk(&host, "events/replay", &body, Some("key-2")).await;
    assert!(!ids.contains(answer.json()["operation_id"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_begins_and_follows_operations() {
    let host = host().await;
    let event = tell(&host, "misbehave", "a", &json!({ "do": "permanent" })).await;
    let run = host.finished(&event).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let say = async |arguments: &[&str], code: i32, said: &str| {
        let (exit, stdout, stderr) = asked(&host, arguments).await;
        let output = format!("{stdout}{stderr}");
        assert_eq!(exit, code, "{arguments:?}: {output}");
        assert!(output.contains(said), "{arguments:?}: {output}");
    };
    say(&["events", "replay"], 1, "--all").await;
    say(
        &["events", "replay", &event, "--kind", "a"],
        2,
        "cannot be used",
    )
    .await;
    say(
        &["runs", "retry", "--state", "succeeded"],
        2,
        "possible values",
    )
    .await;
    say(
        &["runs", "retry", "--state", "dead", "--dry-run"],
        0,
        "1 fit",
    )
    .await;
    let wait = ["events", "replay", "--kind", "a", "--since", "1h", "--wait"];
    say(&wait, 0, "operation 2: succeeded, 1 of 1").await;
    say(&["runs", "retry", "--all", "--wait"], 0, "succeeded, ").await;
    host.settled("misbehave").await;
    say(&["runs", "retry", &run], 0, &format!("run {run} is ")).await;
    host.settled("misbehave").await;
    say(&["runs", "cancel", &run], 1, "is dead").await;
    say(&["events", "replay", "--all"], 0, "operations show 4").await;
    over(&host, "4").await;
    say(&["operations", "list"], 0, "succeeded, ").await;
    say(&["operations", "list"], 0, "succeeded, 1 would be done").await;
    say(&["operations", "show", "1"], 0, "retry (dry run)").await;
    say(&["operations", "show", "1"], 0, "state=dead").await;
    say(&["operations", "show", "1"], 0, "bootstrap").await;
    say(&["operations", "show", "4"], 0, "replay").await;
    say(&["operations", "show", "4"], 0, "everything").await;
    say(&["operations", "cancel", "4"], 1, "is over").await;
    say(&["plugins", "pause", "misbehave"], 0, "is paused").await;
    say(&["plugins", "resume", "nobody"], 1, "nobody").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_of_an_operation_what_it_is_over() {
    let host = host().await;
    let show = async |id: &str| {
        over(&host, id).await;
        asked(&host, &["operations", "show", id]).await.1
    };
    let has = |shown: &str, label: &str| shown.lines().any(|line| line.starts_with(label));
    begin(&host, "events/replay", &json!({ "filter": {} })).await;
    let shown = show("1").await;
    assert!(
        has(&shown, "filter ") && shown.contains("everything"),
        "{shown}"
    );

    // The end of a plugin is over what that left, not over everything.
    std::fs::remove_file(host.folder.plugins_dir().join("misbehave.wasm")).unwrap();
    host.rescan().await;
    let forgotten = host.post("plugins/misbehave/forget").await;
    assert_eq!(forgotten.status, 202, "{}", forgotten.text());
    let shown = show("2").await;
    assert!(
        shown.contains("forget") && !has(&shown, "filter"),
        "{shown}"
    );
    assert!(!shown.contains("everything"), "{shown}");

    let release = "quarantine/release";
    begin(&host, release, &json!({ "filter": {} })).await;
    begin(&host, release, &json!({ "filter": {}, "force": true })).await;
    for (id, is_forced) in [("3", false), ("4", true)] {
        let shown = show(id).await;
        assert_eq!(shown.contains("without proof"), is_forced, "{shown}");
    }
}
