//! Calls of a real plugin in a real host: granted ones, refused ones, and what can be seen
//! of the secret that went along.
//!
//! What a single call may and may not do is tested where it is decided (`plugin/egress`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{Host, eventually};

const SECRET: &str = "hunter2/hunter2";

/// A server that answers with what it was sent, and keeps it.
struct Echo {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
    _serving: JoinSet<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&requests);
        let echo = async move |uri: Uri, headers: HeaderMap, body: String| {
            let header = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap());
            let authorization = header("authorization").to_owned();
            theirs.lock().unwrap().push(json!({
                "path": uri.to_string(),
                "authorization": authorization,
                "plain": header("x-plain"),
                "key": header("idempotency-key"),
                "body": body,
            }));
            let encoded = STANDARD.encode(&authorization);
            let answer = json!({ "plain": authorization, "base64": encoded }).to_string();
            ([("x-echo", authorization)], answer)
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let router = Router::new().fallback(echo);
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            requests,
            _serving: serving,
        }
    }

    fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

/// A host whose plugin may call the server as `api`, with a secret, and as `outside`,
/// which does not cover an address like this one.
async fn start(echo: &Echo) -> Host {
    let address = echo.address;
    let config = format!(
        r#"
        [sources.caller]
        provider = "none"

        [plugins.caller]
        retry = {{ attempts = 1 }}
        limits = {{ wall = "30s" }}
        journal = "all"
        http.api = {{ origin = "http://{address}", secrets = ["TOKEN"], private = true }}
        http.outside = {{ origin = "https://{address}", secrets = ["TOKEN"] }}
        secrets.TOKEN = "{SECRET}"
        secrets.SIGNING = "signing-secret"
        "#
    );
    Host::start(&config, &["caller"]).await
}

/// The whole run of an event with this body.
async fn run(host: &Host, call: &Value) -> Value {
    let event = host.send("caller", &[], call.to_string()).await.event();
    let run = host.finished(&event).await;
    host.get(&format!("runs/{}", run["id"].as_str().unwrap()))
        .await
}

/// All that anybody gets to see of a run.
async fn all_of(host: &Host, run: &Value) -> String {
    let id = run["id"].as_str().unwrap();
    let journal = format!("/api/v1/runs/{id}/attempts/1/journal");
    let journal = host.ask(Method::GET, &journal, "").await.text();
    let state = host.items("plugins/caller/kv").await;
    format!("{run} {journal} {state:?}")
}

/// Waits until so many calls were counted under these labels.
async fn counted(host: &Host, endpoint: &str, status: &str, n: u32) {
    let line = format!(
        "hookbay_egress_requests_total{{plugin=\"caller\",endpoint=\"{endpoint}\",status=\"{status}\"}} {n}"
    );
    eventually(&line, async || {
        let metrics = host.ask(Method::GET, "/metrics", "").await.text();
        metrics.lines().any(|is| is == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_call_is_made_with_its_secret_which_nobody_sees() {
    let echo = Echo::start().await;
    let host = start(&echo).await;
    let call = json!({ "endpoint": "api", "path": "/v1?a=b", "secret": "TOKEN", "plain": "1" });
    let run = run(&host, &call).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    let expected = json!({
        "path": "/v1?a=b",
        "authorization": format!("Bearer {SECRET}"),
        "plain": "1",
        "key": format!("{}:caller", run["event_id"].as_str().unwrap()),
        "body": "a body",
    });
    assert_eq!(echo.requests(), [expected]);
    let seen = &run["data"];
    assert_eq!(seen["status"], 200);
    let body: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    // `Bearer ` in base64, up to the character that shares bits with the secret.
    let expected = json!({ "plain": "Bearer [secret TOKEN]", "base64": "QmVhcmVyI[secret TOKEN]" });
    assert_eq!(body, expected);
    let headers = seen["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-echo", "Bearer [secret TOKEN]"])));
    assert!(run["attempts"][0]["egress_bytes"].as_u64().unwrap() > 0);
    let all = all_of(&host, &run).await;
    let encoded = STANDARD.encode(format!("Bearer {SECRET}"));
    for hidden in [SECRET, "hunter2\\/hunter2", &encoded, &encoded[10..20]] {
        assert!(!all.contains(hidden), "`{hidden}` in {all}");
    }
    counted(&host, "api", "200", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_shows_no_secret() {
    let echo = Echo::start().await;
    let host = start(&echo).await;
    let call = json!({ "endpoint": "api", "path": "/", "secret": "TOKEN", "panics": true });
    let run = run(&host, &call).await;
    assert_eq!(
        (&run["state"], &run["outcome"]),
        (&json!("dead"), &json!("trap"))
    );
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("[secret TOKEN]"), "{message}");
    assert!(!all_of(&host, &run).await.contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_refused_by_name() {
    let echo = Echo::start().await;
    let host = start(&echo).await;
    let not_public = format!("`{}` is at {0}, which is not public", echo.address.ip());
    for (call, says, counted_as) in [
        (
            json!({ "endpoint": "evil", "path": "/" }),
            "no endpoint `evil` is granted",
            ("other", "denied", 1),
        ),
        (
            json!({ "endpoint": "api", "path": "/", "secret": "SIGNING" }),
            "secret `SIGNING` is not granted to this endpoint",
            ("api", "denied", 1),
        ),
        (
            json!({ "endpoint": "outside", "path": "/", "secret": "TOKEN" }),
            &not_public,
            ("outside", "denied", 1),
        ),
        (
            json!({ "endpoint": "api", "path": "//evil.example/" }),
            "which is how another host is named",
            ("api", "invalid", 1),
        ),
        (
            json!({ "endpoint": "api", "path": "/", "plain": "1\r\nhost: evil.example" }),
            "a line's end",
            ("api", "invalid", 2),
        ),
    ] {
        let run = run(&host, &call).await;
        let outcome = (&run["state"], &run["outcome"]);
        assert_eq!(outcome, (&json!("dead"), &json!("permanent")), "{run}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
        let (endpoint, status, n) = counted_as;
        counted(&host, endpoint, status, n).await;
    }
    assert_eq!(echo.requests(), [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_and_the_next_run_works() {
    let echo = Echo::start().await;
    let host = start(&echo).await;
    let flood = json!({ "endpoint": "api", "path": "/", "times": 51 });
    let flooded = run(&host, &flood).await;
    let outcome = (&flooded["state"], &flooded["outcome"]);
    assert_eq!(outcome, (&json!("dead"), &json!("calls")), "{flooded}");
    assert_eq!(echo.requests().len(), 50);
    let once = run(&host, &json!({ "endpoint": "api", "path": "/" })).await;
    assert_eq!(once["state"], "succeeded", "{once}");
}
