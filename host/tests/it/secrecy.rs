//! What nobody gets to see: the sender's credential, and our secrets.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Host, SECRET, TOKEN, push_body};

const SOURCES: &str = r#"
metrics_open = true

[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"

[plugins.misbehave]
config.password = "hidden-configuration"
"#;
const CREDENTIAL: &str = "the-senders-own-credential";

#[tokio::test(flavor = "multi_thread")]
async fn the_senders_credential_reaches_neither_guest_nor_api() {
    let host = Host::start(SOURCES, &["misbehave"]).await;
    let bearer = format!("Bearer {CREDENTIAL}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("cookie", CREDENTIAL),
        ("proxy-authorization", CREDENTIAL),
        ("x-plain", "seen"),
    ];
    let event = host
        .send("misbehave", &headers, r#"{"do":"echo"}"#)
        .await
        .event();
    let run = host.finished(&event).await;
    let shown = host.get(&format!("events/{event}")).await;
    for (who, headers) in [
        ("guest", &run["data"]["headers"]),
        ("API", &shown["headers"]),
    ] {
        for (name, value) in [
            ("authorization", "[verified]"),
            ("cookie", "[verified]"),
            ("proxy-authorization", "[verified]"),
            ("x-plain", "seen"),
        ] {
            let headers = headers.as_array().unwrap();
            assert!(
                headers.contains(&json!([name, value])),
                "{who}: {name} in {headers:?}"
            );
        }
    }
    assert!(!format!("{run}{shown}").contains(CREDENTIAL));
    assert_eq!(run["data"]["idempotency_key"], format!("{event}:misbehave"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_holds_a_secret() {
    let host = Host::start(SOURCES, &["misbehave", "github-push"]).await;
    let body = push_body("a/b", 1);
    let mut answers = vec![
        host.push("one", &body).await,
        host.send(
            "github",
            &[("x-hub-signature-256", "sha256=00")],
            body.clone(),
        )
        .await,
        host.send("github", &[], body).await,
        host.ask_as(
            Method::GET,
            "/api/v1/events",
            &[("authorization", "Bearer wrong")],
            "",
        )
        .await,
    ];
    let event = answers[0].event();
    let run = host.finished(&event).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/metrics".to_owned(),
        "/api/v1/events".to_owned(),
        format!("/api/v1/events/{event}"),
        format!("/api/v1/events/{event}/body"),
        "/api/v1/runs".to_owned(),
        format!("/api/v1/runs/{run}"),
        "/api/v1/plugins".to_owned(),
        "/api/v1/plugins/misbehave".to_owned(),
        "/api/v1/plugins/github-push/kv".to_owned(),
        "/api/v1/sources".to_owned(),
        "/api/v1/stats".to_owned(),
        "/api/v1/nothing".to_owned(),
    ] {
        answers.push(host.ask(Method::GET, &path, "").await);
    }
    for answer in answers {
        let shown = format!("{:?} {}", answer.headers, answer.text());
        for secret in [SECRET, TOKEN, "hidden-configuration"] {
            assert!(!shown.contains(secret), "`{secret}` in {shown}");
        }
    }
}
