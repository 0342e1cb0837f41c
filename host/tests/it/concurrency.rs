//! Many senders at once, and senders that go away.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use crate::harness::{Host, SECRET, push_body};
use crate::http::send_and_leave;
use crate::signing::github_headers;

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"
"#;

/// A signed push as it stands on the wire.
fn push_on_the_wire(host: &Host, delivery: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: {}\r\n",
        host.public
    );
    for (name, value) in github_headers(SECRET, "push", delivery, body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_many_deliveries_are_stored_and_run_once() {
    const MANY: usize = 500;
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 2);
    let (host_ref, body_ref) = (&host, &body);
    let send = |n: usize| async move { host_ref.push(&format!("delivery-{n}"), body_ref).await };
    let answers: Vec<_> = stream::iter(0..MANY)
        .map(send)
        .buffer_unordered(64)
        .collect()
        .await;
    let acknowledged: BTreeSet<String> = answers.iter().map(crate::http::Answer::event).collect();
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert_eq!(acknowledged.len(), MANY);

    let plugin = host.settled("github-push").await;
    assert_eq!(plugin["runs"]["succeeded"], MANY);
    let of = |items: Vec<serde_json::Value>, key: &str| -> BTreeSet<String> {
        items
            .iter()
            .map(|item| item[key].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        of(host.items("events?limit=1000").await, "id"),
        acknowledged
    );
    assert_eq!(
        of(
            host.items("runs?limit=1000&state=succeeded").await,
            "event_id"
        ),
        acknowledged
    );
    let counter = host
        .kv("github-push", "pushes/Codertocat/Hello-World")
        .await;
    assert_eq!(counter, Some(MANY.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_leaves_in_the_middle_leaves_nothing() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 2);
    for n in 0..20 {
        let whole = push_on_the_wire(&host, &format!("half-{n}"), &body);
        let part = whole.len() - 1 - n * 20;
        send_and_leave(host.public, whole[..part].to_vec()).await;
    }
    let after = host.push("whole", &body).await;
    assert_eq!(after.word(), (202, "accepted".into()));
    // A stop lets everything end that was begun.
    let host = host.restart().await;
    let events = host.items("events").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["id"], after.event());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_wait_and_sends_again_makes_one_event() {
    const MANY: usize = 20;
    let host = Host::start(SOURCES, &["github-push"]).await;
    let body = push_body("Codertocat/Hello-World", 2);
    for n in 0..MANY {
        let whole = push_on_the_wire(&host, &format!("unheard-{n}"), &body);
        send_and_leave(host.public, whole).await;
    }
    // No answer was heard, so the sender tries again, as all of them do.
    let mut events = BTreeSet::new();
    for n in 0..MANY {
        events.insert(host.push(&format!("unheard-{n}"), &body).await.event());
    }
    assert_eq!(events.len(), MANY);
    let plugin = host.settled("github-push").await;
    assert_eq!(plugin["runs"]["succeeded"], MANY);
    assert_eq!(host.items("events").await.len(), MANY);
}
