//! The admin API as a whole: who may ask, lists and their parameters.
//!
//! What single resources say is tested beside what makes them say it.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, TOKEN, eventually, push_body};
use crate::slow::SlowSender;

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

fn routes() -> Vec<(Method, &'static str, &'static str)> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        (get.clone(), "/metrics", ""),
        (get.clone(), "/api/v1/events", ""),
        (get.clone(), "/api/v1/events?limit=nonsense", ""),
        (
            get.clone(),
            "/api/v1/events/01890000-0000-7000-8000-000000000000",
            "",
        ),
        (get.clone(), "/api/v1/events/nonsense/body", ""),
        (post.clone(), "/api/v1/events/nonsense/replay", "{nonsense"),
        (get.clone(), "/api/v1/runs", ""),
        (get.clone(), "/api/v1/runs/1", ""),
        (post.clone(), "/api/v1/runs/nonsense/retry", ""),
        (get.clone(), "/api/v1/plugins", ""),
        (get.clone(), "/api/v1/plugins/nobody", ""),
        (get.clone(), "/api/v1/plugins/nobody/kv", ""),
        (post.clone(), "/api/v1/plugins/rescan", ""),
        (post.clone(), "/api/v1/plugins/nobody/pause", ""),
        (post.clone(), "/api/v1/plugins/nobody/rollback", "{nonsense"),
        (post.clone(), "/api/v1/plugins/nobody/unpin", ""),
        (post.clone(), "/api/v1/plugins/nobody/forget", ""),
        (post.clone(), "/api/v1/events/replay", "{nonsense"),
        (post.clone(), "/api/v1/runs/retry", "{nonsense"),
        (post, "/api/v1/runs/nonsense/cancel", ""),
        (get.clone(), "/api/v1/operations", ""),
        (get.clone(), "/api/v1/operations/nonsense", ""),
        (Method::DELETE, "/api/v1/operations/nonsense", ""),
        (get.clone(), "/api/v1/sources", ""),
        (Method::POST, "/api/v1/sources/nobody/pause", ""),
        (Method::POST, "/api/v1/sources/nobody/resume", ""),
        (get.clone(), "/api/v1/stream", ""),
        (get, "/api/v1/stats", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_without_the_token() {
    let host = Host::start(CONFIG, &[]).await;
    let (longer, shorter) = (
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
    );
    let basic = format!("Basic {TOKEN}");
    for (method, path, body) in routes() {
        for given in [
            "",
            "Bearer",
            "Bearer ",
            TOKEN,
            &longer,
            &shorter,
            &basic,
            "Bearer token-for-tests, x",
        ] {
            let headers = [("authorization", given)];
            let headers = if given.is_empty() {
                &headers[..0]
            } else {
                &headers[..]
            };
            let answer = host.ask_as(method.clone(), path, headers, body).await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, "Bearer"),
                "{method} {path} `{given}`"
            );
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.json()["status"], 401);
        }
        let in_query = format!(
            "{path}{}token={TOKEN}",
            if path.contains('?') { '&' } else { '?' }
        );
        assert_eq!(
            host.ask_as(method, &in_query, &[], body).await.status,
            401,
            "{in_query}"
        );
    }
    // However often: nobody is locked out.
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let given = format!("{scheme} {TOKEN}");
        let answer = host
            .ask_as(
                Method::GET,
                "/api/v1/events",
                &[("authorization", &given)],
                "",
            )
            .await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_open_to_everybody_and_nothing_else_with_them() {
    let host = Host::start(&format!("metrics_open = true\n{CONFIG}"), &[]).await;
    assert_eq!(
        host.ask_as(Method::GET, "/metrics", &[], "").await.status,
        200
    );
    for (method, path, body) in routes().into_iter().skip(1) {
        assert_eq!(
            host.ask_as(method, path, &[], body).await.status,
            401,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    for (path, status) in [
        ("events?limit=1", 200),
        ("events?limit=1000", 200),
        ("events?limit=0", 400),
        ("events?limit=1001", 400),
        ("events?limit=-1", 400),
        ("events?limit=ten", 400),
        ("events?limit=1&limit=2", 400),
        ("events?surce=github", 400),
        ("events?since=yesterday", 400),
        ("events?since=2026-11-22T01:30:00Z&until=1700000000", 200),
        ("events?cursor=nonsense", 400),
        ("events/nonsense", 404),
        ("events/01890000-0000-7000-8000-000000000000", 404),
        ("events/01890000-0000-7000-8000-000000000000/body", 404),
        ("runs?state=fine", 400),
        ("runs?event=nonsense", 400),
        ("runs?event=01890000-0000-7000-8000-000000000000", 200),
        ("runs?plugin=misbehave", 200),
        ("runs?plugin=nobody", 404),
        ("runs?plugin=NOT A NAME", 404),
        ("runs?limit=0", 400),
        ("runs?kind=push", 400),
        ("runs/0", 404),
        ("runs/nonsense", 404),
        ("plugins?limit=0", 400),
        ("plugins?state=active", 400),
        ("plugins/nobody", 404),
        ("plugins/nobody/kv", 404),
        ("plugins/misbehave/kv?limit=1001", 400),
        ("sources?limit=0", 400),
        ("stats?window=1h&step=1m", 200),
        ("stats?window=1s", 400),
        ("stats?window=1000d", 400),
        ("stats?window=30d&step=1m", 400),
        ("stats?step=often", 400),
        ("nothing", 404),
    ] {
        let answer = host
            .ask(
                Method::GET,
                &format!("/api/v1/{}", path.replace(' ', "%20")),
                "",
            )
            .await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        if status != 200 {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{path}"
            );
            assert_eq!(answer.json()["status"], status, "{path}");
        }
    }
}

/// Follows the cursor from page to page; the values of `key`, in order.
async fn paged(host: &Host, path: &str, limit: usize, key: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = host.get(&format!("{path}?limit={limit}{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item[key].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), limit, "only the last page may be short");
                cursor = format!("&cursor={next}");
            }
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_everything_once() {
    let host = Host::start(CONFIG, &["misbehave", "noop", "github-push"]).await;
    let what: Vec<Value> = (0..14)
        .map(|n| json!({ "do": "kv_set", "key": format!("k{n:02}"), "value": "x" }))
        .collect();
    join_all(what.iter().map(|what| host.tell(what))).await;
    host.settled("misbehave").await;
    for (path, key, count, newest_first) in [
        ("events", "id", 14, true),
        ("runs", "id", 14, true),
        ("plugins/misbehave/kv", "key", 14, false),
        ("plugins", "name", 3, false),
        ("sources", "name", 2, false),
    ] {
        let whole = paged(&host, path, 1000, key).await;
        assert_eq!(whole.len(), count, "{path}");
        for limit in [1, 3, 7, 13, 14] {
            assert_eq!(
                paged(&host, path, limit, key).await,
                whole,
                "{path} by {limit}"
            );
        }
        // Ids of runs are numbers in text.
        let keys: Vec<(usize, &String)> = whole.iter().map(|key| (key.len(), key)).collect();
        let is_sorted = if newest_first {
            keys.iter().rev().is_sorted()
        } else {
            whole.is_sorted()
        };
        assert!(is_sorted, "{path}: {whole:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select() {
    let host = Host::start(CONFIG, &["misbehave", "github-push"]).await;
    let send = async |kind: &str, body: &str| {
        host.send("misbehave", &[("x-kind", kind)], body)
            .await
            .event()
    };
    let good = send("a.good", r#"{"do":"ok"}"#).await;
    let bad = send("a.bad", r#"{"do":"permanent"}"#).await;
    let push = host.push("d1", &push_body("a/b", 1)).await.event();
    for event in [&good, &bad, &push] {
        host.finished(event).await;
    }
    for (path, expected) in [
        ("events".to_owned(), vec![&push, &bad, &good]),
        ("events?source=misbehave".to_owned(), vec![&bad, &good]),
        ("events?source=nobody".to_owned(), vec![]),
        ("events?kind=push".to_owned(), vec![&push]),
        (
            "events?kind=a.good&source=misbehave".to_owned(),
            vec![&good],
        ),
        ("events?kind=a.good&source=github".to_owned(), vec![]),
        ("runs?plugin=misbehave".to_owned(), vec![&bad, &good]),
        ("runs?state=dead".to_owned(), vec![&bad]),
        ("runs?state=succeeded".to_owned(), vec![&push, &good]),
        (
            "runs?state=succeeded&plugin=misbehave".to_owned(),
            vec![&good],
        ),
        ("runs?state=running".to_owned(), vec![]),
        (format!("runs?event={bad}"), vec![&bad]),
        (
            "runs?since=2000-01-01T00:00:00Z".to_owned(),
            vec![&push, &bad, &good],
        ),
        ("runs?until=2000-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        let key = if path.starts_with("events") {
            "id"
        } else {
            "event_id"
        };
        let items = host.items(&path).await;
        let found: Vec<&str> = items
            .iter()
            .map(|item| item[key].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{path}");
    }
    let events = host.items("events").await;
    assert_eq!(events[1]["runs"], json!({ "dead": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn since_and_until_go_by_the_time_that_is_shown() {
    let host = Host::start(CONFIG, &[]).await;
    // Its head comes first and its last byte last: that is when it is received.
    let slow = SlowSender::begin(host.public, "/webhooks/misbehave", b"sl", 4).await;
    for _ in 0..10 {
        host.send("misbehave", &[], "quick").await.event();
    }
    slow.end(b"ow").await;
    let all = eventually("all are there", async || {
        let events = host.items("events").await;
        (events.len() == 11).then_some(events)
    })
    .await;
    let received = |event: &Value| event["received_at"].as_str().unwrap().to_owned();
    for at in all.iter().map(received) {
        for (parameter, is_in) in [("since", true), ("until", false)] {
            let expected: Vec<String> = all
                .iter()
                .map(received)
                .filter(|time| (*time >= at) == is_in)
                .collect();
            let listed = host.items(&format!("events?{parameter}={at}")).await;
            let listed: Vec<String> = listed.iter().map(received).collect();
            assert_eq!(listed, expected, "{parameter}={at}");
        }
    }
}
