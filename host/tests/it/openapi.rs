//! The document of the API: it has what the host answers, and nothing else; and the page
//! over it needs nothing from anywhere else.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::harness::Host;

mod bodies;
mod values;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const CONFIG: &str = "[sources.a]\nprovider = \"none\"\n";

/// What the document says is there.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        let methods: Vec<_> = methods
            .map(|method| (path.clone(), method.clone()))
            .collect();
        methods
    };
    paths.iter().flat_map(of).collect()
}

/// A path with something in its gaps that nothing is called.
fn filled(path: &str) -> String {
    path.replace("{id}", "0")
        .replace("{name}", "nobody")
        .replace("{n}", "1")
}

async fn document(host: &Host) -> Value {
    let answer = host.ask(Method::GET, "/openapi.json", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_route_and_every_route_is_in_the_document() {
    let host = Host::start(CONFIG, &[]).await;
    let document = document(&host).await;
    let documented = operations(&document);
    assert_eq!(document.get("servers"), None);
    let paths: BTreeSet<String> = hookbay::admin::paths().into_iter().collect();
    let documented_paths = documented.iter().map(|(path, _)| path.clone());
    assert_eq!(documented_paths.collect::<BTreeSet<_>>(), paths);
    for path in &paths {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for name in METHODS {
            let method: Method = name.to_uppercase().parse().unwrap();
            if method == Method::GET && path.ends_with("/stream") {
                // It never ends; that it answers is tested with it.
                continue;
            }
            let answer = host.ask(method, &filled(path), "").await;
            let is_there = documented.contains(&(path.clone(), name.to_owned()));
            assert_eq!(
                answer.status != 405,
                is_there,
                "{name} {path}: {}",
                answer.text()
            );
            if !is_there {
                assert_eq!(answer.header("content-type"), "application/problem+json");
                assert_ne!(answer.header("allow"), "", "{name} {path}");
            }
            if answer.status >= 400 && is_there {
                let said = &document["paths"][path][name]["responses"];
                let status = answer.status.to_string();
                assert!(
                    said.get(&status).is_some(),
                    "{name} {path} answers {status}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_documented_is_looked_at_without_a_token() {
    let host = Host::start(CONFIG, &[]).await;
    for (path, method) in operations(&document(&host).await) {
        for body in ["", "{nonsense"] {
            let method: Method = method.to_uppercase().parse().unwrap();
            let target = format!("{}?nonsense=1", filled(&path));
            let answer = host.ask_as(method, &target, &[], body).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.json()["status"], 401);
        }
    }
    for path in [
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/docs.js",
        "/docs/docs.css",
    ] {
        let answer = host.ask_as(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_is_a_problem_in_json() {
    let host = Host::start(CONFIG, &[]).await;
    let json = ("content-type", "application/json");
    let text = ("content-type", "text/plain");
    let token = format!("Bearer {}", crate::harness::TOKEN);
    let large = format!("{{\"filter\": \"{}\"}}", "x".repeat(3 << 20));
    for (method, path, header, body, status) in [
        (Method::GET, "/api/v1/nothing", json, "", 404),
        (Method::GET, "/nothing", json, "", 404),
        (Method::GET, "/api/v1/events/%FF", json, "", 400),
        (Method::GET, "/api/v1/events?limit=%00", json, "", 400),
        (Method::PUT, "/api/v1/events", json, "", 405),
        (Method::POST, "/api/v1/events/replay", json, "{", 400),
        (Method::POST, "/api/v1/events/replay", json, "[]", 400),
        // Lists of what the members of the object would be.
        (
            Method::POST,
            "/api/v1/sources/a/samples",
            json,
            "[null]",
            400,
        ),
        (
            Method::POST,
            "/api/v1/tokens",
            json,
            r#" ["ci", "read", null]"#,
            400,
        ),
        (
            Method::POST,
            "/api/v1/events/replay",
            text,
            "{\"filter\": {}}",
            415,
        ),
        (
            Method::POST,
            "/api/v1/runs/retry",
            text,
            "{\"filter\": {}}",
            415,
        ),
        (Method::POST, "/api/v1/tokens", text, "{}", 415),
        (
            Method::POST,
            "/api/v1/events/replay",
            json,
            large.as_str(),
            413,
        ),
    ] {
        let headers = [("authorization", token.as_str()), header];
        let answer = host.ask_as(method, path, &headers, body).await;
        let said = answer.text();
        assert_eq!(answer.status, status, "{path}: {said}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
        assert_eq!(answer.json()["status"], status);
        assert_ne!(answer.json()["detail"], "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_all_there_is_to_it() {
    let host = Host::start(CONFIG, &[]).await;
    let redirect = host.ask(Method::GET, "/docs", "").await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (307, "docs/")
    );
    for (path, kind) in [
        ("/docs/", "text/html; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
    ] {
        let answer = host.ask(Method::GET, path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind));
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        let text = answer.text();
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{path} names another host"
        );
        for inline in [
            "<style",
            "style=",
            "onclick",
            "<script>",
            "innerHTML",
            "eval(",
        ] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
}
