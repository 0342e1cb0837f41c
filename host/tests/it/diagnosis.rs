//! Why a request is not genuine: the usual accidents, each recognised, none with a word of
//! the secret or of the right signature.
//!
//! `fixtures/providers/accidents.py` makes the requests with Python's own modules.

use std::collections::BTreeMap;
use std::path::Path;

use hookbay::clock::Timestamp;
use hookbay::config::{Secret, provider};
use hookbay::event::Headers;
use hookbay::ingest::scheme::Provider;
use hookbay::ingest::scheme::key::{Credential, Keyring};
use hookbay::ingest::verify::diagnosis::{Case, explain};
use hookbay::ingest::verify::{Request, verify};
use serde::Deserialize;

use crate::harness::Folder;
use crate::program::hookbay;

/// When all of them are received.
const NOW_MS: i64 = 1_760_000_000_000;

#[derive(Deserialize)]
struct Accident {
    provider: String,
    secret: String,
    headers: BTreeMap<String, String>,
    body: String,
    url: String,
    hint: String,
}

fn accidents() -> Vec<Accident> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/providers/accidents.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What is said of it: the rejection and the hint.
fn said(accident: &Accident, siblings: &[Provider]) -> String {
    let provider = provider::named(&accident.provider).unwrap();
    let credentials = [Credential::Text(Secret::new(accident.secret.as_str()))];
    let keys = Keyring::new(&provider.secret, &credentials).unwrap();
    let pairs = accident.headers.iter();
    let headers = Headers::new(
        pairs
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect(),
    );
    let request = Request {
        method: "POST",
        url: &accident.url,
        headers: &headers,
        body: accident.body.as_bytes(),
    };
    let now = Timestamp::from_millis(NOW_MS);
    let rejection = verify(&provider.proof, &keys, &request, now).unwrap_err();
    let case = Case {
        provider: &provider,
        credentials: &credentials,
        request: &request,
        now,
    };
    format!("{rejection}\n{}", explain(&case, &rejection, siblings))
}

#[test]
fn every_accident_is_recognised() {
    let siblings: Vec<Provider> = provider::names().filter_map(provider::named).collect();
    let mut wrong = Vec::new();
    for accident in accidents() {
        let said = said(&accident, &siblings);
        if !said.contains(&accident.hint) {
            wrong.push(format!(
                "{}, not `{}`: {said}",
                accident.provider, accident.hint
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_accident_tells_what_must_not_be_told() {
    for accident in accidents() {
        let said = said(&accident, &[]);
        let secret = accident.secret.trim_matches(['"', '\n']);
        assert!(!said.contains(secret), "{said}");
        for value in accident.headers.values().filter(|value| value.len() > 20) {
            let signature = value.rsplit(['=', ',']).find(|part| part.len() > 20);
            assert!(
                !said.contains(signature.unwrap_or(value)),
                "a signature in {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_no_verdict() {
    let folder = Folder::new("", &["github-push"]).await;
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("request.json", r#"{"body": "order"}"#);
    put("empty", "\n");
    put("bad.toml", "listne = 1");
    let good = "hookbay.toml";
    for (config, words, code, why) in [
        (
            good,
            ["githbu", "--secret", "s"],
            2,
            "did you mean `github`?",
        ),
        (good, ["github", "--secret-file", "absent"], 2, "absent"),
        (good, ["github", "--secret-file", "empty"], 2, "is empty"),
        (good, ["plugin:absent", "--secret", "s"], 2, "`absent`"),
        (
            good,
            ["plugin:github-push", "--secret", "s"],
            2,
            "verifies nothing",
        ),
        ("bad.toml", ["plugin:absent", "--secret", "s"], 64, "listne"),
        (
            good,
            ["github", "--secret", "s"],
            1,
            "not genuine (missing_signature)",
        ),
    ] {
        let mut command = hookbay(&folder);
        command.args(["--config", config, "verify", "--request", "request.json"]);
        let output = command.args(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
}
