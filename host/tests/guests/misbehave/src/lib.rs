//! A test guest that breaks every limit, as the event's body says.
//!
//! The body is JSON: `{"do": "spin"}`, `{"do": "sleep", "ms": 100}`; [`Mode`] lists
//! what there is. The host's tests send such events and look at what came of them.

use std::{
    collections::HashMap,
    fs,
    hash::{BuildHasher, RandomState},
    hint::black_box,
    net::{TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant, SystemTime},
};

use hookbay_plugin::{
    Event, Failure, Manifest, Plugin, Run, Success, Trigger, config, events, kv, log, manifest,
};
use serde::{Deserialize, Serialize};

struct Misbehave;

hookbay_plugin::export!(Misbehave);

/// What to do, from the body's `do`; the other members are its arguments.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Mode {
    /// Succeeds.
    Ok,

    /// Uses the CPU without end.
    Spin,
    /// Waits without using the CPU, then succeeds.
    Sleep { ms: u64 },
    /// Takes and touches memory until no more is given, then panics.
    Allocate,
    /// Recurses until the stack is full.
    Recurse,

    /// Executes an `unreachable` instruction.
    Trap,
    /// Panics with `deliberate panic`.
    Panic,
    /// Exits the process with code 3.
    Exit,

    /// Logs without end.
    LogFlood,
    /// Prints to stdout without end.
    StdoutFlood,
    /// Calls the host without end.
    CallFlood,
    /// Sets new keys until the host refuses one.
    KvFlood,
    /// Succeeds with a summary of this size.
    BigSummary { bytes: usize },
    /// Succeeds with JSON data of this size.
    BigData { bytes: usize },

    /// Asks for a retry: `asked to retry`.
    Retry { after_ms: Option<u64> },
    /// Asks for a retry until this attempt, which succeeds.
    RetryUntil { attempt: u32 },
    /// Fails for good: `asked to fail`.
    Permanent,

    /// Sets a key.
    KvSet { key: String, value: String },
    /// The summary is the key's value, or `none`.
    KvGet { key: String },
    /// Adds to a counter.
    KvIncrement { key: String, by: i64 },
    /// Sets a key, then asks for a retry.
    KvWriteThenFail { key: String, value: String },
    /// Reads a decimal number and writes its successor, which is the summary.
    GetThenSet { key: String },

    /// Emits events, then succeeds, or asks for a retry up to this attempt.
    Emit {
        kind: String,
        times: u32,
        #[serde(default)]
        until: u32,
    },
    /// Emits its own event again.
    EmitSelf,
    /// Everything that differs from one attempt to the next: time, randomness, order.
    Dice,
    /// Writes, reads and lists keys, over what is stored.
    KvMix,

    /// Looks for anything outside of the sandbox; the summary says what it saw.
    Env,
    /// Prints to stdout and stderr.
    Print { text: String },
    /// The data is everything that `handle` was given, but for the body's bytes.
    Echo,
}

impl Plugin for Misbehave {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::source("misbehave", "**"))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let ok = || Ok(Success::new("ok"));
        match event.json()? {
            Mode::Ok => ok(),

            Mode::Spin => spin(),
            Mode::Sleep { ms } => {
                thread::sleep(Duration::from_millis(ms));
                ok()
            }
            Mode::Allocate => allocate(),
            Mode::Recurse => Ok(Success::new(recurse(0).to_string())),

            Mode::Trap => trap(),
            Mode::Panic => panic!("deliberate panic"),
            Mode::Exit => std::process::exit(3),

            Mode::LogFlood => log_flood(),
            Mode::StdoutFlood => stdout_flood(),
            Mode::CallFlood => call_flood(),
            Mode::KvFlood => kv_flood(),
            Mode::BigSummary { bytes } => Ok(Success::new("x".repeat(bytes))),
            // Two of the bytes are the quotes.
            Mode::BigData { bytes } => {
                Success::new("ok").with_data(&"x".repeat(bytes.saturating_sub(2)))
            }

            Mode::Retry { after_ms } => Err(retry(after_ms)),
            Mode::RetryUntil { attempt } if run.attempt >= attempt => ok(),
            Mode::RetryUntil { .. } => Err(retry(None)),
            Mode::Permanent => Err(Failure::permanent("asked to fail")),

            Mode::Emit { kind, times, until } => emit(run, &kind, times, until),
            Mode::EmitSelf => {
                events::emit("again", &event.body)?;
                ok()
            }
            Mode::Dice => dice(),
            Mode::KvMix => kv_mix(),

            Mode::KvSet { key, value } => {
                kv::set(&key, value)?;
                ok()
            }
            Mode::KvGet { key } => {
                let value = kv::get(&key)?.unwrap_or_else(|| b"none".to_vec());
                Ok(Success::new(String::from_utf8_lossy(&value)))
            }
            Mode::KvIncrement { key, by } => {
                kv::increment(&key, by)?;
                ok()
            }
            Mode::KvWriteThenFail { key, value } => {
                kv::set(&key, value)?;
                Err(retry(None))
            }
            Mode::GetThenSet { key } => {
                let next = (kv::get_counter(&key)? + 1).to_string();
                kv::set(&key, &next)?;
                Ok(Success::new(next))
            }

            Mode::Env => Ok(Success::new(look_around())),
            Mode::Print { text } => {
                println!("{text}");
                eprintln!("{text}");
                ok()
            }
            Mode::Echo => Success::new("ok").with_data(&Echo::of(event, run)),
        }
    }
}

