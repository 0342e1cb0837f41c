//! What the overview says of plugins that fail.

use serde_json::json;

use super::Browser;
use crate::harness::{Host, TOKEN, eventually};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[sources.noop]
provider = "none"

[plugins.misbehave]
retry = { attempts = 2, first = "1h", factor = 1, max = "1h" }
"#;
const CALM: &str = "Nothing does. Plugins run";

/// The overview, once it says something.
async fn overview(browser: &mut Browser<'_>, what: &str) -> String {
    eventually(what, async || {
        let page = browser.get("/").await.text();
        page.contains(what).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_needs_attention_until_its_runs_are_mended() {
    let host = Host::start(CONFIG, &["misbehave", "noop"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    assert!(browser.get("/").await.text().contains(CALM));
    let event = host.send("noop", &[], "{}").await.event();
    host.finished(&event).await;

    let event = host
        .tell(&json!({ "do": "retry_until", "attempt": 2 }))
        .await;
    let waiting = host.run_in(&event, &["waiting"]).await;
    let page = overview(&mut browser, "Every attempt of plugin misbehave fails").await;
    assert!(page.contains("<li class=\"warn\">"), "{page}");
    assert!(page.contains("1 of 1 attempt in the last hour failed, 0 runs died; 1 run waits"));
    let link = "href=\"/runs?plugin=misbehave&#38;state=waiting\"";
    assert!(page.contains(link), "{page}");
    assert!(!page.contains("plugin noop"), "{page}");

    host.told(&json!({ "do": "permanent" })).await;
    let page = overview(
        &mut browser,
        "2 of 2 attempts in the last hour failed, 1 run died",
    )
    .await;
    assert!(page.contains("<li class=\"bad\">"), "{page}");
    let link = "href=\"/runs?plugin=misbehave&#38;state=dead\"";
    assert!(page.contains(link), "{page}");

    // One that succeeds says that not all do; what died still needs somebody.
    let id = waiting["id"].as_str().unwrap();
    assert_eq!(host.post(&format!("runs/{id}/retry")).await.status, 202);
    host.finished(&event).await;
    let page = overview(&mut browser, "Runs of plugin misbehave have died").await;
    assert!(page.contains("none waits for another attempt"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_and_what_is_dead_are_told_apart() {
    let config = CONFIG.replace("attempts = 2", "attempts = 1");
    let host = Host::start(&config, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/?window=24h").await.text();
    assert!(
        page.contains("Runs that died in 24 hours</span><b>0</b>"),
        "{page}"
    );
    assert!(page.contains("None is dead now."), "{page}");

    let run = host
        .told(&json!({ "do": "retry_until", "attempt": 2 }))
        .await;
    let id = run["id"].as_str().unwrap();
    let died = "Runs that died in 1 hour</span><b>1</b>";
    let page = overview(&mut browser, died).await;
    assert!(page.contains("1 attempt failed; 1 is dead now"), "{page}");
    assert!(
        page.contains("<a href=\"/runs?state=dead\"><span"),
        "{page}"
    );
    assert!(page.contains(&format!("<a href=\"/runs/{id}\">")), "{page}");

    // It died, and is dead no more.
    assert_eq!(host.post(&format!("runs/{id}/retry")).await.status, 202);
    host.finished(run["event_id"].as_str().unwrap()).await;
    let page = overview(&mut browser, "none is dead now").await;
    assert!(page.contains(died), "{page}");
    assert!(page.contains("None is dead now."), "{page}");
    assert!(
        !page.contains("Runs of plugin misbehave have died"),
        "{page}"
    );
}
