//! Every provider's signatures, made by another implementation, and what spoils them.
//!
//! `fixtures/providers/generate.py` signs with Python's own modules; nothing here is signed
//! by the code under test. A case is the provider's request with some fields changed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbay::clock::Timestamp;
use hookbay::config::{Secret, provider};
use hookbay::event::Headers;
use hookbay::ingest::scheme::key::{Credential, Keyring};
use hookbay::ingest::verify::{Request, verify};
use serde::Deserialize;
use serde_json::Value;

/// A provider's request, and what spoils it.
#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) provider: String,
    method: String,
    url: String,
    headers: BTreeMap<String, Value>,
    body: String,
    secrets: Vec<Value>,
    now: i64,
    pub(crate) cases: Vec<Case>,
}

/// The same with some fields changed.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) why: String,
    /// `genuine`, or the code of the rejection.
    pub(crate) expect: String,
    /// Position of the secret that matches, from 0.
    matched: Option<usize>,
    method: Option<String>,
    url: Option<String>,
    headers: Option<BTreeMap<String, Value>>,
    body: Option<String>,
    body_base64: Option<String>,
    secrets: Option<Vec<Value>>,
    now: Option<i64>,
}

/// What a case sends, and when.
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a BTreeMap<String, Value>,
    pub(crate) body: Vec<u8>,
    pub(crate) secrets: &'a [Value],
    /// In seconds since 1970.
    pub(crate) now: i64,
}

/// Those of all providers, by name.
pub(crate) fn vectors() -> Vec<Vectors> {
    serde_json::from_str(include_str!("../fixtures/providers/vectors.json")).unwrap()
}

impl Vectors {
    pub(crate) fn sent<'a>(&'a self, case: &'a Case) -> Sent<'a> {
        Sent {
            method: case.method.as_ref().unwrap_or(&self.method),
            url: case.url.as_ref().unwrap_or(&self.url),
            headers: case.headers.as_ref().unwrap_or(&self.headers),
            body: match &case.body_base64 {
                Some(text) => STANDARD.decode(text).unwrap(),
                None => case.body.as_ref().unwrap_or(&self.body).clone().into(),
            },
            secrets: case.secrets.as_ref().unwrap_or(&self.secrets),
            now: case.now.unwrap_or(self.now),
        }
    }
}

fn credential(value: &Value) -> Credential {
    match value {
        Value::String(text) => Credential::Text(Secret::new(text.as_str())),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.clone(), credential(value));
            Credential::Named(fields.iter().map(field).collect())
        }
        other => panic!("{other} is no secret"),
    }
}

fn headers(fields: &BTreeMap<String, Value>) -> Headers {
    let mut pairs = Vec::new();
    for (name, value) in fields {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        pairs.extend(
            values
                .iter()
                .map(|value| (name.clone(), value.as_str().unwrap().into())),
        );
    }
    Headers::new(pairs)
}

/// `genuine by N`, or the code of the rejection.
fn verdict(vectors: &Vectors, case: &Case) -> String {
    let provider = provider::named(&vectors.provider).unwrap();
    let sent = vectors.sent(case);
    let credentials: Vec<Credential> = sent.secrets.iter().map(credential).collect();
    let keys = Keyring::new(&provider.secret, &credentials).unwrap();
    let request = Request {
        method: sent.method,
        url: sent.url,
        headers: &headers(sent.headers),
        body: &sent.body,
    };
    let now = Timestamp::from_millis(sent.now * 1000);
    match verify(&provider.proof, &keys, &request, now) {
        Ok(verified) => format!(
            "genuine by {}",
            verified.secret.map_or(-1, |n| i64::try_from(n).unwrap())
        ),
        Err(rejection) => rejection.code().to_owned(),
    }
}

#[test]
fn every_case_has_its_verdict() {
    let mut wrong = Vec::new();
    let mut n_cases = 0;
    for vectors in vectors() {
        for case in &vectors.cases {
            n_cases += 1;
            let expected = match (case.expect.as_str(), case.matched) {
                ("genuine", Some(position)) => format!("genuine by {position}"),
                ("genuine", None) if vectors.secrets.is_empty() => "genuine by -1".to_owned(),
                ("genuine", None) => "genuine by 0".to_owned(),
                (code, _) => code.to_owned(),
            };
            let found = verdict(&vectors, case);
            if found != expected {
                let (name, why) = (&vectors.provider, &case.why);
                wrong.push(format!("{name}, {why}: {found}, not {expected}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {n_cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_provider_has_cases() {
    let with_cases: Vec<String> = vectors()
        .into_iter()
        .map(|vectors| vectors.provider)
        .collect();
    let known: Vec<&str> = provider::names().collect();
    assert_eq!(with_cases, known);
}

/// What the proof covers cannot change in a single bit.
#[test]
fn no_changed_byte_of_a_covered_body_passes() {
    use hookbay::ingest::scheme::Coverage;
    for vectors in vectors() {
        let provider = provider::named(&vectors.provider).unwrap();
        // Forms are covered by what they say, not by how they are written.
        let is_form = vectors
            .headers
            .values()
            .any(|value| value.as_str().is_some_and(|text| text.contains("form")));
        if provider.proof.coverage() != Coverage::Body || is_form {
            continue;
        }
        let credentials: Vec<Credential> = vectors.secrets.iter().map(credential).collect();
        let keys = Keyring::new(&provider.secret, &credentials).unwrap();
        let headers = headers(&vectors.headers);
        let now = Timestamp::from_millis(vectors.now * 1000);
        for position in 0..vectors.body.len() {
            let mut body = vectors.body.clone().into_bytes();
            body[position] ^= 1 << (position % 8);
            let request = Request {
                method: &vectors.method,
                url: &vectors.url,
                headers: &headers,
                body: &body,
            };
            let verdict = verify(&provider.proof, &keys, &request, now);
            assert!(verdict.is_err(), "{}: byte {position}", vectors.provider);
        }
    }
}
