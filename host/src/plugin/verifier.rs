//! Verifiers: guests that prove who sent a request, in an engine of their own.
//!
//! A sender waits while one runs. So it is metered by instructions and not by time, each
//! has few turns, and whatever it does but answer is no verdict: neither genuine nor not.
//! No other plugin can keep one waiting, nor one the others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Engine, Store, Trap};

use crate::clock::{Clock, Timestamp};
use crate::config::{Limits, Maxima};
use crate::run::{LogLevel, Outcome};

use super::bindings::verifier::exports::hookbay::plugin::verification as wit;
use super::bindings::verifier::{Verifier as Bindings, VerifierPre};
use super::engine::{self, EngineError, guest_runtime, run_on};
use super::imports::Gate;
use super::journal::Seed;
use super::limits::{
    CALL_BYTES_MAX, Exceeded, HANDLES_MAX, REJECTION_DETAIL_MAX, VERIFIER_FUEL_PER_MS,
    VERIFIER_PATIENCE, VERIFIER_TURNS, VERIFIER_WALL_MAX, VERIFIERS_MAX,
};
use super::log::{Log, Stream};
use super::memory::Memory;
use super::oracle::{Oracle, SourceSecret};
use super::report::classify;
use super::sandbox::{Guest, wasi};
use super::wasi as wasi_imports;
use super::{Loaded, PluginHost};

/// Instructions between looks at others that wait: a tenth of a millisecond or so.
const FUEL_BETWEEN_YIELDS: u64 = 100_000;
/// Above plugins, which work when nobody waits; below the door.
const NICENESS: i32 = 2;

/// A request that is to be proven, as its sender signed it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Name of the source.
    pub source: String,
    /// The method, in upper case.
    pub method: String,
    /// The whole address, as the sender knows it.
    pub url: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The exact bytes of the body.
    pub body: Bytes,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// The source's secrets.
    pub secrets: Arc<[SourceSecret]>,
}

/// What a verifier says of a genuine request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genuine {
    /// Position of the secret that proved it, from 0.
    pub secret: usize,
    /// When it was signed, in milliseconds since 1970, if that is signed too.
    pub signed_at_ms: Option<i64>,
    /// What happened.
    pub kind: Option<String>,
    /// What makes the same delivery known when it comes again.
    pub delivery_id: Option<String>,
}

/// Why a verifier does not take a request for genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forged {
    /// A stable code, as the door's own.
    pub code: &'static str,
    /// For the operator.
    pub detail: String,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoVerdict {
    /// A stable code.
    pub code: &'static str,
    /// What happened, in a sentence.
    pub message: String,
}

/// Where verifiers run.
pub(super) struct Verifiers {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    slots: Arc<Semaphore>,
    /// None only while it is being dropped.
    threads: Option<tokio::runtime::Runtime>,
}

/// A verifier that can be asked.
pub(super) struct Verifier {
    pub(super) pre: VerifierPre<Guest>,
    /// Requests that it looks at at once.
    pub(super) turns: Arc<Semaphore>,
}

/// One verifier's guest, and what bounds it.
struct Session<'a> {
    engine: &'a Engine,
    clock: &'a Clock,
    pre: &'a VerifierPre<Guest>,
    limits: Limits,
    /// Where its clock stands still.
    at: Timestamp,
    oracle: Oracle,
    call_bytes_max: usize,
}

/// What is left of it when it has answered.
struct Answered<T> {
    answer: T,
    proved_by: Option<usize>,
    memory_bytes: usize,
}

