//! Runs from their event to their end: success, retries, death, and retry by hand.

use hookbay::clock::Timestamp;
use serde_json::{Value, json};

use crate::components::named;
use crate::harness::{Host, outcomes, push_body};

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

const QUICK: &str = r#"
[plugins.misbehave]
retry = { attempts = 3, first = "10ms", factor = 1, max = "10ms" }
"#;

const SLOW: &str = r#"
[plugins.misbehave]
retry = { attempts = 3, first = "1h", factor = 1, max = "1h", jitter = 0 }
"#;

async fn host(plugins: &str) -> Host {
    Host::start(&format!("{SOURCES}{plugins}"), &["misbehave"]).await
}

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_finished_run() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let event = host
        .push("d1", &push_body("Codertocat/Hello-World", 3))
        .await
        .event();
    let run = host.finished(&event).await;
    let summary = "3 commits to Codertocat/Hello-World on main by Codertocat";
    assert_eq!(
        (
            &run["state"],
            &run["summary"],
            &run["outcome"],
            &run["error"]
        ),
        (
            &json!("succeeded"),
            &json!(summary),
            &json!("succeeded"),
            &Value::Null
        )
    );
    assert_eq!(
        (
            &run["event_id"],
            &run["plugin"],
            &run["source"],
            &run["kind"]
        ),
        (
            &json!(event),
            &json!("github-push"),
            &json!("github"),
            &json!("push")
        )
    );
    assert_eq!(
        (
            &run["attempt"],
            &run["max_attempts"],
            &run["next_attempt_at"]
        ),
        (&json!(1), &json!(12), &Value::Null)
    );
    assert_eq!(
        (&run["data"]["commits"], &run["data"]["change"]),
        (&json!(3), &json!("pushed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_its_attempts_and_what_it_counted() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    let event = host
        .push("d1", &push_body("Codertocat/Hello-World", 3))
        .await
        .event();
    let run = host.finished(&event).await;
    let attempts = run["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    let attempt = &attempts[0];
    assert_eq!(
        (&attempt["n"], &attempt["outcome"], &attempt["digest"]),
        (
            &json!(1),
            &json!("succeeded"),
            &json!(named("github-push").digest())
        )
    );
    assert!(attempt["memory_bytes"].as_i64().unwrap() > 0);
    let log = &attempt["logs"][0];
    assert_eq!(
        (&log["level"], &log["message"], &log["fields"]),
        (
            &json!("info"),
            &run["summary"],
            &json!({ "repository": "Codertocat/Hello-World", "commits": "3" })
        )
    );

    for n in 2..=5 {
        host.push(&format!("d{n}"), &push_body("Codertocat/Hello-World", n))
            .await
            .event();
    }
    host.settled("github-push").await;
    assert_eq!(
        host.kv("github-push", "pushes/Codertocat/Hello-World")
            .await
            .as_deref(),
        Some("5")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_follow_the_retry_policy() {
    let host = host(QUICK).await;
    for (what, state, expected, message) in [
        (
            json!({ "do": "retry" }),
            "dead",
            vec!["retry"; 3],
            "asked to retry",
        ),
        (
            json!({ "do": "retry", "after_ms": 5 }),
            "dead",
            vec!["retry"; 3],
            "asked to retry",
        ),
        (
            json!({ "do": "panic" }),
            "dead",
            vec!["trap"; 3],
            "deliberate panic",
        ),
        (
            json!({ "do": "permanent" }),
            "dead",
            vec!["permanent"],
            "asked to fail",
        ),
        (
            json!({ "do": "retry_until", "attempt": 3 }),
            "succeeded",
            vec!["retry", "retry", "succeeded"],
            "",
        ),
        (
            json!({ "do": "retry_until", "attempt": 4 }),
            "dead",
            vec!["retry"; 3],
            "asked to retry",
        ),
        (
            json!({ "do": "nothing that is known" }),
            "dead",
            vec!["permanent"],
            "",
        ),
    ] {
        let run = host.told(&what).await;
        assert_eq!(
            (&run["state"], outcomes(&run)),
            (&json!(state), expected.clone()),
            "{what}"
        );
        assert_eq!(
            (&run["attempt"], &run["max_attempts"]),
            (&json!(expected.len()), &json!(3)),
            "{what}"
        );
        let said = run["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{what}: {said}");
        if state == "dead" {
            assert_eq!(run["error"]["code"], expected[expected.len() - 1], "{what}");
            assert_eq!(
                (&run["summary"], &run["data"]),
                (&Value::Null, &Value::Null),
                "{what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_says_how_long_to_wait() {
    let host = host(SLOW).await;
    // An hour by the policy, but the plugin says at once.
    let run = host.told(&json!({ "do": "retry", "after_ms": 0 })).await;
    assert_eq!(outcomes(&run), ["retry"; 3]);
    // A year is more than anybody may ask for: 24 h.
    let event = host
        .tell(&json!({ "do": "retry", "after_ms": 31_536_000_000_u64 }))
        .await;
    let run = host.run_in(&event, &["waiting"]).await;
    let seconds = |key: &str| {
        Timestamp::parse(run[key].as_str().unwrap())
            .unwrap()
            .seconds()
    };
    let wait_s = seconds("next_attempt_at") - seconds("created_at");
    assert!((86_400..86_400 + 60).contains(&wait_s), "{wait_s} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_can_be_made_due_now() {
    let host = host(SLOW).await;
    let event = host
        .tell(&json!({ "do": "retry_until", "attempt": 2 }))
        .await;
    let waiting = host.run_in(&event, &["waiting"]).await;
    assert_eq!(
        (&waiting["outcome"], &waiting["finished_at"]),
        (&json!("retry"), &Value::Null)
    );
    assert_eq!(host.items("runs?state=waiting").await.len(), 1);
    assert_eq!(host.settled("misbehave").await["runs"]["waiting"], 1);
    let retried = host.post(&format!("runs/{}/retry", id(&waiting))).await;
    assert_eq!(retried.status, 202, "{}", retried.text());
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["retry", "succeeded"])
    );
    assert_eq!(id(&run), id(&waiting));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_gets_a_fresh_budget() {
    let host = host(QUICK).await;
    let dead = host
        .told(&json!({ "do": "retry_until", "attempt": 6 }))
        .await;
    assert_eq!((&dead["state"], outcomes(&dead).len()), (&json!("dead"), 3));
    assert_eq!(host.settled("misbehave").await["runs"]["dead"], 1);

    let retried = host.post(&format!("runs/{}/retry", id(&dead))).await;
    assert_eq!(retried.status, 202, "{}", retried.text());
    assert_eq!(retried.json()["id"], dead["id"]);
    let event = dead["event_id"].as_str().unwrap();
    let run = host.finished(event).await;
    let expected = ["retry", "retry", "retry", "retry", "retry", "succeeded"];
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), expected.to_vec())
    );
    assert_eq!(
        (&run["id"], &run["attempt"], &run["max_attempts"]),
        (&dead["id"], &json!(6), &json!(6))
    );
    let plugin = host.settled("misbehave").await;
    assert_eq!(
        (&plugin["runs"]["dead"], &plugin["runs"]["succeeded"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_retried_is_refused() {
    let host = host(QUICK).await;
    let run = host.told(&json!({ "do": "ok" })).await;
    for (what, run, status) in [
        ("succeeded", id(&run), 409),
        ("unknown", "9999999", 404),
        ("not an id", "none", 404),
    ] {
        let answer = host.post(&format!("runs/{run}/retry")).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    let after = host.get(&format!("runs/{}", id(&run))).await;
    assert_eq!(after, run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_not_retried() {
    let host = host("").await;
    let event = host.tell(&json!({ "do": "sleep", "ms": 2000 })).await;
    let run = host.run_in(&event, &["running"]).await;
    assert_eq!(
        host.post(&format!("runs/{}/retry", id(&run))).await.status,
        409
    );
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["succeeded"])
    );
}
