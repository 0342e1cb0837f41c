//! The plugins that count and call nobody: what is counted once, and what again.

use serde_json::json;

use super::{SOURCES, deliver, replayed, sample};
use crate::harness::{Host, SECRET};
use crate::signing::github_headers;

/// A plugin, an event of its kind, and what it keeps of one.
struct Counts {
    plugin: &'static str,
    kind: &'static str,
    key: &'static str,
}

const COUNTS: [Counts; 4] = [
    Counts {
        plugin: "github-push",
        kind: "push",
        key: "pushes/octo-labs/harbor",
    },
    Counts {
        plugin: "github-pull-request",
        kind: "pull_request.closed",
        key: "merged/octo-labs/harbor",
    },
    Counts {
        plugin: "github-issues",
        kind: "issues.opened",
        key: "opened/octo-labs/harbor",
    },
    Counts {
        plugin: "github-workflow",
        kind: "workflow_run.completed",
        key: "failures/octo-labs/harbor/88120453/main",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_again_is_counted_once_and_a_replay_again() {
    for Counts { plugin, kind, key } in COUNTS {
        let host = Host::start(SOURCES, &[plugin]).await;
        let answer = deliver(&host, "github", kind, "d-1").await;
        let event = answer.event();
        let run = host.finished(&event).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        assert_eq!(host.kv(plugin, key).await.as_deref(), Some("1"), "{plugin}");

        let repeated = deliver(&host, "github", kind, "d-1").await;
        assert_eq!(repeated.json()["status"], "duplicate");
        assert_eq!(repeated.event(), event);
        host.settled(plugin).await;
        assert_eq!(host.kv(plugin, key).await.as_deref(), Some("1"), "{plugin}");

        // Somebody wants it done again, and it is.
        replayed(&host, &event).await;
        assert_eq!(host.kv(plugin, key).await.as_deref(), Some("2"), "{plugin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_announced_once_for_each_run() {
    let host = Host::start(SOURCES, &["github-release"]).await;
    let announced = async || {
        let events = host.items("events?source=plugin:github-release").await;
        events.len()
    };
    let event = deliver(&host, "github", "release.published", "d-1").await;
    let event = event.event();
    host.finished(&event).await;
    assert_eq!(announced().await, 1);
    let repeated = deliver(&host, "github", "release.published", "d-1").await;
    assert_eq!(repeated.json()["status"], "duplicate");
    host.settled("github-release").await;
    assert_eq!(announced().await, 1);
    replayed(&host, &event).await;
    assert_eq!(announced().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_another_shape_ends_the_run_and_counts_nothing() {
    for Counts {
        plugin, kind, key, ..
    } in COUNTS
    {
        let host = Host::start(SOURCES, &[plugin]).await;
        let mut body: serde_json::Value =
            serde_json::from_str(&sample("github", kind, "d-1")).unwrap();
        body["repository"] = json!("harbor");
        let body = body.to_string();
        let (event, _) = kind.split_once('.').unwrap_or((kind, ""));
        let headers = github_headers(SECRET, event, "d-1", body.as_bytes());
        let event = host.send_signed("github", &headers, body).await.event();
        let run = host.finished(&event).await;
        assert_eq!(
            (&run["state"], &run["outcome"]),
            (&json!("dead"), &json!("permanent")),
            "{run}"
        );
        let reason = run["error"]["message"].as_str().unwrap();
        assert!(reason.starts_with("body of the"), "{plugin}: {reason}");
        assert_eq!(host.kv(plugin, key).await, None, "{plugin}");
    }
}
