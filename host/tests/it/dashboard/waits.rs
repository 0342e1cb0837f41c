//! What a run's page says of why it stands still, and of what would try it now.

use serde_json::{Value, json};

use super::{Browser, new_token};
use crate::components::named;
use crate::harness::{Host, TOKEN, eventually};
use crate::program::asked;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**", ordering_key = "/order" }]
retry = { attempts = 2, first = "1h", factor = 1, max = "1h" }
on_dead = "block"
"#;

fn id(run: &Value) -> String {
    run["id"].as_str().unwrap().to_owned()
}

async fn page(browser: &mut Browser<'_>, run: &Value) -> String {
    browser.get(&format!("/runs/{}", id(run))).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_names_the_one_that_it_waits_behind() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let first = host.tell(&json!({ "do": "panic", "order": 1 })).await;
    let first = host.run_in(&first, &["waiting"]).await;
    let mut behind = Vec::new();
    for _ in 0..2 {
        let event = host.tell(&json!({ "do": "ok", "order": 1 })).await;
        behind.push(host.run_in(&event, &["blocked"]).await);
    }
    let told = format!("waits behind <a href=\"/runs/{0}\">run {0}</a>", id(&first));
    for run in &behind {
        assert_eq!(run["waits_behind"], first["id"], "{run}");
        let page = page(&mut browser, run).await;
        assert!(page.contains(&told), "{page}");
        assert!(!page.contains("is paused"), "{page}");
    }
    let (code, said, _) = asked(&host, &["runs", "show", &id(&behind[0])]).await;
    let told_there = format!("when run {} is over", id(&first));
    assert!(code == 0 && said.contains(&told_there), "{said}");
    assert_eq!(first["waits_behind"], Value::Null);
    assert!(!page(&mut browser, &first).await.contains("waits behind"));

    // Dead, it is still the one.
    host.post(&format!("runs/{}/retry", id(&first))).await;
    let dead = host.finished(first["event_id"].as_str().unwrap()).await;
    assert_eq!(
        (&dead["state"], &dead["waits_behind"]),
        (&json!("dead"), &Value::Null)
    );
    for run in &behind {
        assert!(page(&mut browser, run).await.contains(&told));
    }
    host.post(&format!("runs/{}/cancel", id(&first))).await;
    for run in &behind {
        let event = run["event_id"].as_str().unwrap();
        assert_eq!(host.finished(event).await["waits_behind"], Value::Null);
        assert!(!page(&mut browser, run).await.contains("waits behind"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_why_its_plugin_does_not_take_it() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    eventually("it is paused", async || {
        (host.get("plugins/misbehave").await["state"] == "paused").then_some(())
    })
    .await;
    let run = host.tell(&json!({ "do": "ok" })).await;
    let run = host.run_in(&run, &["blocked"]).await;
    assert_eq!(run["waits_behind"], Value::Null);
    let link = "<a href=\"/plugins/misbehave\">Plugin misbehave</a> <bdi>is ";
    let told = page(&mut browser, &run).await;
    assert!(
        told.contains(&format!("{link}paused. Its runs wait until")),
        "{told}"
    );

    std::fs::remove_file(host.folder.plugins_dir().join("misbehave.wasm")).unwrap();
    host.rescan().await;
    let told = page(&mut browser, &run).await;
    assert!(
        told.contains(&format!("{link}missing. No live host has")),
        "{told}"
    );

    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    host.install(&named("misbehave"), "misbehave.wasm").await;
    let run = host.finished(run["event_id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded");
    assert!(!page(&mut browser, &run).await.contains(link));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_is_offered_the_version_that_has_not_tried_it() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let event = host
        .tell(&json!({ "do": "retry_until", "attempt": 2 }))
        .await;
    let run = host.run_in(&event, &["waiting"]).await;
    let dead = host.told(&json!({ "do": "permanent" })).await;
    let (old, new) = (named("misbehave"), named("misbehave").numbered(2));
    for run in [&run, &dead] {
        assert!(!page(&mut browser, run).await.contains("Another version"));
    }

    host.install(&new, "misbehave.wasm").await;
    let active = host.get("plugins/misbehave").await["digest"].clone();
    assert_eq!(active, new.digest());
    for (run, button) in [(&run, "Run now with it"), (&dead, "Retry with it")] {
        let told = page(&mut browser, run).await;
        assert!(
            told.contains("Another version of its plugin is active since 2"),
            "{told}"
        );
        assert!(
            told.contains(&format!("title=\"{}\"", new.digest())),
            "{told}"
        );
        let before = format!("made with <code title=\"{}\"", old.digest());
        assert!(told.contains(&before), "{told}");
        assert!(told.contains(&format!(">{button}</button>")), "{told}");
    }
    // Whoever may only look is told, and offered nothing.
    let text = new_token(&host, "looker", "read").await;
    let mut looker = Browser::signed_in(&host, &text).await;
    let told = page(&mut looker, &run).await;
    assert!(told.contains("Another version"), "{told}");
    assert!(!told.contains("with it</button>"), "{told}");

    let address = format!("/runs/{}", id(&run));
    let shown = browser.get(&address).await;
    browser
        .submit(&shown, &format!("{address}/retry"), &[])
        .await;
    assert_eq!(host.finished(&event).await["state"], "succeeded");
    assert!(!page(&mut browser, &run).await.contains("Another version"));
    // What a version has tried it is not offered for again.
    let retry = format!("/runs/{}/retry", id(&dead));
    browser.submit(&shown, &retry, &[]).await;
    host.finished(dead["event_id"].as_str().unwrap()).await;
    assert!(!page(&mut browser, &dead).await.contains("Another version"));
}
