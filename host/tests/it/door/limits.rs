//! How much of what a source takes: the rate of the genuine, the failures of an address,
//! what bodies must look like, and how large they may become.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use hookbay::clock::Clock;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Folder, Host, SECRET, TOKEN, eventually, push_body, standing};
use crate::signing::{github_headers, hmac_sha256};

/// A host whose time stands still until the test moves it, in milliseconds.
async fn at_a_standstill(toml: &str) -> (Host, Arc<AtomicI64>) {
    let now_ms = Arc::new(AtomicI64::new(Clock::system().now().millis()));
    let mut folder = Folder::new(toml, &[]).await;
    folder.clock = standing(&now_ms);
    (Host::over(folder).await, now_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_for_what_is_verified() {
    let sources = r#"
        [sources.slow]
        provider = "generic"
        secret = "slow-secret"
        rate_limit = "2/s"
        schema = "any.json"

        [sources.other]
        provider = "none"
    "#;
    let now_ms = Arc::new(AtomicI64::new(Clock::system().now().millis()));
    let mut folder = Folder::new(sources, &[]).await;
    fs::write(folder.path().join("any.json"), "true").unwrap();
    folder.clock = standing(&now_ms);
    let host = Host::over(folder).await;
    let send = async |body: &str, secret: &str| {
        let signature = hmac_sha256(secret, body.as_bytes());
        host.send("slow", &[("x-webhook-signature", &signature)], body)
            .await
    };
    for _ in 0..5 {
        assert_eq!(send("{}", "another secret").await.status, 401);
    }
    // What was forged has used up nothing.
    for _ in 0..2 {
        assert_eq!(send("{}", "slow-secret").await.status, 202);
    }
    let refused = send("{}", "slow-secret").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.json()["title"], "too many webhooks");
    // Verification is looked at before the rate, the rate before what the body says.
    assert_eq!(send("{}", "another secret").await.status, 401);
    assert_eq!(send("not JSON", "slow-secret").await.status, 429);
    assert_eq!(host.send("other", &[], "{}").await.status, 202);
    now_ms.fetch_add(500, Ordering::SeqCst);
    assert_eq!(send("not JSON", "slow-secret").await.status, 400);
    assert_eq!(send("{}", "slow-secret").await.status, 429);
    assert_eq!(host.items("events?source=slow").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_fails_too_often_is_only_counted() {
    let (host, now_ms) = at_a_standstill(
        r#"
        trusted_proxies = ["127.0.0.1"]

        [sources.github]
        provider = "github"
        secret = "It's a Secret to Everybody"
        "#,
    )
    .await;
    let forged_from = async |address: &str| {
        let headers = [
            ("x-forwarded-for", address),
            ("x-hub-signature-256", "sha256=00"),
        ];
        let answer = host.send("github", &headers, "{}").await;
        assert_eq!(answer.status, 401);
        !answer.body.is_empty()
    };
    for n in 0..100 {
        assert!(forged_from("192.0.2.1").await, "{n}");
    }
    for _ in 0..20 {
        assert!(!forged_from("192.0.2.1").await);
    }
    // Nobody else is meant, and nothing genuine.
    assert!(forged_from("192.0.2.2").await);
    let body = push_body("Codertocat/Hello-World", 1);
    let mut headers = github_headers(SECRET, "push", "d1", &body);
    headers.push(("x-forwarded-for", "192.0.2.1".to_owned()));
    assert_eq!(host.send_signed("github", &headers, body).await.status, 202);
    now_ms.fetch_add(10, Ordering::SeqCst);
    assert!(forged_from("192.0.2.1").await);
    assert!(!forged_from("192.0.2.1").await);
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    let counted =
        "hookbay_verification_failures_total{source=\"github\",reason=\"wrong_signature\"} 123";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_match_the_schema_of_their_source() {
    let sources = r#"
        [sources.orders]
        provider = "generic"
        secret = "orders-secret"
        id_pointer = "/id"
        schema = "schemas/order.json"
    "#;
    let folder = Folder::new(sources, &[]).await;
    let file = folder.path().join("schemas/order.json");
    fs::create_dir(file.parent().unwrap()).unwrap();
    let schema = json!({ "required": ["id"], "properties": { "total": { "type": "number" } } });
    fs::write(&file, schema.to_string()).unwrap();
    let host = Host::over(folder).await;
    let send = async |body: &str, secret: &str| {
        let signature = hmac_sha256(secret, body.as_bytes());
        let headers = [("x-webhook-signature", signature.as_str())];
        host.send("orders", &headers, body).await
    };
    for (body, status) in [
        (r#"{"id":"a","total":1.5}"#, 202),
        (r#"{"id":"b","total":"1.5"}"#, 422),
        (r#"{"total":1.5}"#, 422),
        ("total=1.5", 400),
        ("", 400),
    ] {
        let answer = send(body, "orders-secret").await;
        assert_eq!(answer.status, status, "{body}");
        if status == 422 {
            let detail = answer.json()["detail"].to_string();
            assert_eq!(
                detail,
                "\"the body does not match the schema of source `orders`\""
            );
        }
        assert_eq!(send(body, "another secret").await.status, 401, "{body}");
    }
    assert_eq!(host.items("events").await.len(), 1);

    // The schema is read again when its file changes.
    fs::write(host.folder.path().join("schemas/order.json"), "{}").unwrap();
    eventually("the schema has changed", async || {
        let answer = send(r#"{"id":"c","total":"1.5"}"#, "orders-secret").await;
        (answer.status < 300).then_some(())
    })
    .await;
}

pub(crate) fn compressed(body: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const GZIP: &str = r#"
    [sources.github]
    provider = "github"
    secret = "It's a Secret to Everybody"
    max_body = "1MiB"

    [sources.open]
    provider = "none"
    kind_pointer = "/type"
    max_body = "1MiB"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_kept_as_sent_and_read_as_meant() {
    let host = Host::start(GZIP, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 3);
    let sent = compressed(&body, 9);
    // Some sign what they send, some what they mean.
    for (delivery, signed) in [("d1", &sent), ("d2", &body)] {
        let mut headers = github_headers(SECRET, "push", delivery, signed);
        headers.push(("content-encoding", "gzip".to_owned()));
        let answer = host.send_signed("github", &headers, sent.clone()).await;
        assert_eq!(answer.word(), (202, "accepted".into()));
        let event = answer.event();
        let stored = host
            .ask(Method::GET, &format!("/api/v1/events/{event}/body"), "")
            .await;
        assert_eq!(stored.body, sent);
        let run = host.finished(&event).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        assert!(
            run["summary"].as_str().unwrap().starts_with("3 commits"),
            "{run}"
        );
        // The same delivery, compressed anew, is the same.
        let again = compressed(&body, 1);
        assert_ne!(again, sent);
        let signed = if signed == &sent { &again } else { signed };
        let mut headers = github_headers(SECRET, "push", delivery, signed);
        headers.push(("content-encoding", "gzip".to_owned()));
        let answer = host.send_signed("github", &headers, again.clone()).await;
        assert_eq!(answer.word(), (200, "duplicate".into()));
    }
    let body = compressed(br#"{"type":"made"}"#, 6);
    let event = host
        .send("open", &[("content-encoding", "gzip")], body)
        .await;
    let event = host.get(&format!("events/{}", event.event())).await;
    assert_eq!(event["kind"], "made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_becomes_too_large_is_refused() {
    let host = Host::start(GZIP, &[]).await;
    let gzip = ("content-encoding", "gzip");
    let fits = compressed(&vec![b' '; 1 << 20], 9);
    let bomb = compressed(&vec![b' '; (1 << 20) + 1], 9);
    let larger_bomb = compressed(&vec![b' '; 64 << 20], 9);
    assert_eq!(host.send("open", &[gzip], fits).await.status, 202);
    for body in [bomb, larger_bomb] {
        let refused = host.send("open", &[gzip], body.clone()).await;
        assert_eq!(refused.status, 413);
        assert_eq!(refused.json()["title"], "body too large");
        // Genuine or not.
        for secret in [SECRET, "another secret"] {
            let mut headers = github_headers(secret, "push", "d9", &body);
            headers.push(("content-encoding", "gzip".to_owned()));
            let refused = host.send_signed("github", &headers, body.clone()).await;
            assert_eq!(refused.status, 413, "{secret}");
        }
    }
    for (body, status) in [
        (b"{}".to_vec(), 400),
        (compressed(b"{}", 6)[..12].to_vec(), 400),
    ] {
        assert_eq!(
            host.send("open", &[gzip], body.clone()).await.status,
            status
        );
        let headers = [gzip, ("x-hub-signature-256", "sha256=00")];
        assert_eq!(host.send("github", &headers, body).await.status, 401);
    }
    // The forged ones are failures of proof.
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    let counted =
        "hookbay_verification_failures_total{source=\"github\",reason=\"inflates_too_large\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    // What is compressed in ways that we do not know is a body like any.
    let other = [("content-encoding", "br")];
    assert_eq!(host.send("open", &other, "{}").await.status, 202);
    assert_eq!(host.items("events").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_can_be_injected() {
    let host = Host::start(GZIP, &[]).await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-encoding", "gzip"),
    ];
    let inject = async |body: Vec<u8>| {
        let path = "/api/v1/sources/github/events?kind=push";
        host.ask_as(Method::POST, path, &headers, body).await
    };
    let genuine = inject(compressed(b"{\"a\": 1}", 6)).await;
    assert_eq!(genuine.status, 202, "{}", genuine.text());
    for (body, status) in [
        (compressed(b"{\"a\": ", 6), 400),
        (b"{}".to_vec(), 400),
        (compressed(&vec![b' '; (1 << 20) + 1], 9), 413),
    ] {
        assert_eq!(inject(body).await.status, status);
    }
    assert_eq!(host.items("events").await.len(), 1);
}
