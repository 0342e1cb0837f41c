//! What becomes of requests that are released: the events that the door would have made.

use std::fs;

use serde_json::{Value, json};

use super::{release, set_aside};
use crate::door::fixtures::{Batches, Fixtures, events};
use crate::harness::{Folder, Host, eventually};
use crate::http::Answer;

/// A secret of the right form that is not the sender's.
fn another(of: &Batches) -> String {
    match of.provider.as_str() {
        // A key of somebody else's.
        "sendgrid" => "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8JuHSB5LHrLzH6m04F50TNWh65GeJsiG\
                       5nNYVLNyrjVC/eQVXSAtfPprFcP2y4yZbxgQEaM9QBOgJYwqHnr8EA=="
            .to_owned(),
        _ => "the secret of somebody else".to_owned(),
    }
}

/// Puts another configuration in force.
async fn set_to(host: &Host, change: impl FnOnce(String) -> String) {
    let file = host.folder.config_file();
    let text = change(fs::read_to_string(&file).unwrap());
    fs::write(&file, text + "[sources.later]\nprovider = \"none\"\n").unwrap();
    eventually("the change is in force", async || {
        let sources = host.items("sources").await;
        let is_there = sources.iter().any(|source| source["name"] == "later");
        is_there.then_some(())
    })
    .await;
}

