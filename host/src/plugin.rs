//! Plugins: loading components and running them in the sandbox.
//!
//! The only place that knows wasmtime, and one that knows nothing of the store:
//! an attempt gets an event and grants, and gives back a [`Report`].

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::clock::Clock;
use crate::config::{JournalPolicy, Limits, Maxima};
use crate::event::Event;
use crate::gzip;
use crate::run::Outcome;

mod bindings;
mod bridge;
mod contract;
mod directory;
pub mod egress;
mod engine;
mod file;
mod imports;
mod journal;
mod last_words;
pub mod limits;
mod loader;
mod log;
mod manifest;
mod memory;
mod meter;
mod oracle;
mod report;
mod sandbox;
pub mod secrets;
mod signature;
mod verifier;
mod wasi;
mod wasi_http;

pub use contract::{Contract, Role};
pub use directory::{Directory, Found, Rescan};
pub use engine::EngineError;
pub use file::PluginFile;
pub use imports::call::Blob;
pub use imports::{Emitted, Grants, Seen, StateReader};
pub use journal::{
    Divergence, Journal, JournalError, JournalFile, RecordedEnd, RecordedEvent, RecordedLine,
};
pub use loader::{Digest, FILE_BYTES_MAX, LoadError, Loaded};
pub use manifest::{
    ConfigWant, EndpointWant, Manifest, ManifestError, SecretWant, TriggerText, Verifies, Wants,
};
pub use oracle::SourceSecret;
pub use report::Report;
pub use signature::{KeyError, PublicKey, SignatureError, SigningKey, TrustedKeys};
pub use verifier::{Ask, Forged, Genuine, NoVerdict};

use bindings::exports::hookbay::plugin::handler as wit;
use limits::Exceeded;
use loader::Code;
use sandbox::{Around, Guest, Sandbox};
use verifier::Verifiers;

/// By how much the threads of plugins stand back behind the host's.
const GUEST_NICENESS: i32 = 5;
/// The same of the threads that compile them: what runs goes on meanwhile.
const COMPILE_NICENESS: i32 = 10;
/// What an attempt that is executed again may take.
const RERUN_TIME: Duration = Duration::from_secs(60);

/// Runs plugins.
pub struct PluginHost {
    engine: Engine,
    linker: Linker<Guest>,
    clock: Clock,
    maxima: Maxima,
    trusted: TrustedKeys,
    /// None only while it is being dropped.
    guests: Option<tokio::runtime::Runtime>,
    verifiers: Verifiers,
    /// One component compiles at a time: compiling takes all cores.
    compiling: Semaphore,
    compilers: Arc<rayon::ThreadPool>,
    /// As many guests at once as the pool has room for; more wait here.
    slots: Arc<Semaphore>,
}

/// Which run of an event is executed, as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunContext {
    /// The run's id.
    pub id: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How many it has.
    pub max_attempts: u32,
    /// The plugin's name.
    pub plugin: String,
}

