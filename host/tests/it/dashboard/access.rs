//! Who gets in, how long, and what only administrators see.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, form_token, new_token};
use crate::harness::{Host, TOKEN};
use crate::stream::Follower;

const CONFIG: &str = "[sources.noop]\nprovider = \"none\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_has_signed_out_is_out_also_with_a_cookie_that_was_kept() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let mut thief = Browser::new(&host);
    thief.cookies = browser.cookies.clone();
    let mut elsewhere = Browser::signed_in(&host, TOKEN).await;
    assert_eq!(thief.get("/").await.status, 200);
    thief.cookies = browser.cookies.clone();
    let page = browser.get("/").await;
    browser.submit(&page, "/logout", &[]).await;
    assert_eq!(thief.get("/").await.status, 303);
    assert_eq!(elsewhere.get("/").await.status, 200, "another session");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_makes_another_session_than_the_one_before() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::new(&host);
    let page = browser.get("/login").await;
    let planted = browser.cookies.clone();
    browser.submit(&page, "/login", &[("token", TOKEN)]).await;
    assert_ne!(browser.cookies, planted);
    let mut planter = Browser::new(&host);
    planter.cookies = planted;
    assert_eq!(planter.get("/").await.status, 303);
    // A form of the page before signing in is of that session.
    let form = format!("form_token={}", form_token(&page));
    let answer = browser
        .ask(Method::POST, "/plugins/rescan", &[], &form)
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_of_a_session_that_is_over_leads_to_signing_in_and_then_to_a_page() {
    let host = Host::start(CONFIG, &[]).await;
    let text = new_token(&host, "short", "operate").await;
    let mut browser = Browser::signed_in(&host, &text).await;
    let page = browser.get("/plugins").await;
    host.ask(Method::DELETE, "/api/v1/tokens/short", "").await;
    let answer = browser.submit(&page, "/plugins/rescan", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    let answer = browser.get("/plugins").await;
    assert_eq!(answer.header("location"), "/login?next=%2Fplugins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_shown_in_one_answer_and_revoked() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/tokens").await;
    let fields = [("name", "ci"), ("scope", "read"), ("days", "30")];
    let answer = browser.submit(&page, "/tokens", &fields).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    let text = answer.text();
    let (_, rest) = text.split_once("hookbay_").unwrap();
    let token = format!("hookbay_{}", rest.split_once('<').unwrap().0);
    let bearer = format!("Bearer {token}");
    let good = async || {
        let headers = [("authorization", bearer.as_str())];
        let answer = host.ask_as(Method::GET, "/api/v1/events", &headers, "");
        answer.await.status
    };
    assert_eq!(good().await, 200);
    let made = &host.items("tokens").await[0];
    assert_eq!(
        (
            &made["name"],
            &made["scope"],
            made["expires_at"].is_string()
        ),
        (&json!("ci"), &json!("read"), true)
    );
    // Nowhere again: not in a page, nor in a cookie.
    assert!(!browser.get("/tokens").await.text().contains(&token));
    assert!(
        browser
            .cookies
            .iter()
            .all(|(_, value)| !value.contains(&token))
    );
    // What cannot be made is said, and what was filled in is there still.
    for (name, status, told) in [
        ("ci", 409, "There is a token `ci`"),
        ("NO", 400, "cannot be a token&#39;s name"),
    ] {
        let fields = [("name", name), ("scope", "operate")];
        let answer = browser.submit(&page, "/tokens", &fields).await;
        assert_eq!(answer.status, status);
        let text = answer.text();
        assert!(text.contains(told), "{text}");
        assert!(text.contains(&format!("value=\"{name}\"")), "{text}");
    }
    let answer = browser.submit(&page, "/tokens/ci/revoke", &[]).await;
    assert_eq!(answer.header("location"), "/tokens");
    assert_eq!(good().await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_the_audit_log_are_for_administrators_alone() {
    let host = Host::start(CONFIG, &[]).await;
    for scope in ["read", "operate"] {
        let text = new_token(&host, scope, scope).await;
        let mut browser = Browser::signed_in(&host, &text).await;
        let page = browser.get("/").await;
        for hidden in ["href=\"/tokens\"", "href=\"/audit\""] {
            assert!(!page.text().contains(hidden), "{scope}: {hidden}");
        }
        for path in ["/tokens", "/audit"] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, 403, "{scope}: {path}");
            let told = answer.text();
            assert!(told.contains("this needs scope `admin`"), "{told}");
            assert!(!told.contains("operate</td>"), "{told}");
        }
        let fields = [("name", "more"), ("scope", "admin")];
        let answer = browser.submit(&page, "/tokens", &fields).await;
        assert_eq!(answer.status, 403, "{scope}");
        browser.submit(&page, "/tokens/read/revoke", &[]).await;
        let answer = browser
            .submit(&page, "/sources/noop/forget-secret", &[])
            .await;
        assert_eq!(answer.status, 303);
    }
    let names: Vec<Value> = host.items("tokens").await;
    let names: Vec<&Value> = names.iter().map(|token| &token["name"]).collect();
    assert_eq!(names, ["operate", "read"]);
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let log = browser.get("/audit?action=tokens.create").await.text();
    assert_eq!(log.matches("pill forbidden").count(), 2, "{log}");
    assert_eq!(log.matches("pill done").count(), 2, "{log}");
    let none = browser.get("/audit?token=nobody").await.text();
    assert!(none.contains("No change fits."), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_who_a_trusted_proxy_speaks_for() {
    const BEHIND: &str = "trusted_proxies = [\"127.0.0.1\"]\n";
    let host = Host::start(BEHIND, &[]).await;
    let rescan = async |host: &Host, headers: &[(&str, &str)]| {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [headers, &[("authorization", bearer.as_str())]].concat();
        let path = "/api/v1/plugins/rescan";
        let answer = host.ask_as(Method::POST, path, &headers, "").await;
        assert_eq!(answer.status, 204);
        host.items("audit").await[0]["remote_addr"].clone()
    };
    let forwarded = [("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    assert_eq!(rescan(&host, &forwarded).await, "198.51.100.7");
    assert_eq!(rescan(&host, &[]).await, "127.0.0.1");
    // By a page, too.
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/plugins").await;
    let form = format!("form_token={}", form_token(&page));
    browser
        .ask(Method::POST, "/plugins/rescan", &forwarded, &form)
        .await;
    assert_eq!(host.items("audit").await[0]["remote_addr"], "198.51.100.7");
    drop(host);

    // Nobody else is believed.
    let host = Host::start("", &[]).await;
    assert_eq!(rescan(&host, &forwarded).await, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_it_was_asked_with() {
    let host = Host::start(CONFIG, &[]).await;
    let text = new_token(&host, "screen", "read").await;
    let mut browser = Browser::signed_in(&host, &text).await;
    browser.get("/").await;
    let bearer = ("authorization", format!("Bearer {text}"));
    let cookie = ("cookie", browser.kept());
    let mut followers = [
        Follower::at(&host, "/api/v1/stream", &[bearer]).await,
        Follower::at(&host, "/stream", &[cookie]).await,
    ];
    let mut other = Follower::begin(&host, "", None).await;
    let told = host.send("noop", &[], "{}").await.event();
    for follower in followers.iter_mut().chain([&mut other]) {
        while follower.event().await["id"] != told.as_str() {}
    }
    let path = "/api/v1/tokens/screen";
    assert_eq!(host.ask(Method::DELETE, path, "").await.status, 204);
    assert_all_end(&host, &mut followers).await;
    other.event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_page_ends_when_its_browser_signs_out() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/").await;
    let cookie = ("cookie", browser.kept());
    let mut follower = Follower::at(&host, "/stream", &[cookie]).await;
    let told = host.send("noop", &[], "{}").await.event();
    while follower.event().await["id"] != told.as_str() {}
    browser.submit(&page, "/logout", &[]).await;
    assert_all_end(&host, &mut [follower]).await;
}

/// That none of these is given an event any more.
async fn assert_all_end(host: &Host, followers: &mut [Follower]) {
    host.send("noop", &[], "{}").await.event();
    for follower in followers {
        while let Some(said) = follower.next().await {
            assert_ne!(said.name, "event");
        }
    }
}
