//! What is shipped for monitoring speaks of what the host says: the dashboard and the
//! alert rules in `docs/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor;

use crate::database::Engine;
use crate::harness::{Host, eventually, push_body};

const CONFIG: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"
kind_header = "x-kind"

[sources.caller]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }

[plugins.caller]
http.api = { origin = "http://127.0.0.1:9", private = true }
"#;

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(path)
}

/// Whatever in a text begins like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let ours = words.filter(|word| word.starts_with("hookbay_"));
    ours.map(str::to_owned).collect()
}

/// The series that a host shows once everything has happened that is counted.
async fn shown() -> (Host, String) {
    let host = Host::start(CONFIG, &["misbehave", "caller"]).await;
    let body = push_body("a/b", 1);
    host.push("d1", &body).await.event();
    host.push("d1", &body).await.event();
    host.send("github", &[], body).await;
    host.told(&json!({ "do": "permanent" })).await;
    // The port of `discard`: nobody listens there.
    let call = json!({ "endpoint": "api", "path": "/" });
    let event = host.send("caller", &[], call.to_string()).await.event();
    host.run_in(&event, &["succeeded", "dead", "waiting"]).await;
    // A quote, a backslash and a line's end must not break the text.
    let kind = [("x-kind", r#"a"b\c"#)];
    host.send("misbehave", &kind, json!({ "do": "ok" }).to_string())
        .await;
    let text = host.ask(Method::GET, "/metrics", "").await.text();
    (host, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_docs_name_is_there() {
    let (_host, text) = shown().await;
    let series = named(&text);
    for file in ["grafana/hookbay.json", "prometheus/hookbay.rules.yml"] {
        let names = named(&std::fs::read_to_string(docs(file)).unwrap());
        assert!(names.len() > 5, "{file}");
        let unknown: Vec<&String> = names.difference(&series).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}:\n{text}");
    }
    // And what the design promises, each with its labels.
    for line in [
        "hookbay_webhooks_received_total{source=\"github\",kind=\"push\",result=\"accepted\"}",
        "hookbay_ingest_seconds_bucket{le=",
        "hookbay_verification_failures_total{source=\"github\",reason=",
        "hookbay_duplicates_total{source=\"github\"}",
        "hookbay_runs_total{plugin=\"misbehave\",source=\"misbehave\",kind=\"unknown\",outcome=\"permanent\"}",
        "hookbay_attempts_total{plugin=\"misbehave\",outcome=\"permanent\"}",
        "hookbay_run_seconds_bucket{le=",
        "hookbay_run_cpu_seconds_total{plugin=\"misbehave\"}",
        "hookbay_queue_depth{plugin=\"misbehave\",state=\"ready\"}",
        "hookbay_queue_oldest_seconds{plugin=\"misbehave\"}",
        "hookbay_plugins{state=\"active\"} 2",
        "hookbay_plugin_loads_total{result=\"ok\"}",
        "hookbay_egress_requests_total{plugin=\"caller\",endpoint=\"api\",status=",
        r#"kind="a\"b\\c""#,
    ] {
        assert!(text.contains(line), "`{line}` is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_keeps_removed_rows_shows_its_age() {
    let host = Host::start(CONFIG, &[]).await;
    let age_s = async || {
        let text = host.ask(Method::GET, "/metrics", "").await.text();
        let mut lines = text.lines();
        let told = lines.find_map(|line| line.strip_prefix("hookbay_oldest_snapshot_seconds "));
        told.expect("it is told").parse::<f64>().unwrap()
    };
    if Engine::of_hosts() == Engine::Sqlite {
        assert!(age_s().await == 0.0, "there is nothing of the kind");
        return;
    }
    let mut reader = host.folder.database.connect().await;
    let begins = "begin isolation level repeatable read; select 1";
    reader.execute(begins).await.unwrap();
    eventually("the reader's age shows", async || {
        (age_s().await > 0.2).then_some(())
    })
    .await;
    reader.execute("rollback").await.unwrap();
    eventually("the reader is gone", async || {
        (age_s().await < 0.2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_understands_rules_and_metrics() {
    let promtool = |arguments: &[&str], input: Option<&Path>| {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(docs("prometheus"));
        if let Some(file) = input {
            command.stdin(std::fs::File::open(file).unwrap());
        }
        command.output()
    };
    if promtool(&["--version"], None).is_err() {
        println!("skipped: Debian's package `prometheus` is not installed");
        return;
    }
    for arguments in [
        ["check", "rules", "hookbay.rules.yml"],
        ["test", "rules", "hookbay.rules.test.yml"],
    ] {
        let output = promtool(&arguments, None).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let (host, text) = shown().await;
    let file = host.folder.path().join("metrics.txt");
    std::fs::write(&file, text.replace("# EOF\n", "")).unwrap();
    let output = promtool(&["check", "metrics"], Some(&file)).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("error while linting"), "{said}");
}

#[test]
fn the_dashboard_is_one() {
    let text = std::fs::read_to_string(docs("grafana/hookbay.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels
        .iter()
        .map(|panel| panel["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len(), "ids are given once each");
    for panel in panels {
        let place = &panel["gridPos"];
        let end = place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap();
        assert!(end <= 24, "{} is too wide", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let is_balanced = expression.matches('(').count() == expression.matches(')').count();
            assert!(is_balanced, "{expression}");
        }
    }
}
