//! What the document says of each body is what is taken.

use reqwest::Method;

use super::values::{TAKEN, Values, filled_with_known, validator};
use super::{CONFIG, document};
use crate::harness::Host;

/// Bodies of each path that has one in JSON: those that fit, and those that do not.
const BODIES: [(&str, Values); 8] = [
    (
        "/events/replay",
        (
            &[
                r#"{"filter": {}}"#,
                r#"{"filter": {"kind": "a.*", "since": 1700000000}, "plugin": null, "dry_run": true}"#,
                r#"{"filter": {"since": -5.0, "until": "99999999999"}}"#,
                r#"{"filter": {"source": "a", "until": "2026-11-22T01:30:00Z"}, "plugin": "nobody"}"#,
            ],
            &[
                "{}",
                "null",
                r#"{"filter": null}"#,
                r#"{"filter": {"source": 5}}"#,
                r#"{"filter": {"source": null}}"#,
                r#"{"filter": {"source": ""}}"#,
                r#"{"filter": {"kind": "**.a"}}"#,
                r#"{"filter": {"since": 1.5}}"#,
                r#"{"filter": {"since": true}}"#,
                r#"{"filter": {"since": -10000000000}}"#,
                r#"{"filter": {"until": 100000000000}}"#,
                r#"{"filter": {"sorce": "a"}}"#,
                r#"{"filter": {"limit": "5"}}"#,
                r#"{"filter": {}, "dry_run": null}"#,
                r#"{"filter": {}, "more": 1}"#,
            ],
        ),
    ),
    (
        "/runs/retry",
        (
            &[
                r#"{"filter": {"state": "dead", "event": "01890000-0000-7000-8000-00000000000a"}}"#,
                r#"{"filter": {"state": "waiting", "plugin": "nobody"}}"#,
            ],
            &[
                "null",
                r#"{"filter": {"state": "ready"}}"#,
                r#"{"filter": {"event": "nonsense"}}"#,
                r#"{"filter": {"source": "a"}}"#,
                r#"{"filter": {}, "plugin": "misbehave"}"#,
            ],
        ),
    ),
    (
        "/quarantine/release",
        (
            &[r#"{"filter": {"reason": "wrong_signature", "since": 0}, "force": true}"#],
            &[
                r#"{"filter": {"kind": "a"}}"#,
                r#"{"filter": {}, "force": null}"#,
            ],
        ),
    ),
    (
        "/quarantine/{id}/release",
        (
            &["null", "{}", r#"{"force": true}"#],
            &[r#"{"force": null}"#, r#"{"forced": true}"#],
        ),
    ),
    (
        "/events/{id}/replay",
        (
            &["null", "{}", r#"{"plugin": "nobody"}"#],
            &[r#"{"plugin": 5}"#, r#"{"plugins": "a"}"#],
        ),
    ),
    (
        "/plugins/{name}/rollback",
        (
            &[
                "null",
                r#"{"digest": null}"#,
                r#"{"digest": "ABababababababababababababababababababababababababababababababab"}"#,
            ],
            &[r#"{"digest": 5}"#, r#"{"version": "1"}"#],
        ),
    ),
    (
        "/sources/{name}/samples",
        (
            &["null", r#"{"kind": "x", "body": "{}"}"#],
            &[r#"{"kind": 5}"#, r#"{"bodies": ""}"#],
        ),
    ),
    (
        "/tokens",
        (
            &[
                r#"{"name": "a", "scope": "read"}"#,
                r#"{"name": "a-b", "scope": "operate", "expires_at": null}"#,
                r#"{"name": "bootstrap2", "scope": "admin", "expires_at": "2999-01-01T00:00:00+01:00"}"#,
                r#"{"name": "0", "scope": "read", "expires_at": "99999999999"}"#,
            ],
            &[
                "null",
                r#"{"name": "bootstrap", "scope": "read"}"#,
                r#"{"name": "A", "scope": "read"}"#,
                r#"{"name": "b", "scope": "root"}"#,
                r#"{"name": "b"}"#,
                r#"{"name": "b", "scope": "read", "expires_at": "2999-01-01"}"#,
                r#"{"name": "b", "scope": "read", "expires_at": 99999999999}"#,
                r#"{"name": "b", "scope": "read", "more": 1}"#,
            ],
        ),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_body_is_taken_as_the_document_says() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let document = document(&host).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let content = &item["post"]["requestBody"]["content"];
        let schema = &content["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let validator = validator(&document, schema);
        let known = BODIES
            .iter()
            .find(|(tail, _)| path == &format!("/api/v1{tail}"));
        let (_, (fitting, others)) = known.unwrap_or_else(|| panic!("no bodies of {path}"));
        let is_valid = |body: &str| validator.is_valid(&serde_json::from_str(body).unwrap());
        let target = filled_with_known(path);
        for body in *fitting {
            assert!(is_valid(body), "{path}: {body}: {schema}");
            let answer = host.ask(Method::POST, &target, body).await;
            let is_taken = TAKEN.contains(&answer.status);
            assert!(is_taken, "{path}: {body}: {}", answer.text());
        }
        for body in others.iter().copied().chain(["[]", "\"x\"", "5", "true"]) {
            assert!(!is_valid(body), "{path}: {body}: {schema}");
            let answer = host.ask(Method::POST, &target, body).await;
            assert_eq!(answer.status, 400, "{path}: {body}: {}", answer.text());
        }
    }
}
