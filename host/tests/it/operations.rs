//! Bulk work: replay and retry by filter.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, SECRET, TOKEN, eventually, outcomes};
use crate::http::Answer;
use crate::signing;

mod asked;
mod late;
mod unbroken;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"
kind_header = "x-kind"

[sources.quiet]
provider = "none"

[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[plugins.misbehave]
triggers = [
    { source = "misbehave", kind = "**", ordering_key = "/key" },
    { source = "github", kind = "**" },
]
retry = { attempts = 1, first = "1h", factor = 1, max = "1h" }
"#;

async fn host() -> Host {
    Host::start(CONFIG, &["misbehave"]).await
}

async fn bulk(host: &Host, path: &str, body: &Value, key: Option<&str>) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    let path = format!("/api/v1/{path}");
    host.ask_as(Method::POST, &path, &headers, body.to_string())
        .await
}

/// Begins an operation; its id.
async fn begin(host: &Host, path: &str, body: &Value) -> String {
    let answer = bulk(host, path, body, None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["operation_id"].as_str().unwrap().to_owned()
}

/// Waits until an operation is over.
async fn over(host: &Host, id: &str) -> Value {
    eventually(&format!("operation {id} is over"), async || {
        let operation = host.get(&format!("operations/{id}")).await;
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

/// Does an operation to its end: done and total.
async fn done(host: &Host, path: &str, body: &Value) -> (i64, i64) {
    let id = begin(host, path, body).await;
    let operation = over(host, &id).await;
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert_eq!(
        (&operation["id"], &operation["error"]),
        (&json!(id), &Value::Null)
    );
    assert!(operation["finished_at"].is_string(), "{operation}");
    let number = |key: &str| operation[key].as_i64().unwrap();
    (number("done"), number("total"))
}

async fn tell(host: &Host, source: &str, kind: &str, what: &Value) -> String {
    let headers = [("x-kind", kind)];
    host.send(source, &headers, what.to_string()).await.event()
}

async fn n_runs(host: &Host, event: &str) -> usize {
    let event = host.get(&format!("events/{event}")).await;
    event["runs"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_runs_the_events_that_fit() {
    let host = host().await;
    let ok = json!({ "do": "ok" });
    let mut a = Vec::new();
    for _ in 0..3 {
        a.push(tell(&host, "misbehave", "a.x", &ok).await);
    }
    let b = tell(&host, "misbehave", "b", &ok).await;
    let quiet = tell(&host, "quiet", "", &ok).await;
    let ping = signing::github_headers(SECRET, "ping", "p1", b"{}");
    let ping = host.send_signed("github", &ping, "{}").await.event();

    let filter = json!({ "source": "misbehave", "kind": "a.*" });
    let replay = |body: Value| {
        let host = &host;
        async move { done(host, "events/replay", &body).await }
    };
    assert_eq!(
        replay(json!({ "filter": filter, "dry_run": true })).await,
        (0, 3)
    );
    assert_eq!(n_runs(&host, &a[0]).await, 1);
    assert_eq!(replay(json!({ "filter": filter })).await, (3, 3));
    for event in &a {
        assert_eq!(n_runs(&host, event).await, 2);
    }
    assert_eq!(
        (n_runs(&host, &b).await, n_runs(&host, &quiet).await),
        (1, 0)
    );

    // Its trigger does not match, but it is named; a handshake runs for nobody.
    assert_eq!(
        replay(json!({ "filter": {}, "plugin": "misbehave" })).await,
        (5, 5)
    );
    assert_eq!(
        (n_runs(&host, &b).await, n_runs(&host, &quiet).await),
        (2, 1)
    );
    assert_eq!(n_runs(&host, &ping).await, 0);
    assert_eq!(
        replay(json!({ "filter": { "source": "nobody" } })).await,
        (0, 0)
    );
    let since = host.get(&format!("events/{b}")).await["received_at"].clone();
    assert_eq!(
        replay(json!({ "filter": { "since": since, "source": "misbehave" } })).await,
        (1, 1)
    );
    assert_eq!(
        replay(json!({ "filter": { "until": "2001-01-01T00:00:00Z" } })).await,
        (0, 0)
    );
    assert_eq!(host.settled("misbehave").await["runs"]["succeeded"], 13);

    let mut operations = host.items("operations").await;
    assert_eq!(operations.len(), 6);
    assert!(operations.iter().all(|one| one["what"] == "replay"));
    let page = host.get("operations?limit=4").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = host
        .items(&format!("operations?limit=4&cursor={cursor}"))
        .await;
    assert_eq!(operations.split_off(4), rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_a_known_id_and_another_body_runs_when_it_is_replayed() {
    let host = host().await;
    let send = async |body: &str| {
        let headers = [("idempotency-key", "k"), ("x-kind", "a")];
        host.send("misbehave", &headers, body).await.event()
    };
    let (first, second) = (send(r#"{"do":"ok"}"#).await, send(r#"{"do": "ok"}"#).await);
    assert_eq!(
        (n_runs(&host, &first).await, n_runs(&host, &second).await),
        (1, 0)
    );
    assert_eq!(
        done(&host, "events/replay", &json!({ "filter": {} })).await,
        (2, 2)
    );
    assert_eq!(
        (n_runs(&host, &first).await, n_runs(&host, &second).await),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_keep_the_order_of_their_events() {
    const MANY: usize = 60;
    let host = host().await;
    let mut events = Vec::new();
    for n in 0..MANY {
        let key = format!("k{}", n % 3);
        let what = json!({ "do": "kv_increment", "key": key, "by": 1 });
        events.push(tell(&host, "misbehave", "a", &what).await);
    }
    host.settled("misbehave").await;
    assert_eq!(
        done(&host, "events/replay", &json!({ "filter": {} })).await,
        (60, 60)
    );
    eventually("all have run", async || {
        let plugin = host.get("plugins/misbehave").await;
        (plugin["runs"]["succeeded"] == 2 * MANY).then_some(())
    })
    .await;
    let mut runs = host.items("runs?limit=1000").await;
    runs.truncate(MANY);
    runs.reverse();
    let replayed: Vec<&str> = runs
        .iter()
        .map(|run| run["event_id"].as_str().unwrap())
        .collect();
    assert_eq!(replayed, events);
    for key in 0..3 {
        let mut ended = String::new();
        for run in runs.iter().skip(key).step_by(3) {
            let run = host
                .get(&format!("runs/{}", run["id"].as_str().unwrap()))
                .await;
            let started = run["attempts"][0]["started_at"].as_str().unwrap();
            assert!(*started >= *ended, "{started} is before {ended}");
            run["finished_at"].as_str().unwrap().clone_into(&mut ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_retried_by_filter() {
    let host = host().await;
    let mut dead = Vec::new();
    for _ in 0..60 {
        dead.push(tell(&host, "misbehave", "a", &json!({ "do": "permanent" })).await);
    }
    let ok = tell(&host, "misbehave", "a", &json!({ "do": "ok" })).await;
    host.settled("misbehave").await;
    let attempts = async |event: &str| {
        let run = host.finished(event).await;
        (
            run["state"].as_str().unwrap().to_owned(),
            outcomes(&run).len(),
        )
    };
    let filter = json!({ "plugin": "misbehave", "event": dead[0] });
    let dry = json!({ "filter": filter, "dry_run": true });
    assert_eq!(done(&host, "runs/retry", &dry).await, (0, 1));
    assert_eq!(
        done(&host, "runs/retry", &json!({ "filter": filter })).await,
        (1, 1)
    );
    host.settled("misbehave").await;
    assert_eq!(attempts(&dead[0]).await, ("dead".to_owned(), 2));
    assert_eq!(attempts(&dead[1]).await, ("dead".to_owned(), 1));

    // More than a slice; each once, though each is dead again at once.
    assert_eq!(
        done(&host, "runs/retry", &json!({ "filter": {} })).await,
        (60, 60)
    );
    host.settled("misbehave").await;
    assert_eq!(attempts(&dead[0]).await, ("dead".to_owned(), 3));
    for event in &dead[1..] {
        assert_eq!(attempts(event).await, ("dead".to_owned(), 2));
    }
    assert_eq!(attempts(&ok).await, ("succeeded".to_owned(), 1));
    let runs = &host.settled("misbehave").await["runs"];
    assert_eq!((&runs["dead"], &runs["succeeded"]), (&json!(60), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_and_cancelled_runs_are_retried_if_they_are_named() {
    let config = CONFIG.replace("attempts = 1", "attempts = 3");
    let host = Host::start(&config, &["misbehave"]).await;
    let what = json!({ "do": "retry_until", "attempt": 2 });
    let (first, second) = (
        tell(&host, "misbehave", "a", &what).await,
        tell(&host, "misbehave", "b", &what).await,
    );
    let waiting = host.run_in(&first, &["waiting"]).await;
    let cancelled = host.run_in(&second, &["waiting"]).await;
    let cancel = format!("runs/{}/cancel", cancelled["id"].as_str().unwrap());
    assert_eq!(host.post(&cancel).await.status, 202);
    // Neither is dead.
    assert_eq!(
        done(&host, "runs/retry", &json!({ "filter": {} })).await,
        (0, 0)
    );
    for (state, event) in [("waiting", &first), ("cancelled", &second)] {
        let filter = json!({ "state": state });
        assert_eq!(
            done(&host, "runs/retry", &json!({ "filter": filter })).await,
            (1, 1)
        );
        let run = host.finished(event).await;
        assert_eq!(
            (&run["state"], outcomes(&run)),
            (&json!("succeeded"), vec!["retry", "succeeded"])
        );
    }
    assert_ne!(waiting["id"], cancelled["id"]);
}
