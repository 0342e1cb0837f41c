//! The dashboard without a browser: who gets in, what forms need, what pages are told to
//! browsers, and that nothing of strangers is ever a page's own text.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, TOKEN, eventually};
use crate::http::Answer;

mod access;
mod attention;
mod hiding;
mod operations;
mod pages;
mod steering;
mod waits;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"
kind_pointer = "/kind"
"#;

/// Every page that needs no id.
const PAGES: [&str; 14] = [
    "/",
    "/events",
    "/events/replay",
    "/runs",
    "/runs/retry",
    "/plugins",
    "/sources",
    "/quarantine",
    "/quarantine/release",
    "/operations",
    "/send",
    "/audit",
    "/tokens",
    "/sources/misbehave",
];

/// A browser as far as it matters here: it keeps cookies and finds the form's token.
struct Browser<'a> {
    host: &'a Host,
    cookies: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    fn new(host: &'a Host) -> Self {
        Self {
            host,
            cookies: Vec::new(),
        }
    }

    /// One that has signed in.
    async fn signed_in(host: &'a Host, token: &str) -> Self {
        let mut browser = Self::new(host);
        let page = browser.get("/login").await;
        let answer = browser
            .submit(&page, "/login", &[("token", token), ("next", "/")])
            .await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"));
        browser
    }

    /// Its cookies, as it sends them.
    fn kept(&self) -> String {
        let one = |(name, value): &(String, String)| format!("{name}={value}");
        let kept: Vec<String> = self.cookies.iter().map(one).collect();
        kept.join("; ")
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// Sends the form of a page, as its button would.
    async fn submit(&mut self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = form_token(page);
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("form_token", &token).extend_pairs(fields);
        self.ask(Method::POST, path, &[], &form.finish()).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let kept = self.kept();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        if !kept.is_empty() {
            all.push(("cookie", &kept));
        }
        all.extend(headers);
        let answer = self.host.ask_as(method, path, &all, body).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.contains("; HttpOnly; SameSite=Strict") && cookie.contains("Path=/;"),
                "{cookie}"
            );
            let (name, rest) = cookie.split_once('=').unwrap();
            let (value, _) = rest.split_once(';').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }
}

fn form_token(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text
        .split_once("name=\"form_token\" value=\"")
        .unwrap_or_else(|| panic!("no form: {text}"));
    rest.split_once('"').unwrap().0.to_owned()
}

