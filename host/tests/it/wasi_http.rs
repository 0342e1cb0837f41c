//! Plugins that send requests by `wasi:http`: the same grants, limits, scrubbing, metrics and
//! journal as for those that ask for `http` of the contract.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method as HttpMethod, Uri};
use hookbay::clock::Clock;
use hookbay::config::Maxima;
use hookbay::plugin::{JournalFile, PluginHost};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::components;
use crate::harness::{Host, eventually, outcomes};

const SECRET: &str = "hunter2/hunter2";

/// A server that answers with what it was sent.
async fn echo(serving: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = async move |method: HttpMethod, uri: Uri, headers: HeaderMap, body: String| {
        if uri.path() == "/slow" {
            std::future::pending::<()>().await;
        }
        let header = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap());
        // Whatever a client can unpack: a packed answer could not be searched for secrets.
        assert_eq!(header("accept-encoding"), "identity");
        let (more, length) = (
            header("x-more").to_owned(),
            header("content-length").to_owned(),
        );
        let seen = format!("{method} {uri} more={more} length={length} body={body} {SECRET}");
        ([("x-echo", "echoed")], seen)
    };
    serving.spawn(async move {
        let router = Router::new().fallback(echo);
        axum::serve(listener, router).await.unwrap();
    });
    address
}

async fn host(address: SocketAddr) -> Host {
    let config = format!(
        r#"
        [sources.wasi-caller]
        provider = "none"
        [plugins.wasi-caller]
        retry = {{ attempts = 1 }}
        limits = {{ wall = "30s", cpu = "2s" }}
        journal = "all"
        http.api = {{ origin = "http://{address}", private = true }}
        http.outside = {{ origin = "https://{address}" }}
        secrets.TOKEN = "{SECRET}"
        "#
    );
    Host::start(&config, &["wasi-caller"]).await
}

async fn run(host: &Host, call: &Value) -> Value {
    let event = host
        .send("wasi-caller", &[], call.to_string())
        .await
        .event();
    let run = host.finished(&event).await;
    host.get(&format!("runs/{}", run["id"].as_str().unwrap()))
        .await
}

