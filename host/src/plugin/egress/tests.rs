//! Calls over real connections, to servers on this machine that behave badly.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::RootCertStore;

use super::{
    Egress, Fetch, FetchError, Fetched, Fetcher as _, HeaderValue, Network, Resolve, status_label,
};
use crate::config::{EndpointGrant, Secret};
use crate::plugin::imports::call::Blob;
use crate::plugin::secrets::Secrets;

mod addresses;
mod answers;
mod server;
mod tls;

use server::{Server, Step};

const TOKEN: &str = "hunter2/hunter2?";
const LONG: Duration = Duration::from_secs(60);

/// A resolver that says what it is told to, in turn; the last answer stays.
struct Answers {
    answers: Mutex<VecDeque<Result<Vec<IpAddr>, &'static str>>>,
    n_lookups: AtomicUsize,
}

impl Answers {
    fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |answer: &&[&str]| Ok(answer.iter().map(|ip| ip.parse().unwrap()).collect());
        Self::with(answers.iter().map(parsed).collect())
    }

    fn with(answers: Vec<Result<Vec<IpAddr>, &'static str>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into()),
            n_lookups: AtomicUsize::new(0),
        })
    }

    fn n_lookups(&self) -> usize {
        self.n_lookups.load(Ordering::SeqCst)
    }
}

impl Resolve for Answers {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.n_lookups.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            0 | 1 => answers.front().cloned().unwrap_or(Ok(Vec::new())),
            _ => answers.pop_front().unwrap(),
        };
        Box::pin(async { answer.map_err(io::Error::other) })
    }
}

fn grant(origin: &str, private: bool) -> EndpointGrant {
    EndpointGrant {
        origin: origin.parse().unwrap(),
        secrets: ["TOKEN".to_owned()].into(),
        private,
    }
}

/// The egress of a plugin with these endpoints and the secret `TOKEN`.
fn egress(endpoints: &[(&str, EndpointGrant)], resolver: Arc<Answers>) -> Egress {
    let secrets = Secrets::new(&[("TOKEN".to_owned(), Secret::new(TOKEN))].into());
    egress_with(endpoints, secrets, resolver)
}

fn egress_with(
    endpoints: &[(&str, EndpointGrant)],
    secrets: Secrets,
    resolver: Arc<Answers>,
) -> Egress {
    let endpoints: BTreeMap<String, EndpointGrant> = endpoints
        .iter()
        .map(|(name, grant)| ((*name).to_owned(), grant.clone()))
        .collect();
    let network = Network::new(resolver, RootCertStore::empty());
    Egress::new(&endpoints, Arc::new(secrets), &network)
}

/// The egress of a plugin with one endpoint `api` at a server of a test.
fn egress_to(server: &Server) -> Egress {
    let api = grant(&format!("http://{}", server.address), true);
    egress(&[("api", api)], Answers::of(&[]))
}

fn get(endpoint: &str) -> Fetch {
    Fetch {
        endpoint: endpoint.to_owned(),
        path: "/".to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: None,
        timeout: None,
        idempotency_header: None,
    }
}

async fn fetch(egress: &Egress, fetch: &Fetch) -> Result<Fetched, FetchError> {
    egress.fetch(fetch, "event-1:plugin", LONG).await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_call_is_made_as_it_was_asked_for() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let egress = egress_to(&server);
    let bearer = HeaderValue::Secret {
        name: "TOKEN".to_owned(),
        prefix: "Bearer ".to_owned(),
        suffix: String::new(),
    };
    let post = Fetch {
        path: "/v1/pages?a=b".to_owned(),
        method: "POST".to_owned(),
        headers: vec![
            ("Authorization".to_owned(), bearer),
            (
                "X-Plain".to_owned(),
                HeaderValue::Plain(Blob(b"1".to_vec())),
            ),
        ],
        body: Some(Blob(b"{\"a\":1}".to_vec())),
        idempotency_header: Some("Idempotency-Key".to_owned()),
        ..get("api")
    };
    let answer = fetch(&egress, &post).await.unwrap();
    assert_eq!((answer.status, text(&answer.body.0)), (200, "answer"));
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "POST /v1/pages?a=b HTTP/1.1\r\n\
         authorization: Bearer {TOKEN}\r\n\
         x-plain: 1\r\n\
         idempotency-key: event-1:plugin\r\n\
         user-agent: hookbay/{version}\r\n\
         accept-encoding: identity\r\n\
         host: {}\r\n\
         content-length: 7\r\n\r\n{{\"a\":1}}",
        server.address
    );
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn a_call_that_is_not_granted_reaches_nobody() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let egress = egress_to(&server);
    let other = HeaderValue::Secret {
        name: "OTHER".to_owned(),
        prefix: String::new(),
        suffix: String::new(),
    };
    let with_other = Fetch {
        headers: vec![("x-key".to_owned(), other)],
        ..get("api")
    };
    for (call, says) in [
        (get("other"), "no endpoint `other` is granted"),
        (with_other, "secret `OTHER` is not granted"),
    ] {
        let refused = fetch(&egress, &call).await.unwrap_err();
        assert_eq!(refused.code(), "denied");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    assert_eq!(server.n_connections(), 0);
}

#[tokio::test]
async fn a_connection_is_used_again_and_ends_with_the_plugin() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let resolver = Answers::of(&[&["127.0.0.1"]]);
    let api = grant(
        &format!("http://api.internal:{}", server.address.port()),
        true,
    );
    let egress = egress(&[("api", api)], Arc::clone(&resolver));
    for _ in 0..3 {
        fetch(&egress, &get("api")).await.unwrap();
    }
    assert_eq!((server.n_connections(), resolver.n_lookups()), (1, 1));
    assert_eq!(server.n_open(), 1);
    drop(egress);
    server.all_closed().await;
}

#[tokio::test]
async fn labels_are_bounded() {
    let answer = |status| {
        Ok(Fetched {
            status,
            headers: Vec::new(),
            body: Blob::default(),
        })
    };
    for (answer, label) in [
        (answer(200), "200"),
        (answer(599), "599"),
        (answer(600), "other"),
        (answer(999), "other"),
        (Err(FetchError::Denied(String::new())), "denied"),
        (Err(FetchError::Invalid(String::new())), "invalid"),
        (Err(FetchError::TooLarge(String::new())), "too_large"),
        (Err(FetchError::Timeout(String::new())), "timeout"),
        (Err(FetchError::Unavailable(String::new())), "unavailable"),
    ] {
        assert_eq!(status_label(&answer), label);
    }
    let egress = egress(&[("api", grant("https://h", false))], Answers::of(&[]));
    assert_eq!((egress.label("api"), egress.label("x")), ("api", "other"));
}
