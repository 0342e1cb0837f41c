//! One attempt: a fresh instance with every limit set, called once, dropped.
//!
//! Whatever a guest does ends as a [`Report`]: its failure is data. The limits
//! that hold for all plugins stand in [`super::limits`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rand::SeedableRng;
use rand::rngs::StdRng;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::clock::Clock;
use crate::config::{JournalPolicy, Limits};
use crate::event::Event;
use crate::run::{AttemptRecord, LogLevel, Outcome};

use super::RunContext;
use super::bindings::exports::hookbay::plugin::handler as wit;
use super::bindings::{Plugin, PluginPre};
use super::imports::{Gate, Grants, Outside, Passed, World};
use super::journal::{Journal, Recorder, Recording, Seed};
use super::limits::{CALL_BYTES_MAX, Exceeded, HANDLES_MAX};
use super::log::{Log, Stream};
use super::memory::Memory;
use super::meter::{Meter, Metered};
use super::oracle::Oracle;
use super::report::{Report, checked, classify, report};
use super::wasi_http::Room;
use super::{event_for_guest, run_for_guest};

/// What a store carries for its guest.
pub(super) struct Guest {
    pub(super) gate: Gate,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    pub(super) memory: Memory,
    /// What a verifier computes with.
    pub(super) oracle: Oracle,
    /// Requests of `wasi:http` that were begun.
    pub(super) requests: u32,
    /// Where they are kept.
    pub(super) room: Room,
}

impl Guest {
    pub(super) fn new(gate: Gate, wasi: WasiCtx, memory: Memory, oracle: Oracle) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX as usize);
        Self {
            gate,
            table,
            wasi,
            memory,
            oracle,
            requests: 0,
            room: Room::default(),
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// What is around a guest.
pub(super) enum Around {
    /// Nothing to call, a clock that stands still and a fixed seed: `describe`.
    Nothing,
    /// The world.
    World(Grants, JournalPolicy),
    /// What the world answered once.
    Recording(Journal),
}

/// Starts guests of one engine.
pub(super) struct Sandbox<'a> {
    pub(super) engine: &'a Engine,
    pub(super) limits: Limits,
    pub(super) clock: &'a Clock,
    pub(super) around: Around,
}