async fn refused(host: &Host, answer: Answer) -> String {
    assert!([401, 498].contains(&answer.status), "{}", answer.text());
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    set_aside(host, &id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_released_as_its_items() {
    let fixtures = Fixtures::read();
    let wrong = fixtures.sources(another);
    let (folder, _) = fixtures.folder(&wrong, &[]).await;
    let host = Host::over(folder).await;
    let mut waiting = Vec::new();
    for of in &fixtures.batches {
        let source = of.source.as_str();
        let first = refused(&host, of.first.send(&host, source).await).await;
        let mixed = refused(&host, of.mixed.send(&host, source).await).await;
        waiting.push((of, first, mixed));
    }
    let right = fixtures.sources(|of| of.secret.clone());
    set_to(&host, |text| text.replace(&wrong, &right)).await;
    for (of, first, mixed) in waiting {
        let source = of.source.as_str();
        let answer = release(&host, &first, &json!({})).await;
        assert_eq!(answer.status, 202, "{source}: {}", answer.text());
        let released = events(&answer);
        of.first.is_stored_as(&host, source, &released).await;
        // The sender's own repetition is nothing new.
        let again = of.first.send(&host, source).await;
        assert_eq!(again.json()["status"], "duplicate", "{source}");
        assert_eq!(events(&again), released, "{source}");
        let answer = release(&host, &mixed, &json!({})).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (202, &json!("accepted")),
            "{source}"
        );
        let mixed = events(&answer);
        of.mixed.is_stored_as(&host, source, &mixed).await;
        assert_eq!(
            (&mixed[1], &mixed[2]),
            (&released[0], &mixed[0]),
            "{source}"
        );
        // All of it is known: it is released as what it was.
        assert_eq!(release(&host, &first, &json!({})).await.status, 404);
    }
    assert_eq!(host.items("quarantine").await.len(), 0);
    let stored = host.items("events?limit=1000").await;
    assert_eq!(stored.len(), 3 * fixtures.batches.len());
    assert!(stored.iter().all(|event| event["forced"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_proof_a_batch_is_its_items_too() {
    let fixtures = Fixtures::read();
    let (folder, _) = fixtures.folder(&fixtures.sources(another), &[]).await;
    let host = Host::over(folder).await;
    for of in &fixtures.batches {
        let source = of.source.as_str();
        let first = refused(&host, of.first.send(&host, source).await).await;
        let answer = release(&host, &first, &json!({ "force": true })).await;
        assert_eq!(answer.status, 202, "{source}: {}", answer.text());
        of.first.is_stored_as(&host, source, &events(&answer)).await;
        // What had come before is told as such.
        let again = refused(&host, of.first.send(&host, source).await).await;
        let answer = release(&host, &again, &json!({ "force": true })).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!("duplicate")),
            "{source}"
        );
        let odd = refused(&host, of.odd.send(&host, source).await).await;
        let answer = release(&host, &odd, &json!({ "force": true })).await;
        of.odd.is_stored_as(&host, source, &events(&answer)).await;
    }
    let stored = host.items("events?limit=1000").await;
    assert_eq!(stored.len(), 4 * fixtures.batches.len());
    assert!(stored.iter().all(|event| event["forced"] == true));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_released_in_bulk() {
    let fixtures = Fixtures::read();
    let wrong = fixtures.sources(another);
    let (folder, _) = fixtures.folder(&wrong, &[]).await;
    let host = Host::over(folder).await;
    for of in &fixtures.batches {
        for batch in [&of.first, &of.mixed] {
            refused(&host, batch.send(&host, &of.source).await).await;
        }
    }
    let right = fixtures.sources(|of| of.secret.clone());
    set_to(&host, |text| text.replace(&wrong, &right)).await;
    let count = i64::try_from(2 * fixtures.batches.len()).unwrap();
    for (wish, done, total, left) in [
        (json!({ "filter": {}, "dry_run": true }), 0, count, count),
        (json!({ "filter": {} }), count, count, 0),
        (json!({ "filter": {} }), 0, 0, 0),
    ] {
        let operation = super::bulk::done(&host, &wish).await;
        assert_eq!(
            super::bulk::counts(&operation),
            ("succeeded", done, total),
            "{wish}"
        );
        let listed = host.items("quarantine?limit=1000").await;
        assert_eq!(i64::try_from(listed.len()).unwrap(), left);
    }
    let stored = host.items("events?limit=1000").await;
    assert_eq!(stored.len(), 3 * fixtures.batches.len());
}

/// One item that the database does not take keeps all of its request in quarantine, and
/// nothing of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_released_whole_or_not_at_all() {
    const SOURCES: &str = r#"
        [sources.listed]
        provider = "generic"
        secret = "the secret of somebody else"
        batch = ""
        kind_pointer = "/type"
        id_pointer = "/id"
    "#;
    let host = Host::over(Folder::new(SOURCES, &[]).await).await;
    let send = async |body: &str| {
        let headers = [("x-webhook-signature", "00")];
        refused(&host, host.send("listed", &headers, body).await).await
    };
    let bad =
        send(r#"[{"type":"a","id":"1"},{"type":"refused","id":"2"},{"type":"b","id":"3"}]"#).await;
    let good = send(r#"[{"type":"c","id":"1"},{"type":"d","id":"4"}]"#).await;
    host.folder
        .database
        .refuse_kind(host.folder.path(), "refused")
        .await;
    let force = json!({ "force": true });
    let answer = release(&host, &bad, &force).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(host.items("events").await.len(), 0);
    set_aside(&host, &bad).await;
    // In bulk it stays, and keeps no other from going.
    let all = json!({ "filter": {}, "force": true });
    let operation = super::bulk::done(&host, &all).await;
    assert_eq!(super::bulk::counts(&operation), ("succeeded", 1, 2));
    let listed = host.items("quarantine").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], bad.as_str());
    assert_eq!(release(&host, &good, &force).await.status, 404);
    let events = host.items("events").await;
    let kinds: Vec<&Value> = events.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["d", "c"]);
    host.folder
        .database
        .refuse_no_kind(host.folder.path())
        .await;
    let answer = release(&host, &bad, &force).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    // The first has the id of another's; it is kept, and flagged.
    let events = host.items("events").await;
    let conflicts = events
        .iter()
        .filter(|event| event["dedup_conflict"] == true);
    assert_eq!((events.len(), conflicts.count()), (5, 1));
}