impl Verifiers {
    /// Starts the engine.
    ///
    /// # Errors
    /// [`EngineError`] if the machine cannot run it.
    pub(super) fn start(maxima: &Maxima, cache_dir: Option<&Path>) -> Result<Self, EngineError> {
        let engine = engine::verifier_engine(maxima, cache_dir)?;
        let mut linker = Linker::new(&engine);
        wasi_imports::link(&mut linker)
            .and_then(|()| Bindings::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest))
            .map_err(EngineError::Wasmtime)?;
        Ok(Self {
            engine,
            linker,
            slots: Arc::new(Semaphore::new(VERIFIERS_MAX as usize)),
            threads: Some(guest_runtime("hookbay-verifier", NICENESS)?),
        })
    }

    /// A verifier, from the component that is linked.
    pub(super) fn verifier(pre: VerifierPre<Guest>) -> Verifier {
        Verifier {
            pre,
            turns: Arc::new(Semaphore::new(VERIFIER_TURNS)),
        }
    }

    /// Calls `describe` once; says how much memory the guest had then, too.
    pub(super) async fn describe(
        &self,
        pre: &VerifierPre<Guest>,
        limits: Limits,
        clock: &Clock,
    ) -> Result<(wit::About, u64), Exceeded> {
        let (engine, clock, pre) = (self.engine.clone(), clock.clone(), pre.clone());
        let described = self.on_threads(async move {
            let session = Session {
                engine: &engine,
                clock: &clock,
                pre: &pre,
                limits,
                at: Timestamp::from_millis(0),
                oracle: Oracle::default(),
                call_bytes_max: CALL_BYTES_MAX,
            };
            session
                .enter(async |verifier, store| {
                    verifier
                        .hookbay_plugin_verification()
                        .call_describe(store)
                        .await
                })
                .await
        });
        let described = described.await.unwrap_or_else(|| Err(super::gave_up()))?;
        Ok((described.answer, described.memory_bytes as u64))
    }

    async fn on_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        run_on(self.threads.as_ref()?, work).await
    }

    /// A place for one request; none if there is none in time.
    async fn place(&self, turns: &Arc<Semaphore>) -> Option<[OwnedSemaphorePermit; 2]> {
        let both = async {
            let turn = Arc::clone(turns).acquire_owned().await.ok()?;
            let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
            Some([turn, slot])
        };
        tokio::time::timeout(VERIFIER_PATIENCE, both).await.ok()?
    }
}

