//! Operations whose host is stopped or killed, or that somebody ends; and catch-up.

use std::time::Duration;

use bytes::Bytes;
use hookbay::clock::Timestamp;
use hookbay::event::{Event, EventId, Headers};
use hookbay::store::NewEvent;
use reqwest::Method;
use serde_json::json;

use super::{CONFIG, begin, n_runs, over, tell};
use crate::components::named;
use crate::harness::{Host, eventually};
use crate::program::Program;

/// A plugin without an active version: its runs are stored and wait.
const HELD: &str = "[sources.wants-config]\nprovider = \"none\"\n";

/// Stores so many events of a source without runs, received at this time.
async fn store_events(host: &Host, source: &str, received_at: Timestamp, count: usize) {
    for slice in (0..count).collect::<Vec<_>>().chunks(1000) {
        let event = |n: &usize| Event {
            id: EventId::new(received_at),
            source: source.parse().unwrap(),
            provider: "none".to_owned(),
            kind: "unknown".to_owned(),
            delivery_id: None,
            received_at,
            content_type: None,
            headers: Headers::default(),
            body: Bytes::from(n.to_string()),
            is_handshake: false,
        };
        let new = |n| NewEvent::new(event(n), None, false, Duration::from_secs(60), Vec::new());
        host.store()
            .ingest(slice.iter().map(new).collect())
            .await
            .unwrap();
    }
}

/// A host with many events, and an operation that has done some of them.
async fn in_the_middle(host: &Host, count: usize) -> String {
    store_events(host, "wants-config", host.store().clock().now(), count).await;
    let id = begin(host, "events/replay", &json!({ "filter": {} })).await;
    eventually("it has done some", async || {
        let operation = host.get(&format!("operations/{id}")).await;
        (operation["done"] != 0).then_some(())
    })
    .await;
    id
}

async fn blocked(host: &Host) -> i64 {
    let plugin = host.get("plugins/wants-config").await;
    plugin["runs"]["blocked"].as_i64().unwrap()
}

/// Every event has exactly one run.
async fn each_has_one_run(host: &Host, count: usize) {
    assert_eq!(blocked(host).await, i64::try_from(count).unwrap());
    let mut path = "events?limit=1000".to_owned();
    let mut seen = 0;
    loop {
        let page = host.get(&path).await;
        for event in page["items"].as_array().unwrap() {
            assert_eq!(event["runs"], json!({ "blocked": 1 }));
            seen += 1;
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("events?limit=1000&cursor={cursor}");
    }
    assert_eq!(seen, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_cancelled_in_the_middle() {
    const MANY: usize = 8000;
    let host = Host::start(HELD, &["wants-config"]).await;
    let id = in_the_middle(&host, MANY).await;
    let path = format!("/api/v1/operations/{id}");
    let answer = host.ask(Method::DELETE, &path, "").await;
    assert_eq!(
        (answer.status, &answer.json()["state"]),
        (200, &json!("cancelled"))
    );
    let cancelled = answer.json();
    let done = cancelled["done"].as_i64().unwrap();
    assert!(done > 0 && done < 8000, "{cancelled}");
    assert_eq!(
        (&cancelled["total"], blocked(&host).await),
        (&json!(MANY), done)
    );
    assert!(cancelled["finished_at"].is_string());

    let again = host.ask(Method::DELETE, &path, "").await;
    assert_eq!(again.status, 409, "{}", again.text());
    // Whatever another operation does, this one does no more.
    let dry = json!({ "filter": {}, "dry_run": true });
    let other = begin(&host, "events/replay", &dry).await;
    assert_eq!(over(&host, &other).await["total"], MANY);
    assert_eq!(host.get(&format!("operations/{id}")).await, cancelled);
    assert_eq!(blocked(&host).await, done);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_goes_on_after_a_restart() {
    const MANY: usize = 6000;
    let host = Host::start(HELD, &["wants-config"]).await;
    let id = in_the_middle(&host, MANY).await;
    let before = host.get(&format!("operations/{id}")).await;
    assert_eq!(before["state"], "running", "{before}");
    let host = host.restart().await;
    let after = over(&host, &id).await;
    assert_eq!(
        (&after["state"], &after["done"], &after["total"]),
        (&json!("succeeded"), &json!(MANY), &json!(MANY))
    );
    each_has_one_run(&host, MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_goes_on_with_the_operation_of_one_that_was_killed() {
    const MANY: usize = 8000;
    let host = Host::start(HELD, &["wants-config"]).await;
    let id = in_the_middle(&host, MANY).await;
    let folder = host.stop().await;
    let program = Program::start(&folder).await;
    let path = format!("operations/{id}");
    let taken = program.get(&path).await["done"].clone();
    eventually("it goes on", async || {
        (program.get(&path).await["done"] != taken).then_some(())
    })
    .await;
    let killed = program.get(&path).await;
    program.kill().await;
    assert_eq!(killed["state"], "running", "{killed}");

    let host = Host::over(folder).await;
    let after = over(&host, &id).await;
    assert_eq!(
        (&after["state"], &after["done"]),
        (&json!("succeeded"), &json!(MANY))
    );
    each_has_one_run(&host, MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_catches_up_once() {
    let config = CONFIG.replace("retry = {", "catch_up = \"2h\"\nretry = {");
    let host = Host::start(&config, &[]).await;
    let now = host.store().clock().now();
    store_events(
        &host,
        "misbehave",
        now.minus(Duration::from_secs(3 * 3600)),
        1,
    )
    .await;
    let mut events = Vec::new();
    for n in 0..5 {
        let what = json!({ "do": "kv_increment", "key": format!("k{}", n % 2), "by": 1 });
        events.push(tell(&host, "misbehave", "a", &what).await);
    }
    let quiet = tell(&host, "quiet", "", &json!({ "do": "ok" })).await;
    assert_eq!(n_runs(&host, &events[0]).await, 0);

    host.install(&named("misbehave"), "misbehave.wasm").await;
    let later = tell(&host, "misbehave", "a", &json!({ "do": "ok" })).await;
    let operations = host.items("operations").await;
    assert_eq!(
        (operations.len(), &operations[0]["what"]),
        (1, &json!("catch_up"))
    );
    let id = operations[0]["id"].as_str().unwrap();
    let operation = over(&host, id).await;
    assert_eq!(operation["state"], "succeeded", "{operation}");
    for event in events.iter().chain([&later]) {
        assert_eq!(host.finished(event).await["state"], "succeeded");
    }
    assert_eq!(n_runs(&host, &quiet).await, 0);
    assert_eq!(host.settled("misbehave").await["runs"]["succeeded"], 6);

    // Neither a restart nor a newer version makes it new again.
    let host = host.restart().await;
    let newer = named("misbehave").numbered(1);
    host.install(&newer, "misbehave.wasm").await;
    assert_eq!(host.items("operations").await.len(), 1);
    assert_eq!(host.settled("misbehave").await["runs"]["succeeded"], 6);
}
