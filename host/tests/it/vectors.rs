//! Every provider's requests through the door of a whole host, which goes by their clock and
//! their address: those of the repository, and those of a file that `HOOKBAY_TEST_VECTORS`
//! names (`cargo xtask test --vectors FILE`).
//!
//! The repository's are signed by `fixtures/providers/generate.py`, others by others; none by
//! the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hookbay::config::{Environment, provider};
use hookbay::ingest::{Fetch, NotFetched};
use hookbay::name::SourceName;
use serde_json::Value;

use crate::harness::{Folder, Host, eventually, standing};
use crate::http::Client;

mod file;
mod rounds;

/// The clock of vectors that have none.
const ANY_TIME: i64 = 1_760_000_000;

/// A request, and what is to become of it.
struct Vector {
    name: String,
    provider: String,
    secrets: Vec<Value>,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// In seconds since 1970.
    now: i64,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Anything but a refusal: a genuine request need not be JSON.
    Genuine,
    Refused,
    /// Nobody can say it now.
    NoVerdict,
}

impl Expected {
    fn is_met(self, status: u16, refusal: u16) -> bool {
        match self {
            Self::Genuine => status != refusal && ![404, 405, 413, 429, 503].contains(&status),
            // By a method that no event comes by, it is refused before it is looked at.
            Self::Refused => [refusal, 405].contains(&status),
            Self::NoVerdict => status == 503,
        }
    }
}

/// Headers of JSON; a list is a header that is sent several times.
fn headers(fields: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let each = fields.iter().flat_map(|(name, value)| {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let pair = |value: &Value| (name.clone(), value.as_str().unwrap().to_owned());
        values.iter().map(pair).collect::<Vec<_>>()
    });
    each.collect()
}

fn body(text: Option<&str>, base64: Option<&str>) -> Vec<u8> {
    match base64 {
        Some(base64) => STANDARD.decode(base64).unwrap(),
        None => text.unwrap_or_default().into(),
    }
}

/// Stands for the internet, where every address answers: subscriptions can be confirmed.
struct AnyPage;

impl Fetch for AnyPage {
    fn get<'a>(&'a self, _: &'a url::Url) -> BoxFuture<'a, Result<Bytes, NotFetched>> {
        Box::pin(async { Ok(Bytes::new()) })
    }
}

/// What came out otherwise than expected.
async fn wrong(vectors: Vec<Vector>) -> Vec<String> {
    let now_ms = Arc::new(AtomicI64::new(0));
    let mut folder = Folder::new("", &[]).await;
    folder.clock = standing(&now_ms);
    folder.internet = Some(Arc::new(AnyPage));
    let file = folder.config_file();
    let base = fs::read_to_string(&file).unwrap();
    now_ms.store(ANY_TIME * 1000, Ordering::SeqCst);
    let host = Host::over(folder).await;
    let client = Client::new();
    let mut wrong = Vec::new();
    for (n, round) in rounds::of(vectors).into_iter().enumerate() {
        let marker = format!("round-{n}");
        fs::write(&file, format!("{base}{}", round.toml(&marker))).unwrap();
        // Says what is wrong with it, if anything is.
        drop(host.folder.config());
        eventually(&marker, async || {
            let sources = host.items("sources?limit=1000").await;
            sources
                .iter()
                .any(|one| one["name"] == marker)
                .then_some(())
        })
        .await;
        for (path, vector) in &round.requests {
            now_ms.store(vector.now * 1000, Ordering::SeqCst);
            let url = format!("http://{}{path}", host.public);
            let headers: Vec<(&str, &str)> = vector
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let method = vector.method.parse().unwrap();
            let answer = client.ask(method, &url, &headers, vector.body.clone());
            let answer = answer.await;
            let rules = provider::named(&vector.provider).unwrap().acknowledgement;
            let refusal = rules.refused.unwrap_or(401);
            if !vector.expected.is_met(answer.status, refusal) {
                let (status, text) = (answer.status, answer.text());
                wrong.push(format!(
                    "{}: {status}, not {:?}: {text}",
                    vector.name, vector.expected
                ));
            }
        }
    }
    wrong
}

/// Whether a client can send it to this address as it is, and a source can stand there.
fn is_sendable(vector: &Vector) -> bool {
    url::Url::parse(&vector.url).is_ok_and(|url| {
        let name = url.path().strip_prefix("/webhooks/");
        url.as_str() == vector.url && name.is_none_or(|name| name.parse::<SourceName>().is_ok())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vector_has_its_verdict_at_the_door() {
    let (vectors, unsendable): (Vec<_>, Vec<_>) =
        file::of_the_repository().into_iter().partition(is_sendable);
    let unsendable: Vec<&str> = unsendable.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        unsendable,
        [
            "contentful: signed by the toolkit, with a query",
            "hubspot-v3: an address with escapes, signed as it is",
            "hubspot-v3: an address with escapes, signed without",
            "hubspot-v3: an address with escapes, another",
        ]
    );
    let count = vectors.len();
    let wrong = wrong(vectors).await;
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tries a file: cargo xtask test --vectors FILE"]
async fn every_vector_of_a_named_file_has_its_verdict() {
    let environment = Environment::of_process();
    let file = environment.get("HOOKBAY_TEST_VECTORS");
    let file = file.expect("HOOKBAY_TEST_VECTORS names a file");
    let at_the_terminal = file::verified(Path::new(file)).await;
    let vectors = file::read(Path::new(file));
    let count = vectors.len();
    assert!(count > 0, "`{file}` has no vectors");
    let unsendable: Vec<&str> = vectors
        .iter()
        .filter(|vector| !is_sendable(vector))
        .map(|vector| vector.name.as_str())
        .collect();
    assert!(
        unsendable.is_empty(),
        "no client can send these: {unsendable:?}"
    );
    let wrong = [at_the_terminal, wrong(vectors).await].concat();
    assert!(
        wrong.is_empty(),
        "{} wrong, of {count} twice:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{count} vectors have their verdict at the door and through `hookbay verify`.");
}
