//! Plugins' state: committed with the run or not at all, and safe against each other.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Host, outcomes};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 3, first = "10ms", factor = 1, max = "10ms" }
concurrency = 8
"#;

#[tokio::test(flavor = "multi_thread")]
async fn values_are_kept_from_run_to_run() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    for (what, summary) in [
        (json!({ "do": "kv_get", "key": "a" }), "none"),
        (json!({ "do": "kv_set", "key": "a", "value": "1" }), "ok"),
        (json!({ "do": "kv_get", "key": "a" }), "1"),
        (json!({ "do": "kv_set", "key": "a", "value": "" }), "ok"),
        (json!({ "do": "kv_get", "key": "a" }), ""),
        (json!({ "do": "kv_increment", "key": "n", "by": 5 }), "ok"),
        (json!({ "do": "kv_increment", "key": "n", "by": -8 }), "ok"),
        (json!({ "do": "kv_get", "key": "n" }), "-3"),
        (json!({ "do": "get_then_set", "key": "n" }), "-2"),
        (
            json!({ "do": "kv_set", "key": "snö/\u{1f600}", "value": "☃" }),
            "ok",
        ),
        (json!({ "do": "kv_get", "key": "snö/\u{1f600}" }), "☃"),
    ] {
        let run = host.told(&what).await;
        assert_eq!(
            (&run["state"], &run["summary"]),
            (&json!("succeeded"), &json!(summary)),
            "{what}"
        );
    }
    let items = host.items("plugins/misbehave/kv").await;
    let keys: Vec<&str> = items
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["a", "n", "snö/\u{1f600}"]);
    assert_eq!(
        host.items("plugins/misbehave/kv?prefix=sn%C3%B6")
            .await
            .len(),
        1
    );
    let host = host.restart().await;
    assert_eq!(host.kv("misbehave", "n").await.as_deref(), Some("-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let long = "k".repeat(513);
    for (what, expected) in [
        (
            json!({ "do": "kv_set", "key": "", "value": "x" }),
            "permanent",
        ),
        (
            json!({ "do": "kv_set", "key": long, "value": "x" }),
            "permanent",
        ),
        (
            json!({ "do": "kv_set", "key": "k", "value": "x".repeat((256 << 10) + 1) }),
            "output",
        ),
    ] {
        let run = host.told(&what).await;
        let shown = what["key"].as_str().unwrap().len();
        assert_eq!(
            (&run["state"], &run["outcome"]),
            (&json!("dead"), &json!(expected)),
            "key of {shown} bytes: {run}"
        );
    }
    assert!(host.items("plugins/misbehave/kv").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_leaves_no_writes() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host
        .told(&json!({ "do": "kv_write_then_fail", "key": "a", "value": "1" }))
        .await;
    assert_eq!(outcomes(&run), ["retry"; 3]);
    assert!(host.items("plugins/misbehave/kv").await.is_empty());
    let run = host.told(&json!({ "do": "kv_get", "key": "a" })).await;
    assert_eq!(run["summary"], "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_where_no_counter_is_ends_the_run() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    for value in ["words", "1.5", "", "9223372036854775807"] {
        host.told(&json!({ "do": "kv_set", "key": "n", "value": value }))
            .await;
        let run = host
            .told(&json!({ "do": "kv_increment", "key": "n", "by": 1 }))
            .await;
        assert_eq!(
            (&run["state"], outcomes(&run)),
            (&json!("dead"), vec!["permanent"]),
            "`{value}`"
        );
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains("`n`"), "{message}");
        assert_eq!(host.kv("misbehave", "n").await.as_deref(), Some(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_runs_at_the_same_time_merge() {
    const MANY: usize = 50;
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let what = json!({ "do": "kv_increment", "key": "n", "by": 2 });
    let events = join_all((0..MANY).map(|_| host.tell(&what))).await;
    host.settled("misbehave").await;
    for event in events {
        assert_eq!(
            outcomes(&host.finished(&event).await),
            ["succeeded"],
            "an increment conflicts with nothing"
        );
    }
    assert_eq!(
        host.kv("misbehave", "n").await,
        Some((2 * MANY).to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_and_written_at_the_same_time_is_tried_again() {
    const MANY: usize = 20;
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let what = json!({ "do": "get_then_set", "key": "n" });
    let events = join_all((0..MANY).map(|_| host.tell(&what))).await;
    let mut results = Vec::new();
    for event in events {
        let run = host.finished(&event).await;
        let outcomes = outcomes(&run);
        let (last, before) = outcomes.split_last().unwrap();
        assert_eq!((&run["state"], *last), (&json!("succeeded"), "succeeded"));
        assert!(
            before.iter().all(|outcome| *outcome == "conflict"),
            "{outcomes:?}"
        );
        // A conflict uses up no attempt: the budget has grown by as many.
        assert_eq!(run["max_attempts"], 3 + before.len(), "{run}");
        results.push(run["summary"].as_str().unwrap().parse::<usize>().unwrap());
    }
    results.sort_unstable();
    assert_eq!(results, (1..=MANY).collect::<Vec<_>>());
    assert_eq!(host.kv("misbehave", "n").await, Some(MANY.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_under_two_names_is_two_plugins() {
    let config = r#"
        [sources.misbehave]
        provider = "none"
        [plugins.left]
        file = "misbehave.wasm"
        [plugins.right]
        file = "misbehave.wasm"
        config.a = 1
    "#;
    let host = Host::start(config, &["misbehave"]).await;
    let event = host
        .tell(&json!({ "do": "kv_increment", "key": "n", "by": 1 }))
        .await;
    let event = host.get(&format!("events/{event}")).await;
    assert_eq!(event["runs"].as_array().unwrap().len(), 2);
    host.settled("left").await;
    host.settled("right").await;
    let replayed = host
        .ask(
            reqwest::Method::POST,
            &format!("/api/v1/events/{}/replay", event["id"].as_str().unwrap()),
            r#"{"plugin":"right"}"#,
        )
        .await;
    assert_eq!(replayed.status, 202);
    host.settled("right").await;
    assert_eq!(host.kv("left", "n").await.as_deref(), Some("1"));
    assert_eq!(host.kv("right", "n").await.as_deref(), Some("2"));
    let names: Vec<_> = host
        .items("plugins")
        .await
        .iter()
        .map(|plugin| plugin["name"].clone())
        .collect();
    assert_eq!(
        names,
        ["left", "right"],
        "a file that tables name does not run under its own"
    );
}
