//! Which plugins run an event: by their triggers when it comes, by an operator's word later.

use serde_json::json;

use crate::harness::{Host, push_body};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"
kind_header = "x-kind"

[sources.elsewhere]
provider = "none"
kind_header = "x-kind"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_replayed_as_a_new_run() {
    let host = Host::start(SOURCES, &["misbehave", "github-push"]).await;
    let event = host.tell(&json!({ "do": "ok" })).await;
    let first = host.finished(&event).await;
    let unmatched = host.send("elsewhere", &[], r#"{"do":"ok"}"#).await.event();
    let replay = async |event: &str, body: &str| {
        host.ask(
            reqwest::Method::POST,
            &format!("/api/v1/events/{event}/replay"),
            body,
        )
        .await
    };
    for (what, event, body, status) in [
        ("whoever matches", event.as_str(), "", 202),
        ("whoever matches, in JSON", &event, "{}", 202),
        ("this plugin", &event, r#"{"plugin":"misbehave"}"#, 202),
        (
            "a plugin without a matching trigger",
            &unmatched,
            r#"{"plugin":"misbehave"}"#,
            202,
        ),
        ("an event that nobody wants", &unmatched, "", 409),
        ("an unknown plugin", &event, r#"{"plugin":"nobody"}"#, 404),
        (
            "an unknown event",
            "01890000-0000-7000-8000-000000000000",
            "",
            404,
        ),
        (
            "an unknown member",
            &event,
            r#"{"plugins":["misbehave"]}"#,
            400,
        ),
        ("no JSON", &event, "plugin=misbehave", 400),
    ] {
        let answer = replay(event, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        if status == 202 {
            let runs = answer.json()["runs"].as_array().unwrap().clone();
            assert_eq!(runs.len(), 1, "{what}");
            assert_ne!(runs[0]["id"], first["id"], "{what}");
            assert_eq!(
                (&runs[0]["event_id"], &runs[0]["plugin"]),
                (&json!(event), &json!("misbehave")),
                "{what}"
            );
        }
    }
    host.settled("misbehave").await;
    let event = host.get(&format!("events/{event}")).await;
    assert_eq!(event["runs"].as_array().unwrap().len(), 4);
    assert_eq!(host.items("runs?state=succeeded").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_triggers_replace_the_manifests() {
    let plugins = r#"
        [plugins.misbehave]
        triggers = [{ source = "elsewhere", kind = "order.*" }, { provider = "github", kind = "push" }]
    "#;
    let host = Host::start(
        &format!("{SOURCES}{plugins}"),
        &["misbehave", "github-push"],
    )
    .await;
    let send = async |source: &str, kind: &str| {
        host.send(source, &[("x-kind", kind)], r#"{"do":"ok"}"#)
            .await
            .event()
    };
    for (what, event, plugins) in [
        (
            "what the manifest says",
            send("misbehave", "order.created").await,
            vec![],
        ),
        (
            "what the operator says",
            send("elsewhere", "order.created").await,
            vec!["misbehave"],
        ),
        (
            "another kind",
            send("elsewhere", "invoice.created").await,
            vec![],
        ),
        (
            "a longer kind",
            send("elsewhere", "order.created.late").await,
            vec![],
        ),
        (
            "two plugins",
            host.push("d1", &push_body("a/b", 1)).await.event(),
            vec!["github-push", "misbehave"],
        ),
    ] {
        let event = host.get(&format!("events/{event}")).await;
        let mut by: Vec<&str> = event["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["plugin"].as_str().unwrap())
            .collect();
        by.sort_unstable();
        assert_eq!(by, plugins, "{what}");
    }
    let plugin = host.get("plugins/misbehave").await;
    let expected = json!([{ "source": "elsewhere", "kind": "order.*" }, { "provider": "github", "kind": "push" }]);
    assert_eq!(plugin["triggers"], expected);
}
