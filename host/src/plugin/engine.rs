//! The one wasmtime engine: its settings, its pool, its clock, its threads.
//!
//! Guests run on a runtime of their own, at lower priority, so that they cannot
//! keep the door waiting; the epoch is ticked by a thread that no guest can hold.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
};

use crate::config::Maxima;
use crate::config::units::readable_size;

use super::limits::{TABLE_ELEMENTS_MAX, VERIFIERS_MAX};

/// How often a guest that computes is looked at: the grain of the CPU limit and
/// of fairness between guests.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Wasm stack of a guest.
const WASM_STACK: usize = 512 << 10;
/// Fiber stack: leaves host functions called from the guest's depth ample room.
const FIBER_STACK: usize = 2 << 20;
/// Slots beyond the concurrent runs: `describe` runs beside them.
const SPARE_SLOTS: u32 = 2;
/// What one component may need (seen: JavaScript 13 core instances, Python 14).
pub(super) const CORE_INSTANCES: u32 = 16;
pub(super) const MEMORIES: u32 = 3;
pub(super) const TABLES: u32 = 3;
/// How large the folder of compiled components may grow before those used least go.
const CACHE_BYTES: u64 = 1 << 30;
const CACHE_FILES: u64 = 4096;
/// Memory that stays with a slot between runs instead of going back.
const KEEP_RESIDENT: usize = 512 << 10;

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refuses the machine.
    #[error("cannot start the WebAssembly engine: {0}")]
    Wasmtime(wasmtime::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread for plugins: {0}")]
    Thread(#[from] std::io::Error),
}

/// How many guests the pool has room for.
pub(super) fn slots(maxima: &Maxima) -> u32 {
    maxima.concurrent_runs + SPARE_SLOTS
}

/// Makes the engine with its pool; where the machine has no room for the pool's
/// addresses, memory is taken anew for each run instead.
pub(super) fn engine(maxima: &Maxima, cache_dir: Option<&Path>) -> Result<Engine, EngineError> {
    let mut settings = settings(cache_dir)?;
    settings.epoch_interruption(true);
    pooled(settings, maxima, slots(maxima))
}

/// Makes the engine of verifiers, whose guests count instructions instead of time.
pub(super) fn verifier_engine(
    maxima: &Maxima,
    cache_dir: Option<&Path>,
) -> Result<Engine, EngineError> {
    let mut settings = settings(cache_dir)?;
    settings.consume_fuel(true);
    pooled(settings, maxima, VERIFIERS_MAX + SPARE_SLOTS)
}

fn pooled(settings: Config, maxima: &Maxima, slots: u32) -> Result<Engine, EngineError> {
    let mut pooled = settings.clone();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(maxima, slots)));
    match Engine::new(&pooled) {
        Ok(engine) => {
            let memory = readable_size(maxima.limits.memory_bytes);
            tracing::info!(slots, memory, "instances come from a pool");
            Ok(engine)
        }
        Err(error) => {
            tracing::warn!(%error, "no room for a pool of instances; each run takes memory anew, which is slower");
            Engine::new(&settings).map_err(EngineError::Wasmtime)
        }
    }
}

fn settings(cache_dir: Option<&Path>) -> Result<Config, EngineError> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .native_unwind_info(false)
        .wasm_memory64(false);
    if let Some(directory) = cache_dir {
        make_private(directory)?;
        let mut cache = CacheConfig::new();
        cache
            .with_directory(std::path::absolute(directory)?)
            .with_files_total_size_soft_limit(CACHE_BYTES)
            .with_file_count_soft_limit(CACHE_FILES);
        config.cache(Some(Cache::new(cache).map_err(EngineError::Wasmtime)?));
    }
    Ok(config)
}

/// Makes a folder that only its owner can enter: what is in it is executed.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

fn pool(maxima: &Maxima, slots: u32) -> PoolingAllocationConfig {
    let memory = usize::try_from(maxima.limits.memory_bytes).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES)
        .total_memories(slots * MEMORIES)
        .total_tables(slots * TABLES)
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_memory_size(memory)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Ticks the engine's epoch from a thread of its own, until the engine is gone.
pub(super) fn start_ticker(engine: &Engine) -> Result<(), EngineError> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    // It ends with the engine, so nobody needs to join it.
    std::thread::Builder::new()
        .name("hookbay-epoch".into())
        .spawn(tick)?;
    Ok(())
}

/// Threads that guests run on, at a priority that is lower by so much than the host's.
pub(super) fn guest_runtime(name: &str, niceness: i32) -> Result<Runtime, EngineError> {
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let nice = behind_the_door(niceness);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .on_thread_start(move || yield_to_the_door(nice))
        .enable_time()
        .build()?;
    Ok(runtime)
}

/// Runs a guest on such threads for as long as somebody waits for it: who stops waiting stops
/// the guest, where it next waits or has used up a tick, and what it asks of others is hung up.
/// None if its thread panicked.
pub(super) async fn run_on<T: Send + 'static>(
    threads: &Runtime,
    guest: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let mut running = JoinSet::new();
    running.spawn_on(guest, threads.handle());
    running.join_next().await?.ok()
}

/// Threads that compile, which take all cores for as long as a component likes: at a priority
/// that is lower by so much than the host's.
pub(super) fn compile_threads(niceness: i32) -> Result<rayon::ThreadPool, EngineError> {
    let nice = behind_the_door(niceness);
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|_| "hookbay-compile".to_owned())
        .start_handler(move |_| yield_to_the_door(nice))
        .build()
        .map_err(std::io::Error::other)?;
    Ok(threads)
}

/// The niceness of threads that stand so far behind the calling one, which is the host's.
fn behind_the_door(by: i32) -> i32 {
    rustix::process::nice(0).map_or(by, |own| own + by)
}

/// Lowers the priority of the calling thread (on Linux niceness is per thread), however low
/// that of the thread is that started it: guests' threads start others.
fn yield_to_the_door(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, "guest threads keep the host's priority");
    }
}