fn retry(after_ms: Option<u64>) -> Failure {
    let failure = Failure::retry("asked to retry");
    match after_ms {
        Some(ms) => failure.after(Duration::from_millis(ms)),
        None => failure,
    }
}

fn spin() -> ! {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate() -> ! {
    const CHUNK_BYTES: usize = 1 << 20;
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut chunk = Vec::new();
        if chunks.try_reserve(1).is_err() || chunk.try_reserve_exact(CHUNK_BYTES).is_err() {
            panic!("out of memory after {} MiB", chunks.len());
        }
        chunk.resize(CHUNK_BYTES, 1);
        chunks.push(black_box(chunk));
    }
}

/// Small frames: it is the host's stack that ends first, not the guest's own.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if black_box(false) {
        return depth;
    }
    black_box(recurse(depth + 1)).wrapping_add(1)
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

fn log_flood() -> ! {
    let mut n_lines: u64 = 0;
    loop {
        log::info!("flood"; line = n_lines);
        n_lines += 1;
    }
}

fn stdout_flood() -> ! {
    loop {
        println!("flood");
    }
}

fn call_flood() -> ! {
    loop {
        black_box(config::get("nothing"));
    }
}

fn kv_flood() -> Result<Success, Failure> {
    let mut n_keys: u64 = 0;
    loop {
        kv::set(&format!("flood/{n_keys}"), "x")?;
        n_keys += 1;
    }
}

/// What can be seen of the world outside. A sandbox shows nothing.
fn look_around() -> String {
    let mut sights = Vec::new();
    for (name, _) in std::env::vars_os() {
        sights.push(format!("variable {}", name.display()));
    }
    for argument in std::env::args_os() {
        sights.push(format!("argument {}", argument.display()));
    }
    for path in ["/", "."] {
        if fs::read_dir(path).is_ok() {
            sights.push(format!("directory {path}"));
        }
    }
    if fs::read("/etc/passwd").is_ok() {
        sights.push("file /etc/passwd".to_owned());
    }
    if fs::write("/tmp/misbehave", "x").is_ok() {
        sights.push("writable /tmp".to_owned());
    }
    if ("localhost", 80).to_socket_addrs().is_ok() {
        sights.push("name localhost".to_owned());
    }
    for address in [
        "127.0.0.1:80",
        "127.0.0.1:8080",
        "127.0.0.1:8081",
        "1.1.1.1:443",
    ] {
        // A refusal by the other side would also mean that the packet got out.
        match TcpStream::connect(address) {
            Ok(_) => sights.push(format!("socket {address}")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                sights.push(format!("refusal by {address}"));
            }
            Err(_) => {}
        }
    }
    if sights.is_empty() {
        "saw nothing".to_owned()
    } else {
        format!("saw {}", sights.join(", "))
    }
}

/// What `handle` was given.
#[derive(Serialize)]
struct Echo<'event> {
    id: &'event str,
    source: &'event str,
    provider: &'event str,
    kind: &'event str,
    delivery_id: Option<&'event str>,
    received_at_ms: u64,
    content_type: Option<&'event str>,
    headers: Vec<(&'event str, String)>,
    body_bytes: usize,
    run_id: &'event str,
    attempt: u32,
    max_attempts: u32,
    idempotency_key: &'event str,
}

impl<'event> Echo<'event> {
    fn of(event: &'event Event, run: &'event Run) -> Self {
        let headers = event.headers.iter().map(|header| {
            (
                header.name.as_str(),
                String::from_utf8_lossy(&header.value).into_owned(),
            )
        });
        Self {
            id: &event.id,
            source: &event.source,
            provider: &event.provider,
            kind: &event.kind,
            delivery_id: event.delivery_id.as_deref(),
            received_at_ms: event.received_at_ms,
            content_type: event.content_type.as_deref(),
            headers: headers.collect(),
            body_bytes: event.body.len(),
            run_id: &run.id,
            attempt: run.attempt,
            max_attempts: run.max_attempts,
            idempotency_key: &run.idempotency_key,
        }
    }
}

fn emit(run: &Run, kind: &str, times: u32, until: u32) -> Result<Success, Failure> {
    for n in 0..times {
        events::emit_json(kind, &n)?;
    }
    if run.attempt < until {
        return Err(Failure::retry("asked to retry"));
    }
    Ok(Success::new(format!("{times} emitted")))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what differs from one attempt to the next is what it is there for"
)]
fn dice() -> Result<Success, Failure> {
    let began = Instant::now();
    let order: HashMap<u32, ()> = (0..20).map(|n| (n, ())).collect();
    let random = RandomState::new().hash_one(0);
    log::info!("rolled"; order = format!("{:?}", order.keys()), random = random);
    thread::sleep(Duration::from_millis(3));
    println!("it is {:?}, {:?} later", SystemTime::now(), began.elapsed());
    Ok(Success::new(format!(
        "{random} after {:?}",
        began.elapsed()
    )))
}

fn kv_mix() -> Result<Success, Failure> {
    kv::increment("count", 1)?;
    let count = kv::get("count")?;
    kv::delete("mix/a")?;
    kv::set("mix/b", "fresh")?;
    let keys = kv::list("mix/", 10)?;
    let missing = kv::get("nothing")?;
    log::info!("mixed"; keys = format!("{keys:?}"), missing = missing.is_none());
    Ok(Success::new(String::from_utf8_lossy(
        &count.unwrap_or_default(),
    )))
}
