//! A fake host, so that plugins are tested natively with `cargo test`.
//!
//! ```
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, log};
//! use hookbay_plugin::{manifest, testing};
//!
//! struct Count;
//!
//! impl Plugin for Count {
//!     fn manifest() -> Manifest {
//!         manifest!().trigger(Trigger::provider("github", "push"))
//!     }
//!
//!     fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
//!         kv::increment("pushes", 1)?;
//!         log::info!("counted"; kind = event.kind);
//!         Ok(Success::new("counted"))
//!     }
//! }
//!
//! let mut host = testing::Host::new();
//! let event = testing::event("github", "push", r#"{"ref": "refs/heads/main"}"#);
//!
//! let attempt = host.handle::<Count>(&event);
//!
//! assert_eq!(attempt.summary(), "counted");
//! assert_eq!(attempt.log(), ["info: counted kind=push"]);
//! assert_eq!(host.stored("pushes"), Some("1"));
//! ```
//!
//! It keeps the contract's promises about `kv`: own writes are visible at once,
//! and stay only if the attempt succeeds. Requests never leave the process: the test
//! answers them, and one that nothing answers fails the test. Like a host, it denies
//! endpoints and secrets that the manifest does not want.
//!
//! ```
//! # use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, http, manifest, testing};
//! use hookbay_plugin::testing::Answer;
//! use serde_json::{Value, json};
//!
//! # struct Post;
//! # impl Plugin for Post {
//! #     fn manifest() -> Manifest {
//! #         manifest!().endpoint("books", "https://api.books.example", "where orders are written")
//! #     }
//! #     fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
//! #         let order: Value = event.json()?;
//! #         http::post("books", "/orders").json(&order)?.send()?.error_for_status()?;
//! #         Ok(Success::new("written"))
//! #     }
//! # }
//! let mut host = testing::Host::new();
//! host.answer("books", "POST", "/orders", [Answer::new(503), Answer::new(201)]);
//! let event = testing::json_event("shop", "order.paid", &json!({"id": 7}));
//!
//! let first = host.handle::<Post>(&event);
//! assert_eq!(first.failure().reason(), "POST books /orders answered 503");
//!
//! // The next attempt of the same run finds what a failed one left: nothing.
//! let second = host.attempt::<Post>(&event, &testing::run(2));
//! assert_eq!(second.summary(), "written");
//! assert_eq!(second.requests[0].json::<Value>()["id"], 7);
//! ```
//!
//! It has no limits and does not look at triggers: for those, run the built file in the
//! real sandbox with `hookbay plugin run`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use serde::Serialize;

use crate::{Event, Header, Manifest, Plugin, Run};

mod attempt;
mod http;
pub(crate) mod imports;
mod verifying;

pub use attempt::{Attempt, Emitted, Line};
pub use http::{Answer, Request};
pub use verifying::{Secrets, request};

use http::{Answers, Routes};

thread_local! {
    /// The attempt that this thread is making, for the imports to reach.
    static CURRENT: RefCell<Option<Sandbox>> = const { RefCell::new(None) };
}

/// When everything happens here, in milliseconds: an event is received, a host looks
/// at its clock.
const NOW_MS: u64 = 1_700_000_000_000;

/// A host with one plugin: its configuration, what it has stored so far, and what its
/// requests are answered.
#[derive(Debug)]
pub struct Host {
    config: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    stored: BTreeMap<String, Vec<u8>>,
    routes: Routes,
    now_ms: u64,
    is_kv_unavailable: bool,
    is_chain_full: bool,
}

/// What an attempt sees of the host, and what it has changed.
#[derive(Debug)]
struct Sandbox {
    host: Host,
    manifest: Manifest,
    idempotency_key: String,
    lines: Vec<Line>,
    requests: Vec<Request>,
    emitted: Vec<Emitted>,
}

/// An event with this provider, kind and body, from a source of the same name as
/// the provider. Change what matters to the test through its fields.
#[must_use]
pub fn event(provider: &str, kind: &str, body: impl AsRef<[u8]>) -> Event {
    Event {
        id: "event-1".to_owned(),
        source: provider.to_owned(),
        provider: provider.to_owned(),
        kind: kind.to_owned(),
        delivery_id: Some("delivery-1".to_owned()),
        received_at_ms: NOW_MS,
        content_type: Some("application/json".to_owned()),
        headers: vec![Header {
            name: "Content-Type".to_owned(),
            value: b"application/json".to_vec(),
        }],
        body: body.as_ref().to_vec(),
    }
}

