//! Secrets that senders bring: the first one wins, on every host, and is shown by its
//! fingerprint alone.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Folder, Host, eventually};
use crate::http::Answer;
use crate::signing::hmac_sha256;

const SOURCES: &str = r#"
[sources.asana]
provider = "asana"

[sources.notion]
provider = "notion"

[sources.told]
provider = "asana"
secret = "told secret"
"#;

const FIRST: &str = "the first secret of the sender";
const OTHER: &str = "the secret of somebody else";

fn fingerprint(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))[..8].to_owned()
}

async fn asana_handshake(host: &Host, source: &str, secret: &str) -> Answer {
    host.send(source, &[("x-hook-secret", secret)], "").await
}

/// The status of an event that is signed with a secret.
async fn asana_event(host: &Host, source: &str, secret: &str, body: &str) -> u16 {
    let signature = hmac_sha256(secret, body.as_bytes());
    let headers = [("x-hook-signature", signature.as_str())];
    host.send(source, &headers, body).await.status
}

async fn secrets(host: &Host, name: &str) -> Value {
    let sources = host.items("sources").await;
    let source = sources.iter().find(|source| source["name"] == name);
    source.unwrap()["secrets"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_secret_wins_and_lasts() {
    let host = Host::start(SOURCES, &[]).await;
    assert_eq!(secrets(&host, "asana").await, json!([]));
    assert_eq!(
        asana_event(&host, "asana", FIRST, r#"{"events":[]}"#).await,
        401
    );
    for _ in 0..2 {
        let answer = asana_handshake(&host, "asana", FIRST).await;
        assert_eq!(
            (answer.status, answer.header("x-hook-secret")),
            (200, FIRST)
        );
    }
    assert_eq!(
        asana_event(&host, "asana", FIRST, r#"{"events":[1]}"#).await,
        200
    );
    let refused = asana_handshake(&host, "asana", OTHER).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(!refused.text().contains(OTHER) && !refused.headers.contains_key("x-hook-secret"));
    assert_eq!(
        asana_event(&host, "asana", OTHER, r#"{"events":[2]}"#).await,
        401
    );

    let host = host.restart().await;
    assert_eq!(
        asana_event(&host, "asana", FIRST, r#"{"events":[3]}"#).await,
        200
    );
    let shown = secrets(&host, "asana").await;
    assert_eq!(shown[0]["n"], 1);
    let learnt = &shown[0]["learnt"];
    assert_eq!(learnt["fingerprint"], fingerprint(FIRST));
    assert_eq!(learnt["refused"]["fingerprint"], fingerprint(OTHER));
    assert!(learnt["learnt_at"].is_string() && shown[0]["last_matched_at"].is_string());
    for list in ["sources", "quarantine"] {
        let text = host.get(list).await.to_string();
        assert!(!text.contains(FIRST) && !text.contains(OTHER), "{list}");
    }

    // Forgotten, the next one is the first.
    let forget = "/api/v1/sources/asana/secrets/forget";
    assert_eq!(host.ask(Method::POST, forget, "").await.status, 204);
    assert_eq!(host.ask(Method::POST, forget, "").await.status, 404);
    assert_eq!(
        asana_event(&host, "asana", FIRST, r#"{"events":[4]}"#).await,
        401
    );
    assert_eq!(asana_handshake(&host, "asana", OTHER).await.status, 200);
    assert_eq!(
        asana_event(&host, "asana", OTHER, r#"{"events":[5]}"#).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_configuration_is_not_replaced() {
    let host = Host::start(SOURCES, &[]).await;
    let body = r#"{"events":[]}"#;
    assert_eq!(asana_handshake(&host, "told", FIRST).await.status, 401);
    assert_eq!(
        asana_handshake(&host, "told", "told secret").await.status,
        200
    );
    assert_eq!(asana_event(&host, "told", FIRST, body).await, 401);
    assert_eq!(asana_event(&host, "told", "told secret", body).await, 200);
    let host = host.restart().await;
    let shown = secrets(&host, "told").await;
    assert!(
        shown[0]["last_matched_at"].is_string(),
        "a restart forgets nothing: {shown}"
    );
    assert!(shown[0].get("learnt").is_none(), "{shown}");
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    assert!(
        !metrics.contains("hookbay_secret_matches_total{"),
        "counted since the start"
    );
    assert_eq!(asana_event(&host, "told", "told secret", body).await, 200);
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    let line = r#"hookbay_secret_matches_total{source="told",n="1"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notion_brings_its_secret_in_the_body() {
    let host = Host::start(SOURCES, &[]).await;
    let brings = |secret: &str| json!({ "verification_token": secret }).to_string();
    assert_eq!(host.send("notion", &[], brings(FIRST)).await.status, 200);
    assert_eq!(host.send("notion", &[], brings(OTHER)).await.status, 401);
    let body = r#"{"id":"1","type":"page.created"}"#;
    for (secret, status) in [(FIRST, 202), (OTHER, 401)] {
        let signature = format!("sha256={}", hmac_sha256(secret, body.as_bytes()));
        let headers = [("x-notion-signature", signature.as_str())];
        assert_eq!(host.send("notion", &headers, body).await.status, status);
    }
    let shown = secrets(&host, "notion").await;
    assert_eq!(shown[0]["learnt"]["fingerprint"], fingerprint(FIRST));
    let listed = host.items("quarantine").await;
    assert!(
        listed
            .iter()
            .all(|one| one["reason"]["code"] == "wrong_signature")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_learns_another_uses_at_once() {
    let folder = Folder::new(SOURCES, &[]).await;
    let beside = folder.beside(SOURCES, &[]);
    let one = Host::over(folder).await;
    if !one.store().is_shared() {
        return;
    }
    let other = Host::over(beside).await;
    assert_eq!(
        asana_event(&other, "asana", FIRST, r#"{"events":[]}"#).await,
        401
    );
    assert_eq!(asana_handshake(&one, "asana", FIRST).await.status, 200);
    assert_eq!(
        asana_event(&other, "asana", FIRST, r#"{"events":[1]}"#).await,
        200
    );
    assert_eq!(asana_handshake(&other, "asana", OTHER).await.status, 401);
    eventually("the other host's match is shown", async || {
        let shown = secrets(&one, "asana").await;
        shown[0]["last_matched_at"].is_string().then_some(())
    })
    .await;
}