impl Drop for Verifiers {
    fn drop(&mut self) {
        // A plain drop would block, which async threads must not.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl PluginHost {
    /// Has a verifier look at a request.
    ///
    /// # Errors
    /// [`NoVerdict`] if it does not say whether the request is genuine.
    pub async fn verify(
        &self,
        loaded: &Loaded,
        ask: Ask,
        limits: Limits,
    ) -> Result<Result<Genuine, Forged>, NoVerdict> {
        let Some(verifier) = loaded.code.verifier() else {
            let message = "the plugin is no verifier";
            return Err(NoVerdict::new("verifier_missing", message));
        };
        let Some(place) = self.verifiers.place(&verifier.turns).await else {
            let message = format!("the verifier was busy for {VERIFIER_PATIENCE:?}");
            return Err(NoVerdict::new("verifier_busy", message));
        };
        let (engine, clock) = (self.verifiers.engine.clone(), self.clock.clone());
        let pre = verifier.pre.clone();
        let verified = self.verifiers.on_threads(async move {
            let session = Session {
                engine: &engine,
                clock: &clock,
                pre: &pre,
                limits,
                at: ask.received_at,
                oracle: Oracle::new(Arc::clone(&ask.secrets), ask.body.len()),
                call_bytes_max: CALL_BYTES_MAX.saturating_add(ask.body.len()),
            };
            let request = request(ask);
            let verified = session.enter(async |verifier, store| {
                verifier
                    .hookbay_plugin_verification()
                    .call_verify(store, &request)
                    .await
            });
            let verified = verified.await;
            // The place goes with the guest: whoever stops waiting does not free it.
            drop(place);
            verified
        });
        let verified = verified.await.unwrap_or_else(|| Err(super::gave_up()))?;
        match (verified.answer, verified.proved_by) {
            (Err(rejection), _) => Ok(Err(rejection.into())),
            (Ok(verified), Some(secret)) => Ok(Ok(genuine(verified, secret))),
            (Ok(_), None) => {
                let message = "the verifier took the request for genuine, which none of the source's secrets had proved";
                Err(NoVerdict::new("verifier_unproved", message))
            }
        }
    }
}

impl Session<'_> {
    /// Instantiates, calls, and takes everything down again.
    async fn enter<T>(
        self,
        call: impl AsyncFnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Result<Answered<T>, Exceeded> {
        let log = Log::default();
        let stdout = Stream::new(log.clone(), self.clock.clone(), LogLevel::Info);
        let stderr = Stream::new(log.clone(), self.clock.clone(), LogLevel::Error);
        let wall = self.limits.wall.min(VERIFIER_WALL_MAX);
        let instructions = fuel(self.limits.cpu);
        let guest = Guest::new(
            Gate::still(self.at, self.clock.clone(), log.clone()),
            wasi(Seed([0; 32]), &stdout, &stderr),
            Memory::new(self.limits.memory_bytes),
            self.oracle,
        );
        let mut store = Store::new(self.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(self.call_bytes_max);
        store.set_max_component_handles(HANDLES_MAX as usize);
        let metered = store
            .set_fuel(instructions)
            .and_then(|()| store.fuel_async_yield_interval(Some(FUEL_BETWEEN_YIELDS)));
        let called = async {
            metered?;
            let verifier = self.pre.instantiate_async(&mut store).await?;
            call(&verifier, &mut store).await
        };
        let called = tokio::time::timeout(wall, called).await;
        stdout.finish();
        stderr.finish();
        let guest = store.into_data();
        let of = |outcome, message| Exceeded { outcome, message };
        match called {
            Ok(Ok(answer)) => Ok(Answered {
                answer,
                proved_by: guest.oracle.proved_by(),
                memory_bytes: guest.memory.bytes(),
            }),
            Ok(Err(error)) if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) => Err(of(
                Outcome::Cpu,
                format!("more than {instructions} instructions"),
            )),
            Ok(Err(error)) => Err(classify(&error, guest.memory.refusal(), &log)),
            Err(_) => Err(of(
                Outcome::Wall,
                format!("not done after {wall:?} of wall time"),
            )),
        }
    }
}

fn fuel(cpu: Duration) -> u64 {
    let ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
    ms.max(1).saturating_mul(VERIFIER_FUEL_PER_MS)
}

fn request(ask: Ask) -> wit::Request {
    let header = |(name, value)| wit::Header { name, value };
    wit::Request {
        source: ask.source,
        method: ask.method,
        url: ask.url,
        headers: ask.headers.into_iter().map(header).collect(),
        body: ask.body.into(),
        received_at: u64::try_from(ask.received_at.millis()).unwrap_or(0),
    }
}

fn genuine(verified: wit::Verified, secret: usize) -> Genuine {
    // A time beyond all time is in the future all the same.
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Genuine {
        secret,
        signed_at_ms: verified.signed_at.map(ms),
        kind: verified.kind,
        delivery_id: verified.delivery_id,
    }
}

impl NoVerdict {
    /// No verdict, for this reason.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

impl From<Exceeded> for NoVerdict {
    fn from(exceeded: Exceeded) -> Self {
        let code = match exceeded.outcome {
            Outcome::Cpu => "verifier_cpu",
            Outcome::Wall => "verifier_wall",
            Outcome::Memory => "verifier_memory",
            Outcome::Output => "verifier_output",
            Outcome::Calls => "verifier_calls",
            Outcome::Trap
            | Outcome::Succeeded
            | Outcome::Retry
            | Outcome::Permanent
            | Outcome::HostLost
            | Outcome::KilledHost
            | Outcome::Conflict
            | Outcome::Cancelled
            | Outcome::Expired => "verifier_trap",
        };
        Self::new(code, format!("the verifier failed: {}", exceeded.message))
    }
}

impl From<wit::Rejection> for Forged {
    fn from(rejection: wit::Rejection) -> Self {
        let code = match rejection.reason {
            wit::Reason::MissingSignature => "missing_signature",
            wit::Reason::MalformedSignature => "malformed_signature",
            wit::Reason::WrongSignature => "wrong_signature",
            wit::Reason::MissingField => "missing_field",
            wit::Reason::UnmetRequirement => "unmet_requirement",
            wit::Reason::UnknownKey => "unknown_key",
            wit::Reason::AlteredBody => "altered_body",
            wit::Reason::MissingTimestamp => "missing_timestamp",
            wit::Reason::MalformedTimestamp => "malformed_timestamp",
            wit::Reason::StaleTimestamp => "stale_timestamp",
        };
        let mut detail = rejection.detail;
        detail.truncate(detail.floor_char_boundary(REJECTION_DETAIL_MAX));
        Self { code, detail }
    }
}
