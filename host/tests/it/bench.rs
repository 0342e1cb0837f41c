//! `hookbay plugin run` and `inspect` as a plugin's author uses them: requests answered by
//! fixtures, with nothing sent, and what an operator has yet to grant.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::components::named;
use crate::harness::Folder;
use crate::program::hookbay;

const GRANTS: &str = r#"
[plugins.caller]
http.shop = { origin = "https://shop.example", secrets = ["TOKEN"] }
secrets.TOKEN = "a-secret-of-the-shop"
"#;

/// Runs the guest `caller` on an event and fixtures.
struct Bench(Folder);

impl Bench {
    async fn new() -> Self {
        let bench = Self(Folder::new(GRANTS, &[]).await);
        named("caller").place(bench.0.path(), "caller.wasm");
        bench
    }

    fn write(&self, name: &str, value: &Value) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, value.to_string()).unwrap();
        file
    }

    fn run(&self, call: &Value, fixtures: &Value, more: &[&str]) -> Output {
        let event =
            json!({ "provider": "none", "source": "caller", "kind": "called", "body": call });
        self.write("event.json", &event);
        self.write("fixtures.json", fixtures);
        let words = ["plugin", "run", "caller.wasm", "--event", "event.json"];
        let mut command = hookbay(&self.0);
        command.args(words).args(["--fixtures", "fixtures.json"]);
        command.args(more).output().unwrap()
    }
}

/// Exit code, stdout and stderr.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let [out, err] = [&output.stdout, &output.stderr];
    let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.code(), out, err)
}

fn fixture(more: Value) -> Value {
    let mut fixture = json!({ "endpoint": "shop", "method": "POST", "path": "/orders" });
    for (key, value) in more.as_object().unwrap() {
        fixture[key] = value.clone();
    }
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_by_fixtures() {
    let bench = Bench::new().await;
    let call = json!({ "endpoint": "shop", "path": "/orders?a=1", "plain": "text", "times": 2 });
    let fixtures = json!([
        fixture(json!({ "times": 1, "status": 503 })),
        fixture(json!({ "json": { "n": 7 } })),
    ]);
    let (code, out, err) = said(&bench.run(&call, &fixtures, &[]));
    assert_eq!(code, Some(0), "{out}{err}");
    for line in [
        "outcome   succeeded",
        "summary   {\"n\":7}",
        "requests, answered by fixtures",
        "  POST shop /orders?a=1 -> 503",
        "  POST shop /orders?a=1 -> 200",
        "    x-plain: text",
        "    idempotency-key: the run's idempotency key",
        "    a body",
        "note: the manifest does not want the endpoint `shop`, so an operator does not learn to grant it",
    ] {
        assert!(out.lines().any(|said| said == line), "{line}\n{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_named_and_never_sent() {
    let bench = Bench::new().await;
    let call = json!({ "endpoint": "shop", "path": "/orders", "secret": "TOKEN" });
    let fixtures = json!([fixture(json!({ "body": "thanks" }))]);

    // Only a configuration has a value to sign with.
    let (code, _, err) = said(&bench.run(&call, &fixtures, &[]));
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("crypto denied: no secret `TOKEN` is granted"),
        "{err}"
    );

    let config = ["--config", "hookbay.toml", "--json"];
    let (code, out, err) = said(&bench.run(&call, &fixtures, &config));
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let request = &report["requests"][0];
    assert_eq!(
        request["headers"],
        json!([["Authorization", "Bearer [secret TOKEN]"]])
    );
    assert_eq!(request["answer"], json!({ "status": 200 }));
    assert!(!out.contains("a-secret-of-the-shop"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_fixture_is_named() {
    let bench = Bench::new().await;
    let call = json!({ "endpoint": "shop", "path": "/orders/7" });
    let fixtures = json!([fixture(json!({})), fixture(json!({ "method": "GET" }))]);
    let (code, _, err) = said(&bench.run(&call, &fixtures, &[]));
    assert_eq!(code, Some(1));
    let reason =
        "no fixture answers POST shop /orders/7; there are POST shop /orders, GET shop /orders";
    assert!(err.contains(reason), "{err}");

    for (fixtures, problem) in [
        (json!({}), "fixtures.json: must be a JSON list of fixtures"),
        (
            json!([{}]),
            "fixtures.json: fixture 1: missing field `endpoint`",
        ),
    ] {
        let (code, _, err) = said(&bench.run(&call, &fixtures, &[]));
        assert_eq!(code, Some(1));
        assert!(err.contains(problem), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_contract_reach_the_plugin() {
    let bench = Bench::new().await;
    let call = json!({ "endpoint": "shop", "path": "/orders" });
    for (error, outcome) in [
        ("timeout", "retry"),
        ("unavailable", "retry"),
        ("denied", "permanent"),
    ] {
        let fixtures = json!([fixture(json!({ "error": error }))]);
        let (code, out, _) = said(&bench.run(&call, &fixtures, &["--json"]));
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["outcome"]), (Some(1), &json!(outcome)));
        assert_eq!(report["requests"][0]["answer"]["error"], error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_says_what_is_yet_to_be_granted() {
    let bench = Bench::new().await;
    named("wants-config").place(bench.0.path(), "wants-config.wasm");
    let inspect = |more: &[&str]| {
        let words = ["plugin", "inspect", "wants-config.wasm"];
        said(&hookbay(&bench.0).args(words).args(more).output().unwrap())
    };
    let (code, out, _) = inspect(&[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("verdict      this host can run it"), "{out}");

    let (code, out, _) = inspect(&["--config", "hookbay.toml"]);
    assert_eq!(code, Some(0));
    let verdict = "verdict      this host holds it until it is granted config.database_id";
    assert!(out.contains(verdict), "{out}");

    let (_, out, _) = inspect(&["--config", "hookbay.toml", "--json"]);
    let about: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(about["missing_grants"], json!(["config.database_id"]));
    assert!(about["start_memory_bytes"].as_u64() > Some(0));
}