async fn new_token(host: &Host, name: &str, scope: &str) -> String {
    let wanted = json!({ "name": name, "scope": scope }).to_string();
    let answer = host.ask(Method::POST, "/api/v1/tokens", &wanted).await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_a_token() {
    let host = Host::start(CONFIG, &[]).await;
    let mut stranger = Browser::new(&host);
    for page in PAGES {
        let answer = stranger.get(page).await;
        assert_eq!(answer.status, 303, "{page}");
        assert!(answer.header("location").starts_with("/login"), "{page}");
        assert!(answer.body.is_empty(), "{page}");
    }
    let page = stranger.get("/login?next=%2Fruns").await;
    assert_eq!(page.status, 200);
    for wrong in ["", "wrong", "token-for-test"] {
        let answer = stranger.submit(&page, "/login", &[("token", wrong)]).await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(stranger.get("/").await.status, 303);
    // Where it leads afterwards is a page of ours, whatever the form says.
    for (next, to) in [
        ("/runs", "/runs"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let mut browser = Browser::new(&host);
        let page = browser.get("/login").await;
        let fields = [("token", TOKEN), ("next", next)];
        let answer = browser.submit(&page, "/login", &fields).await;
        assert_eq!((answer.status, answer.header("location")), (303, to));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_sees_every_page_and_nobody_else_is_told_of_it() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), value, "{path}: {name}");
        }
        // What the policy would not let through must not be there.
        for forbidden in [
            " style=",
            " onclick=",
            "<style",
            "javascript:",
            "http://127",
        ] {
            let is_address = forbidden == "http://127" && path.starts_with("/sources");
            assert!(
                is_address || !page.text().contains(forbidden),
                "{path}: {forbidden}"
            );
        }
    }
    // What the API tells of itself is open to whoever is signed in, the API is not.
    assert_eq!(browser.get("/metrics").await.status, 200);
    assert_eq!(browser.get("/api/v1/events").await.status, 401);
    // Out again: the cookie that the browser now has is worth nothing.
    let page = browser.get("/").await;
    let answer = browser.submit(&page, "/logout", &[]).await;
    assert_eq!(answer.header("location"), "/login");
    assert_eq!(browser.get("/").await.status, 303);
    assert_eq!(browser.get("/metrics").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_taken_from_its_own_page_only() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let mut other = Browser::signed_in(&host, TOKEN).await;
    let (page, others) = (browser.get("/plugins").await, other.get("/plugins").await);
    let pause = "/plugins/misbehave/pause";
    let state = async || host.get("plugins/misbehave").await["state"].clone();

    assert_eq!(browser.submit(&others, pause, &[]).await.status, 403);
    assert_eq!(browser.ask(Method::POST, pause, &[], "").await.status, 403);
    let form = format!("form_token={}", form_token(&page));
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let answer = browser.ask(Method::POST, pause, &[foreign], &form).await;
        assert_eq!(answer.status, 403, "{foreign:?}");
    }
    // A button is no address: looking at it does nothing.
    assert_eq!(browser.get(pause).await.status, 405);
    assert_eq!(state().await, "active");

    let own = [("sec-fetch-site", "same-origin")];
    let answer = browser.ask(Method::POST, pause, &own, &form).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/plugins/misbehave")
    );
    eventually("the plugin is paused", async || {
        (state().await == "paused").then_some(())
    })
    .await;
    // What came of it is told once.
    let told = "Paused: its runs wait.";
    assert!(browser.get("/plugins").await.text().contains(told));
    assert!(!browser.get("/plugins").await.text().contains(told));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_token_may_do_as_much_as_it_may_elsewhere_and_its_session_ends_with_it() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let text = new_token(&host, "looker", "read").await;
    let mut looker = Browser::signed_in(&host, &text).await;
    let page = looker.get("/plugins/misbehave").await;
    assert!(!page.text().contains("/pause"), "{}", page.text());
    // Nor by a form that was made elsewhere.
    let answer = looker.submit(&page, "/plugins/misbehave/pause", &[]).await;
    assert_eq!(answer.status, 303);
    let told = looker.get("/plugins").await.text();
    assert!(told.contains("needs scope `operate`"), "{told}");
    assert_eq!(host.get("plugins/misbehave").await["state"], "active");

    let text = new_token(&host, "operator", "operate").await;
    let mut operator = Browser::signed_in(&host, &text).await;
    let page = operator.get("/plugins/misbehave").await;
    operator
        .submit(&page, "/plugins/misbehave/pause", &[])
        .await;
    let audit = host.items("audit").await;
    let pauses: Vec<&Value> = audit
        .iter()
        .filter(|change| change["action"] == "plugins.pause")
        .collect();
    assert_eq!(
        pauses
            .iter()
            .map(|change| &change["token"])
            .collect::<Vec<_>>(),
        ["operator", "looker"]
    );
    assert!(pauses[0]["remote_addr"].is_string(), "{}", pauses[0]);

    let gone = host
        .ask(Method::DELETE, "/api/v1/tokens/operator", "")
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(operator.get("/plugins").await.status, 303);
    // Another of its name is another.
    new_token(&host, "operator", "admin").await;
    assert_eq!(operator.get("/plugins").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_text_on_every_page() {
    const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let body = json!({ "kind": EVIL, "do": EVIL }).to_string();
    let headers = [("x-evil", EVIL)];
    let event = host.send("misbehave", &headers, body.clone()).await.event();
    let run = host.only_run(&event).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let event = format!("/events/{event}");
    let run = format!("/runs/{run}");
    for path in ["/", "/events", "/runs", &event, &run] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        assert!(!text.contains("<script>alert"), "{path}: {text}");
        assert!(!text.contains("<img"), "{path}: {text}");
    }
    assert!(browser.get(&event).await.text().contains("alert(1)"));
    // The body is the sender's, byte for byte, and no page.
    let answer = browser.get(&format!("{event}/body")).await;
    assert_eq!(answer.text(), body);
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert!(
        answer
            .header("content-disposition")
            .starts_with("attachment")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_known_by_their_digest() {
    let host = Host::start(CONFIG, &[]).await;
    let mut browser = Browser::new(&host);
    for file in ["hookbay.css", "hookbay.js", "json.js", "icon.svg"] {
        let path = format!("/assets/{file}");
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200, "{file}");
        let tag = answer.header("etag").to_owned();
        let again = browser
            .ask(Method::GET, &path, &[("if-none-match", &tag)], "")
            .await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{file}");
    }
    assert_eq!(browser.get("/assets/..%2Fsecret").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_signed_and_taken_like_any_webhook() {
    const GITHUB: &str = r#"
[sources.github]
provider = "github"
secret = "what github signs with"
"#;
    let host = Host::start(GITHUB, &["github-push"]).await;
    let mut browser = Browser::signed_in(&host, TOKEN).await;
    let page = browser.get("/send?source=github&kind=push").await;
    assert!(page.text().contains("octo-labs/harbor"), "{}", page.text());
    let samples = host.items("sources/github/samples").await;
    let push = samples.iter().find(|sample| sample["kind"] == "push");
    let body = push.unwrap()["body"].as_str().unwrap();
    // As a browser writes the ends of lines.
    let typed = body.replace('\n', "\r\n");
    let fields = [("source", "github"), ("kind", "push"), ("body", &typed)];
    let answer = browser.submit(&page, "/send", &fields).await;
    let event = answer.header("location").strip_prefix("/events/").unwrap();
    let run = host.finished(event).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(host.get(&format!("events/{event}")).await["kind"], "push");

    // What the host does not take is said as it is.
    let fields = [("source", "github"), ("kind", "push"), ("body", "{")];
    let answer = browser.submit(&page, "/send", &fields).await;
    assert_eq!(answer.header("location"), "/send?source=github&kind=push");
    let told = browser.get("/send?source=github").await.text();
    assert!(told.contains("The host answered 400"), "{told}");
    let fields = [("source", "nobody"), ("body", "{}")];
    browser.submit(&page, "/send", &fields).await;
    let told = browser.get("/send").await.text();
    assert!(told.contains("There is no source `nobody`"), "{told}");

    let text = new_token(&host, "looker", "read").await;
    let mut looker = Browser::signed_in(&host, &text).await;
    let page = looker.get("/send?source=github&kind=push").await;
    let fields = [("source", "github"), ("kind", "push"), ("body", body)];
    looker.submit(&page, "/send", &fields).await;
    assert_eq!(host.items("events").await.len(), 1);
}
