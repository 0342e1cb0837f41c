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
//! and stay only if the attempt succeeds. It has no limits and no triggers: for
//! those, run the built file in the real sandbox with `hookbay plugin run`.

use std::{cell::RefCell, collections::BTreeMap};

use serde::de::DeserializeOwned;

use crate::{Event, Failure, Header, Plugin, Run, Success, log::Level};

pub(crate) mod imports;

thread_local! {
    /// The attempt that this thread is making, for the imports to reach.
    static CURRENT: RefCell<Option<Sandbox>> = const { RefCell::new(None) };
}

/// A host with one plugin: its configuration, and what it has stored so far.
#[derive(Clone, Debug, Default)]
pub struct Host {
    config: BTreeMap<String, String>,
    stored: BTreeMap<String, Vec<u8>>,
    is_kv_unavailable: bool,
}

/// What came of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the plugin answered.
    pub result: Result<Success, Failure>,
    /// The lines that it logged.
    pub lines: Vec<Line>,
}

/// A line that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The fields, as name and value.
    pub fields: Vec<(String, String)>,
}

/// What an attempt sees of the host, and what it has changed.
#[derive(Debug)]
struct Sandbox {
    host: Host,
    lines: Vec<Line>,
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
        received_at_ms: 1_700_000_000_000,
        content_type: Some("application/json".to_owned()),
        headers: vec![Header {
            name: "Content-Type".to_owned(),
            value: b"application/json".to_vec(),
        }],
        body: body.as_ref().to_vec(),
    }
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
    /// A host without configuration whose kv is empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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

    /// Makes every kv call fail as unavailable.
    #[must_use]
    pub fn with_kv_unavailable(mut self) -> Self {
        self.is_kv_unavailable = true;
        self
    }

    /// Makes the first attempt of a run for this event.
    pub fn handle<P: Plugin>(&mut self, event: &Event) -> Attempt {
        self.attempt::<P>(event, &run(1))
    }

    /// Makes one attempt of this run. Writes stay if it succeeds.
    pub fn attempt<P: Plugin>(&mut self, event: &Event, run: &Run) -> Attempt {
        CURRENT.set(Some(Sandbox {
            host: self.clone(),
            lines: Vec::new(),
        }));
        let result = P::handle(event, run);
        let sandbox = CURRENT
            .take()
            .expect("only this function takes the sandbox away");
        if result.is_ok() {
            self.stored = sandbox.host.stored;
        }
        Attempt {
            result,
            lines: sandbox.lines,
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

impl Attempt {
    /// The success's summary.
    ///
    /// # Panics
    ///
    /// If the attempt failed.
    #[must_use]
    #[track_caller]
    pub fn summary(&self) -> &str {
        &self.success().summary
    }

    /// The success's data.
    ///
    /// # Panics
    ///
    /// If the attempt failed, or its data is missing or other JSON than `T`.
    #[must_use]
    #[track_caller]
    pub fn data<T: DeserializeOwned>(&self) -> T {
        let json = self
            .success()
            .data
            .as_deref()
            .expect("the success has no data");
        serde_json::from_str(json).expect("the success's data is not what was asked for")
    }

    /// The failure.
    ///
    /// # Panics
    ///
    /// If the attempt succeeded.
    #[must_use]
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        self.result.as_ref().expect_err("the attempt succeeded")
    }

    /// The logged lines as text: `info: counted kind=push`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.lines.iter().map(Line::to_string).collect()
    }

    #[track_caller]
    fn success(&self) -> &Success {
        self.result.as_ref().expect("the attempt failed")
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.level, self.message)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}
