//! What is counted: by source, over time, and as metrics.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, eventually, push_body};

const CONFIG: &str = r#"
[sources.github]
provider = "github"
secret = ["another-secret", "It's a Secret to Everybody"]
path = "/hooks/github"

[sources.misbehave]
provider = "none"
kind_header = "x-kind"

[plugins.misbehave]
retry = { attempts = 2, first = "1ms", factor = 1, max = "1ms" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn sources_say_what_came_in() {
    let host = Host::start(CONFIG, &[]).await;
    let body = push_body("a/b", 1);
    let event = host.push("d1", &body).await.event();
    host.push("d1", &body).await;
    host.send("github", &[], body).await;
    let sources = host.items("sources").await;
    let names: Vec<&Value> = sources.iter().map(|source| &source["name"]).collect();
    assert_eq!(names, ["github", "misbehave"]);
    let github = &sources[0];
    assert_eq!(
        (
            &github["provider"],
            &github["paths"],
            &github["covers_body"],
            &github["paused"]
        ),
        (
            &json!("github"),
            &json!(["/webhooks/github", "/hooks/github"]),
            &json!(true),
            &json!(false)
        )
    );
    assert_eq!(
        (&github["received_1h"], &github["rejected_1h"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        github["last_event_at"],
        host.get(&format!("events/{event}")).await["received_at"]
    );
    assert_eq!(
        github["secrets"][0],
        json!({ "n": 1, "last_matched_at": null })
    );
    assert_eq!(github["secrets"][1]["n"], 2);
    assert!(github["secrets"][1]["last_matched_at"].is_string());
    let open = &sources[1];
    assert_eq!(
        (
            &open["covers_body"],
            &open["secrets"],
            &open["last_event_at"]
        ),
        (&json!(false), &json!([]), &Value::Null)
    );
}

/// The sums of the series of `GET stats`.
async fn sums(host: &Host) -> [i64; 6] {
    let stats = host.get("stats?window=1h&step=1m").await;
    assert_eq!(
        (&stats["window"], &stats["step_s"]),
        (&json!("1h"), &json!(60))
    );
    let series = stats["series"].as_array().unwrap();
    assert_eq!(series.len(), 60);
    let sum = |key: &str| series.iter().map(|step| step[key].as_i64().unwrap()).sum();
    [
        "received",
        "duplicates",
        "rejected",
        "succeeded",
        "failed",
        "dead",
    ]
    .map(sum)
}

/// By plugin: attempts that succeeded, that failed, and runs that died.
async fn attempts(host: &Host) -> Vec<(String, [i64; 3])> {
    let stats = host.get("stats?window=1m").await;
    let of = |one: &Value| {
        let counts = ["succeeded", "failed", "dead"].map(|key| one[key].as_i64().unwrap());
        (one["plugin"].as_str().unwrap().to_owned(), counts)
    };
    stats["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_add_up() {
    let host = Host::start(CONFIG, &["misbehave", "github-push"]).await;
    let body = push_body("a/b", 1);
    host.push("d1", &body).await.event();
    host.push("d1", &body).await.event();
    host.send("github", &[], body.clone()).await;
    host.told(&json!({ "do": "ok" })).await;
    host.told(&json!({ "do": "retry" })).await;
    host.told(&json!({ "do": "permanent" })).await;
    let expected = [4, 1, 1, 2, 3, 2];
    // An attempt is counted after its commit.
    eventually("everything is counted", async || {
        (sums(&host).await == expected).then_some(())
    })
    .await;

    let metrics = host.ask(Method::GET, "/metrics", "").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = metrics.text();
    for line in [
        "hookbay_webhooks_received_total{source=\"github\",kind=\"push\",result=\"accepted\"} 1",
        "hookbay_webhooks_received_total{source=\"github\",kind=\"push\",result=\"duplicate\"} 1",
        "hookbay_webhooks_received_total{source=\"github\",kind=\"\",result=\"rejected\"} 1",
        "hookbay_webhooks_received_total{source=\"misbehave\",kind=\"unknown\",result=\"accepted\"} 3",
        "hookbay_ingest_seconds_count{source=\"github\"} 3",
        "hookbay_verification_failures_total{source=\"github\",reason=\"missing_signature\"} 1",
        "hookbay_duplicates_total{source=\"github\"} 1",
        "hookbay_runs_total{plugin=\"github-push\",source=\"github\",kind=\"push\",outcome=\"succeeded\"} 1",
        "hookbay_runs_total{plugin=\"misbehave\",source=\"misbehave\",kind=\"unknown\",outcome=\"retry\"} 1",
        "hookbay_attempts_total{plugin=\"misbehave\",outcome=\"retry\"} 2",
        "hookbay_attempts_total{plugin=\"misbehave\",outcome=\"permanent\"} 1",
        "hookbay_run_seconds_count{plugin=\"misbehave\"} 4",
        "hookbay_queue_depth{plugin=\"misbehave\",state=\"ready\"} 0",
        "hookbay_plugins{state=\"active\"} 2",
        "hookbay_plugins{state=\"missing\"} 0",
        "hookbay_plugin_loads_total{result=\"ok\"} 2",
        "# EOF",
    ] {
        assert!(text.lines().any(|is| is == line), "no `{line}` in\n{text}");
    }
    assert!(text.contains("\nhookbay_run_cpu_seconds_total{plugin=\"misbehave\"} "));

    let queue = host.get("stats").await["queue"].clone();
    let misbehave = json!({ "plugin": "misbehave", "ready": 0, "running": 0, "waiting": 0, "blocked": 0, "oldest_s": null });
    assert!(queue.as_array().unwrap().contains(&misbehave), "{queue}");
    let expected_attempts = [("github-push", [1, 0, 0]), ("misbehave", [1, 3, 2])];
    let expected_attempts = expected_attempts.map(|(plugin, counts)| (plugin.to_owned(), counts));
    assert_eq!(attempts(&host).await, expected_attempts);
    // What was counted outlives the host that counted it.
    let host = host.restart().await;
    assert_eq!(sums(&host).await, expected);
    assert_eq!(attempts(&host).await, expected_attempts);
}
