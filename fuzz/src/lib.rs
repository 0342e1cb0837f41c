//! What the targets share: a request as the fuzzer writes it, and the providers with the
//! secrets of the tests' own vectors.
//!
//! An input is text that looks like a request on the wire, so that the fuzzer can cross
//! one with another and a person can read a finding:
//!
//! ```text
//! stripe
//! POST https://hooks.example.com/webhooks/source
//! stripe-signature: t=1760000000,v1=…
//!
//! {"id":"evt_1"}
//! ```
//!
//! It checks nothing itself; each target says what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use hookbay::clock::Timestamp;
use hookbay::config::{Secret, provider};
use hookbay::event::Headers;
use hookbay::ingest::scheme::Provider;
use hookbay::ingest::scheme::key::{Credential, Keyring};
use hookbay::ingest::verify::request::Request;
use serde::Deserialize;
use serde_json::Value;

/// A provider with its keys, and the bodies that its vectors call genuine.
pub struct Party {
    /// The record of the catalogue.
    pub provider: Provider,
    /// The keys of the vectors' secrets.
    pub keys: Keyring,
    /// The only bodies that anybody has signed with them.
    pub genuine_bodies: BTreeSet<Vec<u8>>,
    /// When they were signed.
    pub now: Timestamp,
}

/// A request that the fuzzer wrote.
pub struct Written<'a> {
    /// Whom it claims to be from.
    pub party: &'static Party,
    method: &'a str,
    url: &'a str,
    headers: Headers,
    body: &'a [u8],
}

#[derive(Deserialize)]
struct Vectors {
    provider: String,
    body: String,
    secrets: Vec<Value>,
    now: i64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    expect: String,
    body: Option<String>,
}

/// Every provider that has vectors, by name.
pub static PARTIES: LazyLock<BTreeMap<String, Party>> = LazyLock::new(|| {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/tests/fixtures/providers/vectors.json");
    let text = std::fs::read(file).expect("the vectors are in the repository");
    let all: Vec<Vectors> = serde_json::from_slice(&text).expect("the vectors are JSON");
    all.into_iter().filter_map(party).collect()
});

fn party(vectors: Vectors) -> Option<(String, Party)> {
    let provider = provider::named(&vectors.provider)?;
    let genuine = vectors.cases.iter().filter(|case| case.expect == "genuine");
    let bodies = genuine.map(|case| case.body.as_ref().unwrap_or(&vectors.body));
    let genuine_bodies = bodies.map(|body| body.clone().into_bytes()).collect();
    let secrets: Vec<Credential> = vectors.secrets.iter().filter_map(credential).collect();
    let keys = Keyring::new(&provider.secret, &secrets).ok()?;
    let now = Timestamp::from_millis(vectors.now * 1000);
    let party = Party {
        provider,
        keys,
        genuine_bodies,
        now,
    };
    Some((vectors.provider, party))
}

fn credential(value: &Value) -> Option<Credential> {
    match value {
        Value::String(text) => Some(Credential::Text(Secret::new(text.as_str()))),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Some((name.clone(), credential(value)?));
            fields
                .iter()
                .map(field)
                .collect::<Option<_>>()
                .map(Credential::Named)
        }
        _ => None,
    }
}

impl<'a> Written<'a> {
    /// Reads an input; none if it names no provider or is no request at all.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let (name, rest) = line(input)?;
        let party = PARTIES.get(std::str::from_utf8(name).ok()?)?;
        let (first, mut rest) = line(rest)?;
        let (method, url) = std::str::from_utf8(first).ok()?.split_once(' ')?;
        let mut pairs = Vec::new();
        loop {
            let (header, after) = line(rest)?;
            rest = after;
            if header.is_empty() {
                break;
            }
            let colon = header.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&header[..colon]).ok()?;
            let value = header[colon + 1..].trim_ascii_start().to_vec();
            pairs.push((name.to_ascii_lowercase(), value));
        }
        Some(Self {
            party,
            method,
            url,
            headers: Headers::new(pairs),
            body: rest,
        })
    }

    /// The request as the door sees it.
    pub fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            url: self.url,
            headers: &self.headers,
            body: self.body,
        }
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