impl PluginHost {
    /// Starts the engine; compiled components are kept in `cache_dir`.
    ///
    /// # Errors
    /// [`EngineError`] if the machine cannot run it.
    pub fn start(
        maxima: Maxima,
        clock: Clock,
        cache_dir: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let engine = engine::engine(&maxima, cache_dir)?;
        engine::start_ticker(&engine)?;
        let slots = usize::try_from(engine::slots(&maxima)).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self {
            linker: linker(&engine).map_err(EngineError::Wasmtime)?,
            engine,
            clock,
            verifiers: Verifiers::start(&maxima, cache_dir)?,
            maxima,
            trusted: TrustedKeys::default(),
            guests: Some(engine::guest_runtime("hookbay-guest", GUEST_NICENESS)?),
            compiling: Semaphore::new(1),
            compilers: Arc::new(engine::compile_threads(COMPILE_NICENESS)?),
            slots: Arc::new(Semaphore::new(slots)),
        })
    }

    /// The same, which loads only what somebody has signed who is trusted.
    pub fn trusting(mut self, trusted: TrustedKeys) -> Self {
        self.trusted = trusted;
        self
    }

    /// Executes one attempt on a fresh instance of `plugin`; what it calls is kept as
    /// `journal` says.
    pub async fn call(
        &self,
        plugin: Arc<Loaded>,
        event: Arc<Event>,
        run: RunContext,
        limits: Limits,
        grants: Grants,
        journal: JournalPolicy,
    ) -> Report {
        let around = Around::World(grants, journal);
        self.attempt(plugin, event, run, limits, around).await
    }

    /// Executes an attempt again from its journal, with no network, database or clock;
    /// the report names where it first differs.
    pub async fn rerun(&self, plugin: Arc<Loaded>, event: Arc<Event>, journal: Journal) -> Report {
        let run = journal.run().clone();
        // Time is not what is repeated: only a guest that hangs is to end.
        let limits = Limits {
            memory_bytes: journal.memory_limit_bytes(),
            cpu: RERUN_TIME,
            wall: RERUN_TIME,
        };
        let around = Around::Recording(journal);
        self.attempt(plugin, event, run, limits, around).await
    }

    async fn attempt(
        &self,
        plugin: Arc<Loaded>,
        event: Arc<Event>,
        run: RunContext,
        limits: Limits,
        around: Around,
    ) -> Report {
        let (engine, clock) = (self.engine.clone(), self.clock.clone());
        let started_at = clock.now();
        let called = self.on_guest_threads(async move {
            let sandbox = Sandbox {
                engine: &engine,
                limits,
                clock: &clock,
                around,
            };
            match &plugin.code {
                Code::Plugin(pre) => sandbox.handle(pre, &event, run).await,
                Code::Verifier(_) => {
                    Report::permanent("a verifier gets no events".to_owned(), started_at)
                }
            }
        });
        called
            .await
            .unwrap_or_else(|| Report::of_ours(gave_up(), started_at))
    }

    /// Runs guest code where guest code runs; none if the thread panicked.
    async fn on_guest_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        // The slot goes with the guest, which may end later than who waits for it.
        let guest = async move {
            let done = work.await;
            drop(slot);
            done
        };
        engine::run_on(self.guests.as_ref()?, guest).await
    }
}

impl Drop for PluginHost {
    fn drop(&mut self) {
        // A plain drop would block, which async threads must not.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

/// What is said when the host's own code failed around a guest.
fn gave_up() -> Exceeded {
    Exceeded {
        outcome: Outcome::Trap,
        message: "the host failed while it ran the guest".to_owned(),
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    wasi_http::link(&mut linker)?;
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

fn event_for_guest(event: &Event) -> wit::Event {
    let header = |(name, value): (&str, &[u8])| wit::Header {
        name: name.to_owned(),
        value: value.to_vec(),
    };
    // Guests get the body as it reads, and no header that says otherwise.
    let body = gzip::plain(&event.headers, &event.body);
    let is_inflated = matches!(body, Cow::Owned(_));
    let is_true = |(name, _): &(&str, &[u8])| !is_inflated || *name != "content-encoding";
    wit::Event {
        id: event.id.to_string(),
        source: event.source.to_string(),
        provider: event.provider.clone(),
        kind: event.kind.clone(),
        delivery_id: event.delivery_id.clone(),
        received_at: u64::try_from(event.received_at.millis()).unwrap_or(0),
        content_type: event.content_type.clone(),
        headers: event
            .headers
            .visible()
            .filter(is_true)
            .map(header)
            .collect(),
        body: body.into_owned(),
    }
}

fn run_for_guest(event: &Event, run: &RunContext) -> wit::Run {
    wit::Run {
        idempotency_key: format!("{}:{}", event.id, run.plugin),
        id: run.id.clone(),
        attempt: run.attempt,
        max_attempts: run.max_attempts,
    }
}
