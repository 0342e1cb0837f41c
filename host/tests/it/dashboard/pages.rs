//! Pages of single things, and what is said where there is none.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Browser, new_token};
use crate::components::named;
use crate::harness::{Host, TOKEN, eventually};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"
kind_pointer = "/kind"

[sources.asana]
provider = "asana"

[sources.orders]
provider = "generic"
secret = "what orders are signed with"
kind_header = "x-kind"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_looks_again_by_itself_and_a_search_does_not() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    for (path, is_live) in [
        ("/events", true),
        ("/events?source=orders&q=", true),
        ("/events?q=needle", false),
        ("/events?source=orders&q=needle", false),
    ] {
        let page = browser.get(path).await.text();
        assert!(page.contains("id=\"events\""), "{path}");
        for mark in ["data-live=", "data-live-state", "data-stream"] {
            assert_eq!(page.contains(mark), is_live, "{path}: {mark}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_a_browser_gets_a_page_and_a_program_a_problem() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    for (method, path, status, told) in [
        (
            Method::GET,
            "/nothing/here",
            404,
            "nothing is at `/nothing/here`",
        ),
        (
            Method::GET,
            "/events/%3Cb%3E",
            404,
            "there is no event `&#60;b&#62;`",
        ),
        (
            Method::GET,
            "/sources/nobody",
            404,
            "there is no source `nobody`",
        ),
        (
            Method::GET,
            "/plugins/nobody/kv",
            404,
            "there is no plugin `nobody`",
        ),
        (Method::GET, "/events/%FF", 400, "Invalid UTF-8"),
        (Method::GET, "/logout", 405, "`GET` is not answered"),
        (Method::PUT, "/events", 405, "`PUT` is not answered"),
        (Method::GET, "/plugins/misbehave/pause", 405, "by a button"),
    ] {
        let html = [("accept", "text/html,application/xhtml+xml")];
        let page = browser.ask(method.clone(), path, &html, "").await;
        let text = page.text();
        assert_eq!(page.status, status, "{path}: {text}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(text.contains(told), "{path}: {text}");
        assert_eq!(status == 405, !page.header("allow").is_empty(), "{path}");
    }
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/api/v1/nothing", 404),
        (Method::PUT, "/events", 405),
        (Method::PUT, "/api/v1/events", 405),
    ] {
        let answer = host.ask(method, path, "").await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], status);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_answers_is_kept_by_no_cache_and_guessed_by_no_browser() {
    let host = Host::start(CONFIG, &[]).await;
    for path in ["/api/v1/events", "/api/v1/plugins/nobody", "/metrics"] {
        let answer = host.ask(Method::GET, path, "").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_keeps_is_shown_by_key_and_as_text() {
    const EVIL: &str = "<script>alert(1)</script>";
    let host = Host::start(CONFIG, &["misbehave"]).await;
    for (key, value) in [("orders/1", "one"), ("orders/2", EVIL), (EVIL, "x")] {
        let run = host
            .told(&json!({ "do": "kv_set", "key": key, "value": value }))
            .await;
        assert_eq!(run["state"], "succeeded", "{run}");
    }
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let all = browser.get("/plugins/misbehave/kv").await.text();
    assert!(all.contains("<bdi>orders/1</bdi>"), "{all}");
    assert_eq!(all.matches("alert(1)").count(), 2, "{all}");
    assert!(!all.contains("<script>alert"), "{all}");
    let some = browser.get("/plugins/misbehave/kv?prefix=orders%2F").await;
    let some = some.text();
    assert!(some.contains("orders/2") && !some.contains("<bdi>x</bdi>"));
    let none = browser.get("/plugins/misbehave/kv?prefix=nothing").await;
    assert!(none.text().contains("No key fits."));
    let page = browser.get("/plugins/misbehave").await.text();
    assert!(page.contains("href=\"/plugins/misbehave/kv\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_says_what_it_refused_and_why() {
    let host = Host::start(CONFIG, &[]).await;
    let headers = [("x-kind", "order.paid"), ("x-webhook-signature", "00")];
    assert_eq!(host.send("orders", &headers, "{}").await.status, 401);
    let kept = eventually("it is in quarantine", async || {
        host.items("quarantine?source=orders").await.pop()
    })
    .await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/sources/orders").await.text();
    for told in [
        kept["reason"]["code"].as_str().unwrap(),
        kept["id"].as_str().unwrap(),
        "/webhooks/<wbr>orders",
        "the configuration",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("what orders are signed with"));
    assert!(!page.contains("Forget the secret"), "{page}");
    let event = host
        .send("misbehave", &[], r#"{"kind":"a.b"}"#)
        .await
        .event();
    let page = browser.get("/sources/misbehave").await.text();
    assert!(page.contains(&format!("/events/{event}")), "{page}");
    assert!(page.contains("checks nobody"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_sender_brought_is_told_by_its_fingerprint_and_forgotten() {
    const FIRST: &str = "the first secret of the sender";
    const OTHER: &str = "the secret of somebody else";
    let host = Host::start(CONFIG, &[]).await;
    for secret in [FIRST, OTHER] {
        host.send("asana", &[("x-hook-secret", secret)], "").await;
    }
    let text = new_token(&host, "operator", "operate").await;
    let mut operator = Browser::signed_in(&host, &text).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/sources/asana").await;
    for secret in [FIRST, OTHER] {
        let fingerprint = &hex::encode(Sha256::digest(secret))[..8];
        let told = format!("<code>{fingerprint}</code>");
        assert!(page.text().contains(&told), "{}", page.text());
        assert!(!page.text().contains(secret));
    }
    let forget = "/sources/asana/forget-secret";
    let seen = operator.get("/sources/asana").await;
    assert!(!seen.text().contains(forget), "{}", seen.text());
    let learnt = async || {
        let sources = host.items("sources").await;
        let asana = sources.iter().find(|source| source["name"] == "asana");
        asana.unwrap()["secrets"].as_array().unwrap().len()
    };
    operator.submit(&seen, forget, &[]).await;
    assert_eq!(learnt().await, 1);
    let answer = browser.submit(&page, forget, &[]).await;
    assert_eq!(answer.header("location"), "/sources/asana");
    assert_eq!(learnt().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_which_version_of_its_plugin_made_each_attempt() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "ok" })).await;
    let plugin = host.get("plugins/misbehave").await;
    assert_eq!(run["attempts"][0]["digest"], plugin["digest"]);
    assert_eq!(run["attempts"][0]["version"], plugin["version"]);
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let id = run["id"].as_str().unwrap();
    let page = browser.get(&format!("/runs/{id}")).await.text();
    let version = plugin["version"].as_str().unwrap();
    assert!(page.contains(&format!("<bdi>{version}</bdi>")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_recorded_of_an_attempt_is_not_said_to_have_gone() {
    const RETRIES: &str = "retry = { attempts = 3, first = \"1ms\", factor = 1, max = \"1ms\" }";
    for (journal, is_told) in [("failures", true), ("all", false)] {
        let config = format!("{CONFIG}\n[plugins.misbehave]\n{RETRIES}\njournal = \"{journal}\"\n");
        let host = Host::start(&config, &["misbehave"]).await;
        let emit = json!({ "do": "emit", "kind": "a.b", "times": 1, "until": 2 });
        let event = host.send("misbehave", &[], emit.to_string()).await.event();
        let run = host.finished(&event).await;
        assert_eq!(run["attempts"][1]["outcome"], "succeeded", "{run}");
        let mut browser = Browser::signed_in(&host, TOKEN).await;
        let address = format!("/runs/{}", run["id"].as_str().unwrap());
        let page = browser.get(&address).await.text();
        assert!(page.contains("Different from attempt 1"), "{page}");
        let told = "No journal was kept of attempt 2, because it succeeded";
        assert_eq!(page.contains(told), is_told, "{journal}: {page}");
        if is_told {
            assert!(!page.contains("<li class=\"removed\">"), "{page}");
        }
        // The error of the first is gone, and nothing stands in its place.
        assert!(page.contains("<dt>error</dt><dd><del>"), "{page}");
        assert!(!page.contains("<ins><bdi></bdi></ins>"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_runs_says_which_version_tried_each_last() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let (old, new) = (named("misbehave"), named("misbehave").numbered(2));
    let first = host.tell(&json!({ "do": "ok" })).await;
    host.finished(&first).await;
    let waits = host
        .tell(&json!({ "do": "retry", "after_ms": 3_600_000 }))
        .await;
    let waits_id = host.run_in(&waits, &["waiting"]).await["id"].clone();
    host.install(&new, "misbehave.wasm").await;
    let second = host.tell(&json!({ "do": "permanent" })).await;
    host.finished(&second).await;
    host.post("plugins/misbehave/pause").await;
    eventually("it is paused", async || {
        (host.get("plugins/misbehave").await["state"] == "paused").then_some(())
    })
    .await;
    let none = host.tell(&json!({ "do": "ok" })).await;
    host.run_in(&none, &["blocked"]).await;

    let expected = [
        (&none, Value::Null),
        (&second, json!(new.digest())),
        (&waits, json!(old.digest())),
        (&first, json!(old.digest())),
    ];
    let listed = host.items("runs").await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/runs").await.text();
    let cell = |digest: &str| format!("title=\"{digest}\">{}</span>", &digest[..12]);
    for (run, (event, digest)) in listed.iter().zip(expected) {
        assert_eq!((&run["event_id"], &run["digest"]), (&json!(event), &digest));
        let of_event = host.get(&format!("events/{event}")).await;
        assert_eq!(of_event["runs"][0]["digest"], digest);
        let Some(digest) = digest.as_str() else {
            continue;
        };
        assert!(page.contains(&cell(digest)), "{page}");
        let page = browser.get(&format!("/events/{event}")).await.text();
        assert!(page.contains(&cell(digest)), "{page}");
    }
    // Cancelled later, it was still the old one that tried it.
    let waits_id = waits_id.as_str().unwrap();
    assert_eq!(
        host.post(&format!("runs/{waits_id}/cancel")).await.status,
        202
    );
    let cancelled = host.get(&format!("runs/{waits_id}")).await;
    assert_eq!(cancelled["digest"], old.digest());
}
