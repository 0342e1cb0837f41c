//! What pages offer, and what they do not.

use serde_json::{Value, json};

use super::Browser;
use crate::components;
use crate::harness::{Host, TOKEN, eventually};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**", ordering_key = "/order" }]
retry = { attempts = 1 }
on_dead = "block"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_finds_is_not_offered_in_bulk() {
    let host = Host::start("", &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let bulk = "href=\"/events/replay";
    let listed = browser.get("/events?source=a").await.text();
    assert!(listed.contains(bulk), "{listed}");
    let found = browser.get("/events?source=a&q=needle").await.text();
    assert!(!found.contains(bulk), "{found}");
    assert!(found.contains("is replayed one by one"), "{found}");
    assert!(found.contains("href=\"/events?source=a\""), "{found}");
    // Nor by the page's own address: without the search it would take more.
    let button = "action=\"/events/replay\"";
    let asked = browser.get("/events/replay?source=a").await.text();
    assert!(asked.contains(button), "{asked}");
    let asked = browser.get("/events/replay?source=a&q=needle").await.text();
    assert!(!asked.contains(button), "{asked}");
    assert!(asked.contains("cannot be replayed in bulk"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_wrong_is_offered_nothing_in_bulk() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    host.told(&json!({ "do": "permanent" })).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    for (list, bulk) in [
        ("/events", "href=\"/events/replay"),
        ("/runs", "href=\"/runs/retry"),
    ] {
        let page = browser.get(list).await.text();
        assert!(page.contains(bulk), "{page}");
        for wrong in ["?since=1h", "?until=soon", "?since=1h&q=needle"] {
            let page = browser.get(&format!("{list}{wrong}")).await.text();
            assert!(page.contains("role=\"alert\""), "{page}");
            assert!(!page.contains(bulk), "{page}");
            assert!(!page.contains("Show all that these take"), "{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_runs_says_which_of_them_are_retried_and_why_others_are_not() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    host.told(&json!({ "do": "permanent" })).await;
    let succeeded = host.told(&json!({ "do": "ok" })).await;
    let event = succeeded["event_id"].as_str().unwrap();
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let bulk = "href=\"/runs/retry";
    for (list, says, is_retried, instead) in [
        ("/runs", "Retry the 1 dead run of these…", true, None),
        ("/runs?state=dead", "Retry this dead run…", true, None),
        (
            "/runs?state=succeeded&plugin=misbehave",
            "Succeeded runs are not retried.",
            false,
            None,
        ),
        (
            &format!("/runs?event={event}"),
            "None of these runs is dead.",
            false,
            Some(&*format!("href=\"/events/{event}\"")),
        ),
        ("/runs?state=ready", "No run fits.", false, None),
    ] {
        let page = browser.get(list).await.text();
        assert!(page.contains(says), "{list}: {page}");
        assert_eq!(page.contains(bulk), is_retried, "{list}: {page}");
        let is_offered = instead.is_none_or(|instead| page.contains(instead));
        assert!(is_offered, "{list}: {page}");
        // No filter of events takes just those that the runs had.
        assert!(!page.contains("href=\"/events/replay"), "{list}: {page}");
    }
    let asked = browser.get("/runs/retry").await.text();
    assert!(asked.contains("Every dead run with these marks"), "{asked}");
    let asked = browser.get("/runs/retry?state=waiting").await.text();
    assert!(asked.contains("instead of at its time"), "{asked}");

    // Who may only look is told nothing of it.
    let text = super::new_token(&host, "looker", "read").await;
    let mut looker = Browser::signed_in(&host, &text).await;
    let page = looker.get("/runs?state=succeeded").await.text();
    assert!(!page.contains("are not retried"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_that_blocks_its_key_is_cancelled_by_its_button() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let free = host.told(&json!({ "do": "permanent" })).await;
    let blocks = host.told(&json!({ "do": "permanent", "order": 1 })).await;
    let behind = host.tell(&json!({ "do": "ok", "order": 1 })).await;
    let id = |run: &Value| run["id"].as_str().unwrap().to_owned();
    assert_eq!(
        host.run_in(&behind, &["blocked"]).await["blocks_key"],
        false
    );
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    for (run, is_offered) in [(&free, false), (&blocks, true)] {
        let id = id(run);
        let run = host.get(&format!("runs/{id}")).await;
        assert_eq!(
            (&run["state"], &run["blocks_key"]),
            (&json!("dead"), &json!(is_offered))
        );
        let page = browser.get(&format!("/runs/{id}")).await.text();
        let button = format!("action=\"/runs/{id}/cancel\"");
        assert_eq!(page.contains(&button), is_offered, "{page}");
        assert_eq!(page.contains("wait behind it until"), is_offered, "{page}");
    }
    let address = format!("/runs/{}", id(&blocks));
    let page = browser.get(&address).await;
    browser
        .submit(&page, &format!("{address}/cancel"), &[])
        .await;
    assert_eq!(host.finished(&behind).await["state"], "succeeded");
    let page = browser.get(&address).await.text();
    assert!(!page.contains("wait behind it until"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_good_for_ever_by_mistake() {
    let host = Host::start("", &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/tokens").await;
    for days in ["0", "3651", "-1", "9O", "1.5", "99999999999999999999"] {
        let fields = [("name", "ci"), ("scope", "read"), ("days", days)];
        let answer = browser.submit(&page, "/tokens", &fields).await;
        let text = answer.text();
        assert_eq!(answer.status, 400, "{days}: {text}");
        let told = format!("`{days}` is not how many days a token can be good: 1 to 3650");
        assert!(text.contains(&told), "{text}");
    }
    assert!(host.items("tokens").await.is_empty());
    for (name, days, ends) in [("for-good", "", false), ("long", "3650", true)] {
        let fields = [("name", name), ("scope", "read"), ("days", days)];
        let answer = browser.submit(&page, "/tokens", &fields).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let tokens = host.items("tokens").await;
        let made = tokens.iter().find(|token| token["name"] == name).unwrap();
        assert_eq!(made["expires_at"].is_string(), ends, "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_may_be_called_as_an_address_beside_it() {
    let host = Host::start("", &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    assert_eq!(browser.get("/plugins/rescan").await.status, 404);
    host.install(&components::named("noop"), "rescan.wasm")
        .await;
    assert_eq!(host.get("plugins/rescan").await["name"], "rescan");
    let page = browser.get("/plugins/rescan").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("action=\"/plugins/rescan/pause\""));
    assert_eq!(host.post("plugins/rescan/pause").await.status, 204);
    assert_eq!(host.get("plugins/rescan").await["state"], "paused");
    // The button that looks at all of them is there still.
    let answer = browser.submit(&page, "/plugins/rescan", &[]).await;
    assert_eq!(answer.status, 303);
    host.rescan().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_is_in_the_audit_log_and_who_fails_to_does_not_fill_it() {
    let host = Host::start("", &[]).await;
    let mut stranger = Browser::new(&host);
    let page = stranger.get("/login").await;
    for _ in 0..3 {
        let answer = stranger.submit(&page, "/login", &[("token", "no")]).await;
        assert_eq!(answer.status, 401);
    }
    assert!(host.items("audit").await.is_empty());
    let text = super::new_token(&host, "on-call", "read").await;
    Browser::signed_in(&host, &text).await;
    Browser::signed_in(&host, TOKEN).await;
    let noted = host.items("audit?action=dashboard.sign_in").await;
    let of = |change: &Value| (change["token"].clone(), change["remote_addr"].clone());
    let noted: Vec<_> = noted.iter().map(of).collect();
    let from = json!("127.0.0.1");
    assert_eq!(
        noted,
        [(json!("bootstrap"), from.clone()), (json!("on-call"), from)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_retried_and_an_event_replayed_by_their_buttons() {
    let host = Host::start(super::CONFIG, &["misbehave"]).await;
    let event = host.tell(&json!({ "do": "permanent" })).await;
    let run = host.finished(&event).await;
    let id = run["id"].as_str().unwrap();
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get(&format!("/runs/{id}")).await;
    assert!(page.text().contains("asked to fail"), "{}", page.text());
    let retry = format!("/runs/{id}/retry");
    assert_eq!(browser.submit(&page, &retry, &[]).await.status, 303);
    eventually("another attempt was made", async || {
        let run = host.get(&format!("runs/{id}")).await;
        (run["attempts"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;

    let page = browser.get(&format!("/events/{event}")).await;
    let replay = format!("/events/{event}/replay");
    let answer = browser
        .submit(&page, &replay, &[("plugin", "nobody")])
        .await;
    assert_eq!(answer.header("location"), format!("/events/{event}"));
    let told = browser.get(&format!("/events/{event}")).await.text();
    assert!(told.contains("There is no plugin `nobody`"), "{told}");
    browser
        .submit(&page, &replay, &[("plugin", "misbehave")])
        .await;
    assert_eq!(host.items(&format!("runs?event={event}")).await.len(), 2);

    // A plugin that is not there is never taken for all of them.
    for (plugin, chosen) in [
        ("misbehave", "<option selected>misbehave</option>"),
        ("nobody", "<option selected>nobody</option>"),
    ] {
        let asked = format!("/events/replay?plugin={plugin}");
        let page = browser.get(&asked).await.text();
        assert!(page.contains(chosen), "{page}");
    }

    // In bulk, once for each page however often the button is pressed.
    let page = browser.get("/events/replay?source=misbehave").await;
    let fields = [("source", "misbehave"), ("key", "one-page")];
    for _ in 0..2 {
        let answer = browser.submit(&page, "/events/replay", &fields).await;
        assert_eq!(answer.header("location"), "/operations/1");
    }
    assert_eq!(host.items("operations").await.len(), 1);
    let page = browser.get("/runs/retry?state=running").await;
    let fields = [("state", "running"), ("back", "/runs/retry?state=running")];
    let answer = browser.submit(&page, "/runs/retry", &fields).await;
    assert_eq!(answer.header("location"), "/runs/retry?state=running");
}
