//! Many released at once, as an operation.

use reqwest::Method;
use serde_json::{Value, json};

use super::{NEW, SOURCES, correct_secret, refused_push, set_aside};
use crate::harness::{Host, eventually};

pub(super) async fn done(host: &Host, body: &Value) -> Value {
    let path = "/api/v1/quarantine/release";
    let answer = host.ask(Method::POST, path, &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["operation_id"].as_str().unwrap().to_owned();
    eventually(&format!("operation {id} is over"), async || {
        let operation = host.get(&format!("operations/{id}")).await;
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

pub(super) fn counts(operation: &Value) -> (&str, i64, i64) {
    assert_eq!(operation["what"], "release");
    let number = |name: &str| operation[name].as_i64().unwrap();
    (
        operation["state"].as_str().unwrap(),
        number("done"),
        number("total"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_are_genuine_now_are_released_and_the_others_stay() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    // More than a slice has; the allowance of a source is just as many.
    let mut ids = Vec::new();
    for n in 0..45 {
        ids.push(refused_push(&host, NEW, &format!("d-{n}")).await);
    }
    for n in 0..3 {
        ids.push(refused_push(&host, "a third one", &format!("x-{n}")).await);
    }
    for id in &ids {
        set_aside(&host, id).await;
    }
    let everything = json!({ "filter": {}, "dry_run": true });
    assert_eq!(counts(&done(&host, &everything).await), ("succeeded", 0, 0));
    correct_secret(&host).await;
    let events = host.items("events?limit=1000&kind=push").await.len();
    assert_eq!(events, 0);
    assert_eq!(
        counts(&done(&host, &everything).await),
        ("succeeded", 0, 45)
    );
    assert_eq!(host.items("quarantine?limit=1000").await.len(), 48);
    let others = json!({ "filter": { "source": "stripe" } });
    assert_eq!(counts(&done(&host, &others).await), ("succeeded", 0, 0));
    let github = json!({ "filter": { "source": "github", "reason": "wrong_signature" } });
    assert_eq!(counts(&done(&host, &github).await), ("succeeded", 45, 45));
    assert_eq!(host.items("quarantine").await.len(), 3);
    assert_eq!(host.items("events?limit=1000&kind=push").await.len(), 45);
    assert_eq!(counts(&done(&host, &github).await), ("succeeded", 0, 0));

    let forced = json!({ "filter": {}, "force": true });
    assert_eq!(counts(&done(&host, &forced).await), ("succeeded", 3, 3));
    assert_eq!(host.items("quarantine").await.len(), 0);
    let events = host.items("events?limit=1000&kind=push").await;
    let is_forced = |event: &&Value| event["forced"] == true;
    assert_eq!(events.iter().filter(is_forced).count(), 3);
    assert_eq!(events.len(), 48);
    let settled = host.settled("github-push").await;
    assert_eq!(settled["runs"]["succeeded"], 48, "{settled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_must_be_right() {
    let host = Host::start(SOURCES, &[]).await;
    for body in [
        json!({}),
        json!({ "filter": { "kind": "push" } }),
        json!({ "filter": { "source": "" } }),
        json!({ "filter": {}, "plugin": "p" }),
    ] {
        let path = "/api/v1/quarantine/release";
        let answer = host.ask(Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, 400, "{body}");
    }
}
