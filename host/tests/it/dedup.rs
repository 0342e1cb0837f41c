//! The same delivery twice is one event; and what counts as the same.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Folder, Host, push_body};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"

[sources.other]
provider = "none"

[sources.once]
provider = "none"
replay_protection = "body"
"#;

const OK: &str = r#"{"do":"ok"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_deliveries_the_same_within_its_source() {
    let host = Host::start(SOURCES, &[]).await;
    for (what, source, headers, expected) in [
        (
            "the first",
            "misbehave",
            vec![("idempotency-key", "k1")],
            (202, "accepted"),
        ),
        (
            "the same",
            "misbehave",
            vec![("idempotency-key", "k1")],
            (200, "duplicate"),
        ),
        (
            "by the older name",
            "misbehave",
            vec![("x-idempotency-key", "k1")],
            (200, "duplicate"),
        ),
        (
            "another key",
            "misbehave",
            vec![("idempotency-key", "k2")],
            (202, "accepted"),
        ),
        (
            "another source",
            "other",
            vec![("idempotency-key", "k1")],
            (202, "accepted"),
        ),
        ("without a key", "misbehave", vec![], (202, "accepted")),
        (
            "without a key again",
            "misbehave",
            vec![],
            (202, "accepted"),
        ),
        (
            "an equal body where that counts",
            "once",
            vec![("idempotency-key", "k1")],
            (202, "accepted"),
        ),
        (
            "under another key",
            "once",
            vec![("idempotency-key", "k2")],
            (200, "duplicate"),
        ),
        ("under none", "once", vec![], (200, "duplicate")),
    ] {
        let (status, word) = host.send(source, &headers, OK).await.word();
        assert_eq!((status, word.as_str()), expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_with_another_body_is_kept_and_starts_no_run() {
    let host = Host::start(SOURCES, &["misbehave"]).await;
    let key = [("idempotency-key", "k")];
    let (first_body, other_body) = (OK, r#"{"do": "ok"}"#);
    let first = host.send("misbehave", &key, first_body).await;
    let other = host.send("misbehave", &key, other_body).await;
    assert_eq!(other.word(), (202, "accepted".into()));
    assert_ne!(first.event(), other.event());
    for (body, event) in [(first_body, first.event()), (other_body, other.event())] {
        let again = host.send("misbehave", &key, body).await;
        assert_eq!(
            (again.word(), again.event()),
            ((200, "duplicate".into()), event)
        );
    }
    let conflict = host.get(&format!("events/{}", other.event())).await;
    assert_eq!(
        (
            &conflict["dedup_conflict"],
            &conflict["runs"],
            &conflict["no_run_reason"]
        ),
        (&json!(true), &json!([]), &json!("dedup_conflict"))
    );
    assert_eq!(
        host.get(&format!("events/{}", first.event())).await["dedup_conflict"],
        json!(false)
    );

    let replayed = host.post(&format!("events/{}/replay", other.event())).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    assert_eq!(host.finished(&other.event()).await["state"], "succeeded");
    assert_eq!(
        host.get(&format!("events/{}", other.event())).await["no_run_reason"],
        json!(null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_at_the_same_time_are_one_event_and_one_run() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 1);
    let answers = join_all((0..20).map(|_| host.push("one-delivery", &body))).await;
    let n_new = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(n_new, 1);
    let mut events: Vec<String> = answers.iter().map(crate::http::Answer::event).collect();
    events.dedup();
    assert_eq!(events.len(), 1, "all name the same event");
    host.settled("github-push").await;
    assert_eq!(host.items("events").await.len(), 1);
    assert_eq!(host.items("runs").await.len(), 1);
    assert_eq!(
        host.kv("github-push", "pushes/Codertocat/Hello-World")
            .await
            .as_deref(),
        Some("1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_delivery() {
    let folder = Folder::new(SOURCES, &[]).await;
    let host = Host::over(folder).await;
    let key = [("idempotency-key", "k")];
    let first = host.send("misbehave", &key, OK).await.event();
    let host = host.restart().await;
    let again = host.send("misbehave", &key, OK).await;
    assert_eq!(
        (again.word(), again.event()),
        ((200, "duplicate".into()), first)
    );
    assert_eq!(host.items("events").await.len(), 1);
}
