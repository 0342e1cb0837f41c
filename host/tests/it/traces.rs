//! Traces: what a collector gets of one webhook, and that nothing waits for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, Uri};
use hookbay::config::{Config, Environment, Overrides};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{Host, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A collector, and a service that a plugin calls.
struct Outside {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, HeaderMap, String)>>>,
    _serving: JoinSet<()>,
}

impl Outside {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&asked);
        let answer = async move |uri: Uri, headers: HeaderMap, body: String| {
            ours.lock().unwrap().push((uri.to_string(), headers, body));
            "{}"
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let router = Router::new().fallback(answer);
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            asked,
            _serving: serving,
        }
    }

    fn at(&self, path: &str) -> Vec<(HeaderMap, String)> {
        let asked = self.asked.lock().unwrap();
        let fitting = asked.iter().filter(|(uri, _, _)| uri == path);
        fitting
            .map(|(_, headers, body)| (headers.clone(), body.clone()))
            .collect()
    }

    /// The spans that came so far.
    fn spans(&self) -> Vec<Value> {
        let mut spans = Vec::new();
        for (_, body) in self.at("/collector/v1/traces") {
            let body: Value = serde_json::from_str(&body).unwrap();
            let resource = &body["resourceSpans"][0];
            let name = &resource["resource"]["attributes"][0];
            assert_eq!(name["value"]["stringValue"], "shop-hooks");
            let scope = &resource["scopeSpans"][0]["spans"];
            spans.extend(scope.as_array().unwrap().clone());
        }
        spans
    }

    async fn span(&self, name: &str) -> Value {
        eventually(&format!("the span `{name}` comes"), async || {
            self.spans().into_iter().find(|span| span["name"] == name)
        })
        .await
    }

    fn toml(&self, propagate: bool) -> String {
        let address = self.address;
        format!(
            r#"
            [otlp]
            endpoint = "http://{address}/collector/"
            authorization = "Bearer for-the-collector"
            service_name = "shop-hooks"
            propagate = {propagate}

            [sources.caller]
            provider = "none"
            kind_header = "x-kind"

            [plugins.caller]
            retry = {{ attempts = 1 }}
            http.api = {{ origin = "http://{address}", private = true }}
            "#
        )
    }
}

fn attribute<'s>(span: &'s Value, key: &str) -> &'s Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(&Value::Null, |found| &found["value"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_its_run_and_its_call_are_one_trace() {
    let outside = Outside::start().await;
    let host = Host::start(&outside.toml(true), &["caller"]).await;
    let call = json!({ "endpoint": "api", "path": "/things" }).to_string();
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("x-kind", "thing.made"),
    ];
    let event = host.send("caller", &headers, call.clone()).await.event();
    assert_eq!(host.finished(&event).await["state"], "succeeded");
    let webhook = outside.span("webhook caller").await;
    let run = outside.span("run caller").await;
    let request = outside.span("POST api").await;
    for (span, parent, kind) in [
        (&webhook, &json!(SPAN), 2),
        (&run, &webhook["spanId"], 5),
        (&request, &run["spanId"], 3),
    ] {
        assert_eq!(span["traceId"], TRACE, "{span}");
        assert_eq!(&span["parentSpanId"], parent, "{span}");
        assert_eq!(span["kind"], kind, "{span}");
        assert!(span["status"].is_null(), "{span}");
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(
            time("startTimeUnixNano") <= time("endTimeUnixNano"),
            "{span}"
        );
    }
    assert_eq!(
        attribute(&webhook, "hookbay.event.id")["stringValue"],
        *event
    );
    assert_eq!(
        attribute(&webhook, "http.response.status_code")["intValue"],
        "202"
    );
    assert_eq!(
        attribute(&run, "hookbay.outcome")["stringValue"],
        "succeeded"
    );
    assert_eq!(attribute(&run, "hookbay.kind")["stringValue"], "thing.made");
    assert_eq!(
        attribute(&request, "http.response.status_code")["intValue"],
        "200"
    );
    let (headers, _) = outside.at("/things").remove(0);
    let carried = headers["traceparent"].to_str().unwrap().to_owned();
    let span = request["spanId"].as_str().unwrap();
    assert_eq!(carried, format!("00-{TRACE}-{span}-01"));
    let (headers, _) = outside.at("/collector/v1/traces").remove(0);
    assert_eq!(headers["authorization"], "Bearer for-the-collector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_its_own_ends_at_the_host() {
    let outside = Outside::start().await;
    let host = Host::start(&outside.toml(false), &["caller"]).await;
    let call = json!({ "endpoint": "nothing", "path": "/" }).to_string();
    let headers = [("traceparent", "00-nonsense")];
    let event = host.send("caller", &headers, call).await.event();
    host.finished(&event).await;
    let refused = host
        .send("caller", &[("content-type", "application/json")], "")
        .await;
    assert_eq!(refused.status / 100, 2, "{}", refused.text());
    let webhook = outside.span("webhook caller").await;
    assert_eq!(webhook["traceId"], event.replace('-', ""));
    assert!(webhook["parentSpanId"].is_null());
    let run = outside.span("run caller").await;
    assert_eq!(run["status"]["code"], 2, "{run}");
    let request = outside.span("POST nothing").await;
    assert_eq!(attribute(&request, "error.type")["stringValue"], "denied");
    // What waits is sent before the host ends.
    host.send(
        "caller",
        &[],
        json!({ "endpoint": "api", "path": "/last" }).to_string(),
    )
    .await;
    eventually("the last call is made", async || {
        outside.at("/last").pop().map(|(headers, _)| {
            assert!(!headers.contains_key("traceparent"));
        })
    })
    .await;
    host.stop().await;
    let spans = outside.spans();
    assert!(
        spans.iter().any(|span| span["name"] == "POST api"),
        "{spans:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_collector_that_is_away() {
    // Nobody listens there.
    let toml = r#"
        otlp.endpoint = "http://127.0.0.1:9"
        [sources.misbehave]
        provider = "none"
    "#;
    let host = Host::start(toml, &["misbehave"]).await;
    for _ in 0..20 {
        let run = host.told(&json!({ "do": "ok" })).await;
        assert_eq!(run["state"], "succeeded");
    }
    host.stop().await;
}

#[test]
fn what_is_no_collector_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    for (otlp, expected) in [
        ("endpoint = 'http://127.0.0.1:4318'", ""),
        ("endpoint = 'https://collector.example/otlp'", ""),
        ("", "otlp.endpoint: is missing"),
        (
            "endpoint = 'collector'",
            "otlp.endpoint: must be an address",
        ),
        (
            "endpoint = 'https://u:p@a.example'",
            "otlp.endpoint: must be an address",
        ),
        (
            "endpoint = 'grpc://a.example'",
            "otlp.endpoint: must be an address",
        ),
        (
            "endpoint = 'http://a.example'\nprotocol = 'grpc'",
            "otlp.protocol: unknown key",
        ),
    ] {
        std::fs::write(&file, format!("[otlp]\n{otlp}\n")).unwrap();
        let read = Config::load_with(Some(&file), &Overrides::default(), &Environment::default());
        let said = read.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(
            said.contains(expected) && said.is_empty() == expected.is_empty(),
            "{otlp}: {said}"
        );
    }
}
