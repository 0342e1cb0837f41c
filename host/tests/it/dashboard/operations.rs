//! Bulk work: what is only counted, what is done, and the page of each.

use reqwest::Method;
use serde_json::json;

use super::{Browser, new_token};
use crate::harness::{Host, TOKEN, eventually};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**" }]
retry = { attempts = 1 }
"#;

/// Presses a button that begins an operation; its page, once it is over.
async fn begun(
    browser: &mut Browser<'_>,
    host: &Host,
    asked: &str,
    fields: &[(&str, &str)],
) -> (String, String) {
    let page = browser.get(asked).await;
    let path = asked.split('?').next().unwrap();
    let answer = browser.submit(&page, path, fields).await;
    let address = answer.header("location").to_owned();
    let id = address.strip_prefix("/operations/").unwrap();
    eventually("the operation is over", async || {
        let operation = host.get(&format!("operations/{id}")).await;
        (operation["state"] != "running").then_some(())
    })
    .await;
    let page = browser.get(&address).await;
    assert_eq!(page.status, 200, "{}", page.text());
    (address, page.text())
}

fn has(page: &str, text: &str) {
    assert!(page.contains(text), "{text} is not in {page}");
}

fn lacks(page: &str, text: &str) {
    assert!(!page.contains(text), "{text} is in {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_runs_says_what_it_would_do_and_goes_on_with_the_same_filter() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "permanent" })).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let asked = "/runs/retry?plugin=misbehave";
    let fields = [("plugin", "misbehave"), ("state", "dead"), ("dry_run", "1")];
    let (counted, page) = begun(&mut browser, &host, asked, &fields).await;
    has(&page, "<b>1 run would be retried.</b>");
    has(&page, "<span class=\"tag\">dry run</span>");
    has(&page, "Every dead run of plugin misbehave.");
    has(&page, "<bdi>bootstrap</bdi>");
    has(
        &page,
        "href=\"/runs/retry?plugin=misbehave&#38;state=dead\">Retry them…",
    );
    let id = run["id"].as_str().unwrap();
    let attempts = async || {
        let run = host.get(&format!("runs/{id}")).await;
        run["attempts"].as_array().unwrap().len()
    };
    assert_eq!(attempts().await, 1);
    let list = browser.get("/operations").await.text();
    has(&list, "1 would be retried");
    lacks(&list, "0 of 1");
    has(&list, &format!("href=\"{counted}\""));

    // In earnest; nothing is offered twice.
    let (done, page) = begun(&mut browser, &host, asked, &fields[..2]).await;
    has(&page, "<b>1 run retried.</b>");
    lacks(&page, "dry run");
    lacks(&page, "Retry them…");
    lacks(&page, "/cancel");
    eventually("it was tried again", async || {
        (attempts().await == 2).then_some(())
    })
    .await;
    let list = browser.get("/operations").await.text();
    has(&list, "1 of 1");
    has(&list, &format!("href=\"{done}\""));

    // Who may only look is offered nothing; what is not there is said so.
    let text = new_token(&host, "looker", "read").await;
    let mut looker = Browser::signed_in(&host, &text).await;
    let page = looker.get(&counted).await.text();
    has(&page, "1 run would be retried.");
    lacks(&page, "Retry them…");
    assert_eq!(looker.get("/operations/99").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_events_keeps_the_plugin_and_one_of_requests_their_reason() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    host.told(&json!({ "do": "ok" })).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let fields = [
        ("source", "misbehave"),
        ("plugin", "misbehave"),
        ("dry_run", "1"),
    ];
    let asked = "/events/replay?source=misbehave";
    let (_, page) = begun(&mut browser, &host, asked, &fields).await;
    has(&page, "<b>1 event would be replayed.</b>");
    has(
        &page,
        "Every stored event of source misbehave, with plugin misbehave.",
    );
    let on = "/events/replay?source=misbehave&#38;plugin=misbehave";
    has(&page, on);
    let asked = browser.get(&on.replace("&#38;", "&")).await.text();
    has(&asked, "<option selected>misbehave");
    has(&asked, "name=\"source\" value=\"misbehave\"");

    let fields = [("source", "nobody"), ("dry_run", "1")];
    let (_, page) = begun(&mut browser, &host, "/events/replay", &fields).await;
    has(&page, "Nothing fits: no event would be replayed.");
    lacks(&page, "Replay them…");

    // Nothing in quarantine is genuine.
    host.send("github", &[("x-github-event", "push")], "{}")
        .await;
    eventually("the request is in quarantine", async || {
        (!host.items("quarantine").await.is_empty()).then_some(())
    })
    .await;
    let reason = host.items("quarantine").await[0]["reason"]["code"].clone();
    let reason = reason.as_str().unwrap();
    let asked = format!("/quarantine/release?source=github&reason={reason}");
    let page = browser.get(&asked).await.text();
    has(&page, &format!("name=\"reason\" value=\"{reason}\""));
    let fields = [("source", "github"), ("reason", reason), ("dry_run", "1")];
    let (_, page) = begun(&mut browser, &host, &asked, &fields).await;
    has(&page, "Nothing fits: no request would be released.");
    has(&page, &format!("to source github refused for {reason}"));
    has(&page, "stay in quarantine");

    // Without proof it is begun elsewhere, over the same.
    let filter = json!({ "source": "github", "reason": reason });
    let wish = json!({ "filter": filter, "force": true, "dry_run": true });
    let path = "/api/v1/quarantine/release";
    let answer = host.ask(Method::POST, path, &wish.to_string()).await;
    let id = answer.json()["operation_id"].as_str().unwrap().to_owned();
    let command = format!("release --force --reason {reason} --source github</code>");
    eventually("it is counted, and the command shown", async || {
        let page = browser.get(&format!("/operations/{id}")).await.text();
        page.contains(&command).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_says_what_it_is_over_and_who_began_it() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "ok" })).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let since = run["created_at"].as_str().unwrap();
    let fields = [("plugin", "misbehave"), ("since", since)];
    let (address, _) = begun(&mut browser, &host, "/events/replay", &fields).await;
    let operation = host.get(address.strip_prefix('/').unwrap()).await;
    assert_eq!(
        (
            &operation["dry_run"],
            &operation["filter"],
            &operation["plugin"],
            &operation["forced"],
            &operation["created_by"]
        ),
        (
            &json!(false),
            &json!({ "since": since }),
            &json!("misbehave"),
            &json!(false),
            &json!("bootstrap")
        ),
        "{operation}"
    );
    let page = browser.get(&address).await.text();
    has(&page, "href=\"/runs?plugin=misbehave&#38;since=");
    has(&page, "href=\"/events?since=");

    // What is over is not ended; its page says so.
    let page = browser.get(&address).await;
    let fields = [("back", address.as_str())];
    let cancel = format!("{address}/cancel");
    let answer = browser.submit(&page, &cancel, &fields).await;
    assert_eq!(answer.header("location"), address);
    has(
        &browser.get(&address).await.text(),
        "is over: it is succeeded",
    );
}
