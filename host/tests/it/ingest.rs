//! What the public address answers to each sort of request, and what it keeps of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, SECRET, push_body};
use crate::http::{Client, raw};
use crate::signing::{borrowed, github_headers};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"
path = "/hooks/old-address"

[sources.open]
provider = "none"

[sources.acked]
provider = "none"
ack = { status = 200, body = "<ok/>", content_type = "application/xml" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_sort_of_answer() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 3);
    let new = host
        .push("72d3162e-cc78-11e3-81ab-4c9367dc0958", &body)
        .await;
    assert_eq!(new.word(), (202, "accepted".into()));
    assert_eq!(new.header("content-type"), "application/json");
    let again = host
        .push("72d3162e-cc78-11e3-81ab-4c9367dc0958", &body)
        .await;
    assert_eq!(again.word(), (200, "duplicate".into()));
    assert_eq!(again.event(), new.event());

    // Computed with Python's hmac module.
    let ping = [
        ("x-github-event", "ping"),
        ("x-github-delivery", "d1"),
        (
            "x-hub-signature-256",
            "sha256=ae8951f50ab87ba47d298c0511bb1d0d80b1ee963458ccef865aa62f53c0be7f",
        ),
    ];
    let pong = host
        .send(
            "github",
            &ping,
            r#"{"zen":"Keep it logically awesome.","hook_id":1}"#,
        )
        .await;
    assert_eq!(pong.word(), (202, "pong".into()));
    let event = host.get(&format!("events/{}", pong.event())).await;
    assert_eq!(
        (&event["handshake"], &event["runs"], &event["no_run_reason"]),
        (&json!(true), &json!([]), &json!("handshake"))
    );

    let headers = github_headers(SECRET, "push", "d2", &body);
    let further = host
        .send_to("/hooks/old-address", &borrowed(&headers), body)
        .await;
    assert_eq!(further.word(), (202, "accepted".into()));

    let acked = host.send("acked", &[("idempotency-key", "a")], "x").await;
    let acked_again = host.send("acked", &[("idempotency-key", "a")], "x").await;
    for answer in [acked, acked_again] {
        assert_eq!(
            (
                answer.status,
                answer.header("content-type"),
                &answer.text()[..]
            ),
            (200, "application/xml", "<ok/>")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_methods_are_checked_before_anything_else() {
    let host = Host::start(SOURCES, &[]).await;
    let client = Client::new();
    for (method, path, status, allow) in [
        (Method::POST, "/webhooks/nobody", 404, ""),
        (Method::POST, "/webhooks/", 404, ""),
        (Method::POST, "/webhooks", 404, ""),
        (Method::POST, "/webhooks/GitHub", 404, ""),
        (Method::POST, "/webhooks/github/", 404, ""),
        (Method::POST, "/webhooks/github/more", 404, ""),
        (Method::POST, "/hooks/other-address", 404, ""),
        (Method::GET, "/webhooks/nobody", 404, ""),
        (Method::GET, "/api/v1/events", 404, ""),
        (Method::GET, "/metrics", 404, ""),
        (Method::GET, "/webhooks/github", 405, "POST"),
        (Method::PUT, "/webhooks/github", 405, "POST"),
        (Method::DELETE, "/hooks/old-address", 405, "POST"),
        (Method::GET, "/healthz", 200, ""),
        (Method::GET, "/readyz", 200, ""),
        (Method::GET, "/", 200, ""),
    ] {
        let url = format!("http://{}{path}", host.public);
        let answer = client.ask(method.clone(), &url, &[], Vec::new()).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (status, allow),
            "{method} {path}"
        );
        if status < 400 {
            continue;
        }
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}"
        );
        let problem = answer.json();
        let members: Vec<&str> = problem
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            members,
            ["detail", "request_id", "status", "title", "type"],
            "{method} {path}"
        );
        assert_eq!(problem["status"], status);
        assert!(!problem["request_id"].as_str().unwrap().is_empty());
    }
    assert!(host.items("events").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_comes_back_byte_for_byte() {
    let host = Host::start(SOURCES, &[]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [
        Vec::new(),
        b"{}".to_vec(),
        every_byte.repeat(1000),
        b"\r\n\r\n\0".to_vec(),
    ];
    for body in bodies {
        let event = host
            .send(
                "open",
                &[("content-type", "application/x-anything")],
                body.clone(),
            )
            .await
            .event();
        let read = host
            .ask(Method::GET, &format!("/api/v1/events/{event}/body"), "")
            .await;
        assert_eq!((read.status, &read.body), (200, &body));
        let event = host.get(&format!("events/{event}")).await;
        assert_eq!(
            (&event["size_bytes"], &event["content_type"]),
            (&json!(body.len()), &json!("application/x-anything"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_keep_their_order_and_repetitions() {
    let host = Host::start(SOURCES, &[]).await;
    let request = format!(
        "POST /webhooks/open HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nX-Zeta: 1\r\nx-alpha: first\r\n\
         x-alpha: second\r\nx-empty:\r\nx-bytes: caf\u{e9}\r\ncontent-length: 2\r\n\r\nhi",
        host.public
    );
    let answer = raw(host.public, request.into_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let events = host.items("events").await;
    let event = host
        .get(&format!("events/{}", events[0]["id"].as_str().unwrap()))
        .await;
    let ours = |header: &&Value| header[0].as_str().unwrap().starts_with("x-");
    let headers: Vec<&Value> = event["headers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(ours)
        .collect();
    let expected = [
        ["x-zeta", "1"],
        ["x-alpha", "first"],
        ["x-alpha", "second"],
        ["x-empty", ""],
        ["x-bytes", "café"],
    ];
    assert_eq!(json!(headers), json!(expected));
}
