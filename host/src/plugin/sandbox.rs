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
use crate::config::Limits;
use crate::kv::KvEffects;
use crate::run::{AttemptRecord, LogLevel, Outcome};

use super::bindings::exports::hookbay::plugin::handler as wit;
use super::bindings::{Plugin, PluginPre};
use super::imports::{Gate, Grants};
use super::limits::{CALL_BYTES_MAX, Exceeded, HANDLES_MAX};
use super::log::{Log, Stream};
use super::memory::Memory;
use super::meter::{Meter, Metered};
use super::report::{Report, checked, classify, report};

/// What a store carries for its guest.
pub(super) struct Guest {
    pub(super) gate: Gate,
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Starts guests of one engine.
pub(super) struct Sandbox<'a> {
    pub(super) engine: &'a Engine,
    pub(super) limits: Limits,
    pub(super) clock: &'a Clock,
    /// None: `describe`, with a fixed clock and seed, and no import to call.
    pub(super) grants: Option<Grants>,
}

impl Sandbox<'_> {
    /// Calls `handle` once.
    pub(super) async fn handle(
        &self,
        pre: &PluginPre<Guest>,
        event: wit::Event,
        run: wit::Run,
    ) -> Report {
        let log = Log::default();
        let started_at = self.clock.now();
        let ended = self
            .enter(pre, &log, |plugin, store| {
                Box::pin(async move {
                    plugin
                        .hookbay_plugin_handler()
                        .call_handle(store, &event, &run)
                        .await
                })
            })
            .await;
        let answer = ended.answer.and_then(checked);
        let record = AttemptRecord {
            started_at,
            duration_us: i64::try_from(ended.duration.as_micros()).unwrap_or(i64::MAX),
            cpu_us: i64::try_from(ended.cpu.as_micros()).unwrap_or(i64::MAX),
            memory_bytes: i64::try_from(ended.memory_bytes).unwrap_or(i64::MAX),
            logs: log.take(),
        };
        report(answer, record, ended.effects)
    }

    /// Calls `describe` once; says how much memory the guest had then, too.
    pub(super) async fn describe(
        &self,
        pre: &PluginPre<Guest>,
    ) -> Result<(wit::Manifest, u64), Exceeded> {
        let ended = self
            .enter(pre, &Log::default(), |plugin, store| {
                Box::pin(async move { plugin.hookbay_plugin_handler().call_describe(store).await })
            })
            .await;
        let memory_bytes = ended.memory_bytes as u64;
        ended.answer.map(|manifest| (manifest, memory_bytes))
    }

    /// Instantiates, calls, and takes everything down again.
    async fn enter<T>(
        &self,
        pre: &PluginPre<Guest>,
        log: &Log,
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
        let mut store = self.store(log, &stdout, &stderr, &meter);
        let result = {
            let inside = std::pin::pin!(async {
                let plugin = pre.instantiate_async(&mut store).await?;
                call(&plugin, &mut store).await
            });
            tokio::time::timeout(
                self.limits.wall,
                Metered {
                    inside,
                    meter: &meter,
                },
            )
            .await
        };
        stdout.finish();
        stderr.finish();
        let guest = store.into_data();
        let answer = match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(&error, guest.memory.refusal(), log)),
            Err(_) => Err(Exceeded {
                outcome: Outcome::Wall,
                message: format!("not done after {:?} of wall time", self.limits.wall),
            }),
        };
        Ended {
            answer,
            duration: started.elapsed(),
            cpu: meter.used(),
            memory_bytes: guest.memory.bytes(),
            effects: guest.gate.into_effects(),
        }
    }

    fn store(
        &self,
        log: &Log,
        stdout: &Stream,
        stderr: &Stream,
        meter: &Arc<Meter>,
    ) -> Store<Guest> {
        let guest = Guest {
            gate: Gate::new(self.grants.clone(), self.clock.clone(), log.clone()),
            wasi: self.wasi(stdout, stderr),
            table: resources(),
            memory: Memory::new(self.limits.memory_bytes),
        };
        let mut store = Store::new(self.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(CALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let (limit, meter) = (self.limits.cpu, Arc::clone(meter));
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

    /// WASI with nothing in it: no files, no sockets, no environment.
    fn wasi(&self, stdout: &Stream, stderr: &Stream) -> WasiCtx {
        let mut wasi = WasiCtxBuilder::new();
        let seeds: [[u8; 32]; 3] = match self.grants {
            Some(_) => rand::random(),
            None => [[0; 32]; 3],
        };
        let [secure, insecure, hashes] = seeds;
        wasi.stdout(stdout.clone())
            .stderr(stderr.clone())
            // Every address is refused anyway; but a socket is a descriptor of ours.
            .allow_tcp(false)
            .allow_udp(false)
            .secure_random(StdRng::from_seed(secure))
            .insecure_random(StdRng::from_seed(insecure))
            .insecure_random_seed(u128::from_le_bytes(
                *hashes.first_chunk().expect("it has 32 bytes"),
            ))
            .max_random_size(64 << 10);
        if self.grants.is_none() {
            wasi.wall_clock(FixedClock).monotonic_clock(FixedClock);
        }
        wasi.build()
    }
}

fn resources() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    table
}

/// What is left of an attempt when its instance is gone.
struct Ended<T> {
    answer: Result<T, Exceeded>,
    duration: Duration,
    cpu: Duration,
    memory_bytes: usize,
    effects: KvEffects,
}

/// Time that does not pass.
struct FixedClock;

impl wasmtime_wasi::HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl wasmtime_wasi::HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}