/// An [`event`](fn@event) with a JSON body.
///
/// # Panics
///
/// If the body has no JSON form.
#[must_use]
#[track_caller]
pub fn json_event(provider: &str, kind: &str, body: &impl Serialize) -> Event {
    let body = serde_json::to_vec(body).expect("the event's body has no JSON form");
    event(provider, kind, body)
}

/// The n-th attempt of a run that has 12 of them.
#[must_use]
pub fn run(attempt: u32) -> Run {
    Run {
        id: "run-1".to_owned(),
        attempt,
        max_attempts: 12,
        idempotency_key: "event-1:plugin".to_owned(),
    }
}

impl Host {
    /// A host without configuration whose kv is empty and that answers no request.
    #[must_use]
    pub fn new() -> Self {
        Self {
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            stored: BTreeMap::new(),
            routes: Routes::default(),
            now_ms: NOW_MS,
            is_kv_unavailable: false,
            is_chain_full: false,
        }
    }

    /// Sets a configuration key.
    #[must_use]
    pub fn with_config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Stores a value, as an earlier run would have.
    #[must_use]
    pub fn with_stored(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.stored.insert(key.to_owned(), value.as_ref().to_vec());
        self
    }

    /// Gives a secret a value, for [`crypto`](crate::crypto) to sign with. Requests
    /// need none: a test sees `[secret NAME]` in them.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the host's clock to milliseconds since 1970. Without it, it shows when
    /// [`event`](fn@event) was received. It stands still, but for a plugin that
    /// [sleeps](crate::clock::sleep).
    #[must_use]
    pub fn with_now_ms(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Makes every kv call fail as unavailable.
    #[must_use]
    pub fn with_kv_unavailable(mut self) -> Self {
        self.is_kv_unavailable = true;
        self
    }

    /// Makes every emitted event the one too many in its chain.
    #[must_use]
    pub fn with_full_chain(mut self) -> Self {
        self.is_chain_full = true;
        self
    }

    /// Answers every request of this method to this path of an endpoint. A path
    /// without a query takes any query. Where several fit, the last one answers.
    pub fn on(
        &mut self,
        endpoint: &str,
        method: &str,
        path: &str,
        answer: impl FnMut(&Request) -> Answer + 'static,
    ) {
        let answers = Answers::Asked(Rc::new(RefCell::new(answer)));
        self.routes.add(endpoint, method, path, answers);
    }

    /// Answers such requests, as [`Host::on`] does, with each of these once, in order.
    pub fn answer(
        &mut self,
        endpoint: &str,
        method: &str,
        path: &str,
        answers: impl IntoIterator<Item = Answer>,
    ) {
        let answers: VecDeque<_> = answers.into_iter().collect();
        let answers = Answers::Listed(Rc::new(RefCell::new(answers)));
        self.routes.add(endpoint, method, path, answers);
    }

    /// Answers every request to an endpoint, whatever its method and path, as a service
    /// of the test's own would. [`Host::on`] and [`Host::answer`] still count after it.
    pub fn serve(&mut self, endpoint: &str, answer: impl FnMut(&Request) -> Answer + 'static) {
        let answers = Answers::Asked(Rc::new(RefCell::new(answer)));
        self.routes.add_all(endpoint, answers);
    }

    /// Makes the first attempt of a run for this event.
    pub fn handle<P: Plugin>(&mut self, event: &Event) -> Attempt {
        self.attempt::<P>(event, &run(1))
    }

    /// Makes one attempt of this run. Writes stay if it succeeds.
    ///
    /// # Panics
    ///
    /// If the plugin does, or sends a request that nothing answers.
    pub fn attempt<P: Plugin>(&mut self, event: &Event, run: &Run) -> Attempt {
        let before = self.stored.clone();
        CURRENT.set(Some(Sandbox {
            host: std::mem::take(self),
            manifest: P::manifest(),
            idempotency_key: run.idempotency_key.clone(),
            lines: Vec::new(),
            requests: Vec::new(),
            emitted: Vec::new(),
        }));
        let result = P::handle(event, run);
        let sandbox = CURRENT
            .take()
            .expect("only this function takes the sandbox away");
        *self = sandbox.host;
        let mut emitted = sandbox.emitted;
        if result.is_err() {
            self.stored = before;
            emitted.clear();
        }
        Attempt {
            result,
            lines: sandbox.lines,
            requests: sandbox.requests,
            emitted,
        }
    }

    /// The committed value of a key, if it is text.
    #[must_use]
    pub fn stored(&self, key: &str) -> Option<&str> {
        str::from_utf8(self.stored.get(key)?).ok()
    }

    /// Every committed key and value, in the order of the keys.
    pub fn all_stored(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.stored
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    fn wants_secret(&self, name: &str) -> bool {
        self.manifest.secrets.iter().any(|want| want.name == name)
    }
}