impl Sandbox<'_> {
    /// Calls `handle` once.
    pub(super) async fn handle(
        self,
        pre: &PluginPre<Guest>,
        event: &Event,
        run: RunContext,
    ) -> Report {
        let log = Log::default();
        let started_at = self.clock.now();
        let (event, for_guest) = (event_for_guest(event), run_for_guest(event, &run));
        let context = Some((run, for_guest.idempotency_key.clone()));
        let (secrets, policy) = match &self.around {
            Around::World(grants, policy) => (Some(Arc::clone(&grants.secrets)), *policy),
            Around::Nothing | Around::Recording(_) => (None, JournalPolicy::None),
        };
        let ended = self
            .enter(pre, &log, context, |plugin, store| {
                Box::pin(async move {
                    plugin
                        .hookbay_plugin_handler()
                        .call_handle(store, &event, &for_guest)
                        .await
                })
            })
            .await;
        let answer = ended.answer.and_then(checked);
        let is_success = matches!(answer, Ok(Ok(_)));
        let is_kept = match policy {
            JournalPolicy::All => true,
            JournalPolicy::Failures => !is_success,
            JournalPolicy::None => false,
        };
        let mut passed = ended.passed;
        let journal = passed.journal.take().filter(|_| is_kept);
        let journal = journal.map(|journal| journal.ended(is_success));
        let record = AttemptRecord {
            started_at,
            duration_us: in_us(ended.duration),
            cpu_us: in_us(ended.cpu),
            memory_bytes: in_bytes(ended.memory_bytes),
            egress_bytes: in_bytes(passed.egress_bytes),
            calls_us: in_us(passed.calling),
            logs: log.take(),
            journal: None,
        };
        let mut report = report(answer, record, passed);
        let finish = || {
            report.record.journal = journal.as_ref().map(Journal::text);
            if let Some(secrets) = secrets {
                report.scrub(&secrets);
            }
        };
        if journal.is_some() {
            // A guest decides how long that takes: others go on meanwhile.
            tokio::task::block_in_place(finish);
        } else {
            finish();
        }
        report
    }

    /// Calls `describe` once; says how much memory the guest had then, too.
    pub(super) async fn describe(
        self,
        pre: &PluginPre<Guest>,
    ) -> Result<(wit::Manifest, u64), Exceeded> {
        let ended = self
            .enter(pre, &Log::default(), None, |plugin, store| {
                Box::pin(async move { plugin.hookbay_plugin_handler().call_describe(store).await })
            })
            .await;
        let memory_bytes = ended.memory_bytes as u64;
        ended.answer.map(|manifest| (manifest, memory_bytes))
    }

    /// Instantiates, calls, and takes everything down again.
    async fn enter<T>(
        self,
        pre: &PluginPre<Guest>,
        log: &Log,
        run: Option<(RunContext, String)>,
        call: impl for<'a> FnOnce(
            &'a Plugin,
            &'a mut Store<Guest>,
        ) -> BoxFuture<'a, wasmtime::Result<T>>
        + Send,
    ) -> Ended<T> {
        let started = Instant::now();
        let meter = Arc::new(Meter::default());
        let stdout = Stream::new(log.clone(), self.clock.clone(), LogLevel::Info);
        let stderr = Stream::new(log.clone(), self.clock.clone(), LogLevel::Error);
        let wall = self.limits.wall;
        let (wasi, gate) = self.surroundings(log, &stdout, &stderr, run, started);
        let mut store = store(self.engine, self.limits, gate, wasi, &meter);
        let result = {
            let inside = std::pin::pin!(async {
                let plugin = pre.instantiate_async(&mut store).await?;
                call(&plugin, &mut store).await
            });
            let metered = Metered {
                inside,
                meter: &meter,
            };
            tokio::time::timeout(wall, metered).await
        };
        stdout.finish();
        stderr.finish();
        let guest = store.into_data();
        let answer = match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(&error, guest.memory.refusal(), log)),
            Err(_) => Err(Exceeded {
                outcome: Outcome::Wall,
                message: format!("not done after {wall:?} of wall time"),
            }),
        };
        Ended {
            answer,
            duration: started.elapsed(),
            cpu: meter.used(),
            memory_bytes: guest.memory.bytes(),
            passed: guest.gate.into_passed(),
        }
    }

    /// WASI, and the choke point to what is around the guest.
    fn surroundings(
        &self,
        log: &Log,
        stdout: &Stream,
        stderr: &Stream,
        run: Option<(RunContext, String)>,
        begun: Instant,
    ) -> (WasiCtx, Gate) {
        let (seed, outside, recorder) = match (&self.around, run) {
            (Around::Nothing, _) | (_, None) => (Seed([0; 32]), None, None),
            (Around::World(grants, policy), Some((run, idempotency_key))) => {
                let seed = Seed(rand::random());
                let (depth, memory) = (grants.depth, self.limits.memory_bytes);
                let recorder = (*policy != JournalPolicy::None)
                    .then(|| Recorder::new(run, seed, depth, memory, begun));
                let world = World {
                    grants: grants.clone(),
                    clock: self.clock.clone(),
                    begun,
                    wall: self.limits.wall,
                    idempotency_key,
                };
                (seed, Some(Outside::World(Box::new(world))), recorder)
            }
            (Around::Recording(journal), Some(_)) => {
                let recording = Recording::new(journal.clone());
                let outside = Outside::Recording(Box::new(recording));
                (journal.seed(), Some(outside), None)
            }
        };
        let gate = Gate::new(outside, self.clock.clone(), log.clone(), recorder);
        (wasi(seed, stdout, stderr), gate)
    }
}

/// WASI with nothing in it: no files, no sockets, no environment. Its randomness grows
/// from the seed; its clocks are shadowed (`wasi`).
pub(super) fn wasi(Seed(seed): Seed, stdout: &Stream, stderr: &Stream) -> WasiCtx {
    use rand::RngExt as _;
    let mut root = StdRng::from_seed(seed);
    let (secure, insecure, hashes) = (root.random(), root.random(), root.random());
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(stdout.clone())
        .stderr(stderr.clone())
        // Every address is refused anyway; but a socket is a descriptor of ours.
        .allow_tcp(false)
        .allow_udp(false)
        .secure_random(StdRng::from_seed(secure))
        .insecure_random(StdRng::from_seed(insecure))
        .insecure_random_seed(hashes)
        .max_random_size(64 << 10);
    wasi.build()
}

fn store(
    engine: &Engine,
    limits: Limits,
    gate: Gate,
    wasi: WasiCtx,
    meter: &Arc<Meter>,
) -> Store<Guest> {
    let memory = Memory::new(limits.memory_bytes);
    let guest = Guest::new(gate, wasi, memory, Oracle::default());
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(CALL_BYTES_MAX);
    store.set_max_component_handles(HANDLES_MAX as usize);
    store.set_epoch_deadline(1);
    let (limit, meter) = (limits.cpu, Arc::clone(meter));
    store.epoch_deadline_callback(move |_| {
        if meter.used() >= limit {
            let message = format!("more than {limit:?} of CPU time");
            return Err(Exceeded {
                outcome: Outcome::Cpu,
                message,
            }
            .into());
        }
        // Tokio's own yield goes to the back of the queue: others are served.
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    });
    store
}

/// What is left of an attempt when its instance is gone.
struct Ended<T> {
    answer: Result<T, Exceeded>,
    duration: Duration,
    cpu: Duration,
    memory_bytes: usize,
    passed: Passed,
}

fn in_us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn in_bytes(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