fn api(address: SocketAddr, more: Value) -> Value {
    let mut call = json!({ "http": true, "authority": address.to_string() });
    for (key, value) in more.as_object().unwrap() {
        call[key] = value.clone();
    }
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_granted_origins_and_are_repeated_from_their_journal() {
    let mut serving = JoinSet::new();
    let address = echo(&mut serving).await;
    let host = host(address).await;
    let mut journals = Vec::new();
    for (call, seen) in [
        (json!({}), "GET / more= length= body= [secret TOKEN]"),
        (
            json!({ "path": "/a?b=c" }),
            "GET /a?b=c more= length= body= [secret TOKEN]",
        ),
        (
            json!({ "method": "POST", "path": "/a", "body": "some text", "headers": [["X-More", "1"]] }),
            "POST /a more=1 length=9 body=some text [secret TOKEN]",
        ),
        (
            json!({ "method": "PUT", "body": "text", "times": 2,
                    "headers": [["Content-Length", "8"], ["Accept-Encoding", "gzip, br"]] }),
            "PUT / more= length=8 body=texttext [secret TOKEN]",
        ),
        (
            json!({ "method": "POST", "body": "", "requests": 3 }),
            "POST / more= length= body= [secret TOKEN]",
        ),
        (
            json!({ "what": "ask_early", "method": "POST", "body": "x" }),
            "POST / more= length=1 body=x [secret TOKEN]",
        ),
        (
            json!({ "what": "ask_twice", "method": "PATCH" }),
            "PATCH / more= length= body= [secret TOKEN]",
        ),
    ] {
        let call = api(address, call);
        let run = run(&host, &call).await;
        assert_eq!(run["state"], "succeeded", "{call}: {run}");
        assert_eq!(run["summary"], format!("200 {seen}"), "{call}");
        let headers = run["data"]["headers"].as_array().unwrap();
        assert!(
            headers.contains(&json!(["x-echo", "echoed"])),
            "{headers:?}"
        );
        assert!(run["attempts"][0]["egress_bytes"].as_u64().unwrap() > 0);
        assert!(!run.to_string().contains(SECRET));
        let path = format!(
            "/api/v1/runs/{}/attempts/1/journal",
            run["id"].as_str().unwrap()
        );
        let journal = host.ask(Method::GET, &path, "").await.json();
        let calls = journal["journal"]["calls"].as_array().unwrap();
        let fetch = calls
            .iter()
            .find(|call| call["call"] == "http.fetch")
            .unwrap();
        assert_eq!(fetch["request"]["endpoint"], format!("http://{address}"));
        journals.push(journal);
    }
    let line =
        "hookbay_egress_requests_total{plugin=\"wasi-caller\",endpoint=\"api\",status=\"200\"} 9";
    eventually(line, async || {
        let metrics = host.ask(Method::GET, "/metrics", "").await.text();
        metrics.contains(line).then_some(())
    })
    .await;

    drop(host.stop().await);
    serving.shutdown().await;
    are_repeated(journals).await;
}

/// Executes attempts again, of which nothing is left but their journals.
async fn are_repeated(journals: Vec<Value>) {
    let bench = PluginHost::start(Maxima::default(), Clock::system(), None).unwrap();
    let bytes = components::named("wasi-caller").0;
    let plugin = Arc::new(bench.load(&bytes.into()).await.unwrap());
    for journal in journals {
        let bytes = journal.to_string().into_bytes();
        let (file, event, recording) = JournalFile::read(&bytes).unwrap();
        let again = bench
            .rerun(Arc::clone(&plugin), Arc::new(event), recording)
            .await;
        assert_eq!(file.difference(&again), None, "{journal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn what_is_not_granted_is_denied() {
    let mut serving = JoinSet::new();
    let address = echo(&mut serving).await;
    let other = echo(&mut serving).await;
    let host = host(address).await;
    let port = address.port();
    for (call, outcome, said) in [
        (
            json!({ "http": true, "authority": other.to_string() }),
            "permanent",
            "HttpRequestDenied",
        ),
        // The grant is for `http`, and the one for `https` not for such addresses.
        (
            json!({ "authority": address.to_string() }),
            "permanent",
            "HttpRequestDenied",
        ),
        (
            json!({ "http": true, "authority": format!("localhost:{port}") }),
            "permanent",
            "HttpRequestDenied",
        ),
        (
            json!({ "http": true, "authority": format!("user@{address}") }),
            "permanent",
            "HttpRequestDenied",
        ),
        (
            json!({ "http": true, "authority": format!("{address}/x") }),
            "permanent",
            "HttpRequestDenied",
        ),
        (
            api(address, json!({ "path": "//other" })),
            "permanent",
            "InternalError",
        ),
        (
            api(address, json!({ "method": "CONNECT" })),
            "permanent",
            "InternalError",
        ),
        (
            api(address, json!({ "path": "/slow", "timeout_ms": 50 })),
            "permanent",
            "HttpResponseTimeout",
        ),
        (
            api(address, json!({ "headers": [["Host", "other"]] })),
            "permanent",
            "Host: forbidden",
        ),
        (
            api(address, json!({ "headers": [["a b", "c"]] })),
            "permanent",
            "a b: invalid",
        ),
        (
            api(address, json!({ "headers": [["a", "b\nc"]] })),
            "permanent",
            "a: invalid",
        ),
        (
            api(
                address,
                json!({ "body": "abc", "headers": [["Content-Length", "4"]] }),
            ),
            "permanent",
            "HttpRequestBodySize(Some(3))",
        ),
        (
            api(address, json!({ "what": "drop_body", "body": "abc" })),
            "permanent",
            "dropped before it was finished",
        ),
        (
            api(address, json!({ "what": "serve" })),
            "trap",
            "answer none",
        ),
        (
            api(address, json!({ "what": "hoard" })),
            "output",
            "headers",
        ),
        (
            api(address, json!({ "what": "hoard_copies" })),
            "memory",
            "8 MiB of requests and answers",
        ),
        (
            api(address, json!({ "path": format!("/{}", "a".repeat(9000)) })),
            "permanent",
            "it cannot be set",
        ),
        (
            api(address, json!({ "method": "A".repeat(1000) })),
            "permanent",
            "it cannot be set",
        ),
        (
            json!({ "http": true, "authority": "a".repeat(1000) }),
            "permanent",
            "it cannot be set",
        ),
        (
            api(address, json!({ "body": "x".repeat(65536), "times": 20 })),
            "output",
            "the body of a request",
        ),
        (
            api(address, json!({ "requests": 60 })),
            "calls",
            "more than 50 requests",
        ),
    ] {
        let run = run(&host, &call).await;
        assert_eq!(outcomes(&run), [outcome], "{call}: {}", run["error"]);
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{call}: {message}");
    }
    // The next event goes as before.
    let run = run(&host, &api(address, json!({}))).await;
    assert_eq!(run["state"], "succeeded", "{run}");
}
