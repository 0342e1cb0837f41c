//! Refused requests: set aside, shown without what is secret, released once they are genuine.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Folder, Host, eventually, push_body};
use crate::http::Answer;
use crate::signing;

mod bulk;
mod flood;
mod released;
mod terminal;
mod unfit;

const OLD: &str = "It's a Secret to Everybody";
const NEW: &str = "and nobody knows the new one";

/// The sender signs with `NEW`, the source has `OLD`.
const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.gitlab]
provider = "gitlab"
secret = "the token of gitlab"

[sources.stripe]
provider = "stripe"
secret = "whsec_stripe"
"#;

/// Sends a push signed with a secret; the id of the request.
async fn refused_push(host: &Host, secret: &str, delivery: &str) -> String {
    let body = push_body("octo/harbor", 1);
    let headers = signing::github_headers(secret, "push", delivery, &body);
    refused(&host.send_signed("github", &headers, body).await, 401)
}

fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()["request_id"].as_str().unwrap().to_owned()
}

/// Waits until a request is set aside.
async fn set_aside(host: &Host, id: &str) -> Value {
    eventually(&format!("{id} is set aside"), async || {
        let path = format!("/api/v1/quarantine/{id}");
        let answer = host.ask(Method::GET, &path, "").await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

async fn release(host: &Host, id: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/quarantine/{id}/release");
    host.ask(Method::POST, &path, &body.to_string()).await
}

/// Writes another configuration and waits until it is in force.
async fn correct_secret(host: &Host) {
    let file = host.folder.config_file();
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(OLD, NEW) + "[sources.later]\nprovider = \"none\"\n";
    fs::write(&file, text).unwrap();
    eventually("the new secret is in force", async || {
        let sources = host.items("sources").await;
        let is_there = sources.iter().any(|source| source["name"] == "later");
        is_there.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_shown_with_its_reason_and_nothing_secret() {
    let host = Host::start(SOURCES, &[]).await;
    let id = refused_push(&host, "It's a Secret to Everybody\n", "d-1").await;
    let one = set_aside(&host, &id).await;
    assert_eq!(
        (&one["id"], &one["source"]),
        (&json!(id), &json!("github")),
        "{one}"
    );
    assert_eq!(one["reason"]["code"], "wrong_signature");
    let hint = one["reason"]["hint"].as_str().unwrap();
    assert!(hint.contains("newline"), "{hint}");
    assert_eq!(one["size_bytes"], push_body("octo/harbor", 1).len());
    let listed = host.items("quarantine?source=github").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        listed[0]["reason"], one["reason"],
        "told when it was set aside"
    );
    assert_eq!(host.items("quarantine?source=stripe").await.len(), 0);
    let path = format!("/api/v1/quarantine/{id}/body");
    let body = host.ask(Method::GET, &path, "").await;
    assert_eq!(body.body, push_body("octo/harbor", 1));

    let headers = [
        ("x-gitlab-token", "a secret of another"),
        ("x-gitlab-event", "Push Hook"),
    ];
    let id = refused(&host.send("gitlab", &headers, "{}").await, 401);
    let one = set_aside(&host, &id).await;
    assert_eq!(one["reason"]["code"], "wrong_token");
    let shown = one["headers"].as_array().unwrap();
    assert!(
        shown.contains(&json!(["x-gitlab-token", "[hidden]"])),
        "{one}"
    );
    assert!(
        shown.contains(&json!(["x-gitlab-event", "Push Hook"])),
        "{one}"
    );
    assert!(!one.to_string().contains("a secret of another"));
    for text in [
        host.ask(Method::GET, "/api/v1/quarantine", "").await.text(),
        one.to_string(),
    ] {
        assert!(!text.contains("the token of gitlab") && !text.contains("Secret to Everybody"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_or_not_at_all_is_not_set_aside() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = b"[not json";
    let headers = signing::github_headers(OLD, "push", "d-1", body);
    let broken = refused(
        &host.send_signed("github", &headers, body.as_slice()).await,
        400,
    );
    assert_eq!(
        host.push("d-2", &push_body("octo/harbor", 1)).await.status,
        202
    );
    let nobody = host.send("nobody", &[], "{}").await;
    assert_eq!(nobody.status, 404);
    let one = set_aside(&host, &broken).await;
    assert_eq!(one["reason"]["code"], "not_json");
    assert_eq!(host.items("quarantine").await.len(), 1);
    for (id, expected) in [
        ("no-id", 404),
        ("01a20133-b98e-7b13-8ed2-b871430b276c", 404),
    ] {
        let path = format!("/api/v1/quarantine/{id}");
        assert_eq!(host.ask(Method::GET, &path, "").await.status, expected);
        assert_eq!(release(&host, id, &json!({})).await.status, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_released_once_its_secret_is_corrected() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let id = refused_push(&host, NEW, "d-1").await;
    let one = set_aside(&host, &id).await;
    let still = release(&host, &id, &json!({})).await;
    assert_eq!(still.status, 422, "{}", still.text());
    assert_eq!(still.json()["reason"]["code"], "wrong_signature");
    assert!(
        still.json()["reason"]["hint"]
            .as_str()
            .unwrap()
            .contains("another secret")
    );

    correct_secret(&host).await;
    let now = host.get(&format!("quarantine/{id}")).await;
    let hint = now["reason"]["hint"].as_str().unwrap();
    assert!(hint.contains("release it"), "{hint}");
    let released = release(&host, &id, &json!({})).await;
    assert_eq!(released.status, 202, "{}", released.text());
    let event = released.event();
    let run = host.finished(&event).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let event = host.get(&format!("events/{event}")).await;
    assert_eq!(event["received_at"], one["received_at"]);
    assert_eq!(
        (&event["delivery_id"], &event["kind"], &event["forced"]),
        (&json!("d-1"), &json!("push"), &json!(false))
    );
    assert_eq!(release(&host, &id, &json!({})).await.status, 404);
    assert_eq!(host.items("quarantine").await.len(), 0);

    // The sender's own repetition came first: the same event.
    let id = refused_push(&host, OLD, "d-2").await;
    set_aside(&host, &id).await;
    let body = push_body("octo/harbor", 1);
    let headers = signing::github_headers(NEW, "push", "d-2", &body);
    let first = host.send_signed("github", &headers, body).await.event();
    let forced = release(&host, &id, &json!({ "force": true })).await;
    assert_eq!((forced.status, forced.event()), (200, first.clone()));
    let event = host.get(&format!("events/{first}")).await;
    assert_eq!(event["forced"], false, "the genuine one proves itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_request_is_judged_by_when_it_came() {
    let host = Host::start(SOURCES, &[]).await;
    let body = br#"{"id":"evt_1","type":"invoice.paid"}"#;
    let signed = |secret: &str, at: i64| {
        let message = [format!("{at}.").as_bytes(), body.as_slice()].concat();
        format!("t={at},v1={}", signing::hmac_sha256(secret, &message))
    };
    let now = hookbay::clock::Clock::system().now().seconds();
    let header = signed("whsec_stripe", now - 3600);
    let send = async |header: &str| {
        let headers = [("stripe-signature", header)];
        let answer = host.send("stripe", &headers, body.as_slice());
        refused(&answer.await, 401)
    };
    let stale = send(&header).await;
    let one = set_aside(&host, &stale).await;
    assert_eq!(one["reason"]["code"], "stale_timestamp");
    let still = release(&host, &stale, &json!({})).await;
    assert_eq!(
        (still.status, &still.json()["reason"]["code"]),
        (422, &json!("stale_timestamp"))
    );
    let forced = release(&host, &stale, &json!({ "force": true })).await;
    assert_eq!(forced.status, 202, "{}", forced.text());
    let event = host.get(&format!("events/{}", forced.event())).await;
    assert_eq!(
        (&event["forced"], &event["kind"]),
        (&json!(true), &json!("invoice.paid"))
    );
    assert_eq!(event["received_at"], one["received_at"]);
    let audit = host.items("audit?action=quarantine.release").await;
    let targets: Vec<&str> = audit
        .iter()
        .map(|one| one["target"].as_str().unwrap())
        .collect();
    assert_eq!(targets, [format!("{stale}, forced: without proof"), stale]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_release_a_request_at_once_make_one_event() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let id = refused_push(&host, NEW, "d-1").await;
    set_aside(&host, &id).await;
    // Without a delivery id, nothing but the release itself says that it is the same.
    let body = push_body("octo/harbor", 2);
    let headers = signing::github_headers(NEW, "push", "d-2", &body);
    let headers = signing::without(headers, "x-github-delivery");
    let keyless = refused(&host.send_signed("github", &headers, body).await, 401);
    set_aside(&host, &keyless).await;
    correct_secret(&host).await;
    for (id, wish) in [(id, json!({})), (keyless, json!({ "force": true }))] {
        let before = host.items("events").await.len();
        let all = futures_util::future::join_all((0..8).map(|_| release(&host, &id, &wish))).await;
        let mut events = Vec::new();
        for answer in all {
            assert!(
                [200, 202, 404].contains(&answer.status),
                "{}",
                answer.text()
            );
            if answer.status != 404 {
                events.push(answer.event());
            }
        }
        events.dedup();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(host.items("events").await.len(), before + 1);
        host.finished(&events[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_survives_a_restart_and_ends_with_its_age() {
    let folder = Folder::new(SOURCES, &[]).await;
    let host = Host::over(folder).await;
    let id = refused_push(&host, NEW, "d-1").await;
    // Stopped at once: what was taken is written first.
    let host = host.restart().await;
    let one = set_aside(&host, &id).await;
    let at = |time: &str| hookbay::clock::Timestamp::parse(one[time].as_str().unwrap()).unwrap();
    let kept = at("expires_at").since(at("received_at"));
    assert_eq!(kept.as_secs(), 7 * 86_400);
    let store = host.store();
    assert_eq!(
        store
            .remove_quarantine_before(at("received_at").minus(kept))
            .await
            .unwrap(),
        0
    );
    let later = at("received_at").plus(kept);
    assert_eq!(store.remove_quarantine_before(later).await.unwrap(), 1);
    assert_eq!(host.items("quarantine").await.len(), 0);
}
