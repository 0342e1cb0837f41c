//! Hookbay: a webhook engine.
//!
//! It receives any provider's webhooks, proves who sent them, keeps them, and runs
//! each through sandboxed WebAssembly plugins.
//!
//! # The life of one webhook
//!
//! 1. [`http`] takes the request and finds its source.
//! 2. [`ingest`] reads the body within its limit, verifies it over its raw bytes,
//!    and reads kind and delivery id out of it: now it is an [`event::Event`].
//! 3. Triggers say which plugins want it ([`trigger`]); event, runs and dedup key
//!    go into one commit of the [`store`]. Only then is it answered with a 2xx.
//! 4. [`dispatch`] is woken, claims the runs, and executes each on a fresh instance
//!    of its plugin ([`plugin`]), under every limit.
//! 5. [`retry`] decides what follows; the store records the attempt together with
//!    what the plugin wrote.
//! 6. [`admin`] and [`metrics`] show it all.
//!
//! The words (event, run, attempt, fence, …) are defined in [`event`] and [`run`].
//! `docs/ARCHITECTURE.md` has the map and the invariants.

// The words: pure, no I/O, no clock.
pub mod clock;
pub mod event;
pub mod gzip;
pub mod hash;
pub mod json;
pub mod kv;
pub mod name;
mod public_key;
pub mod rate;
pub mod redact;
pub mod retry;
pub mod run;
pub mod trigger;

// What can be set, and how it all is put together.
pub mod app;
pub mod config;

// The stages, in the order in which a webhook passes them.
pub mod admin;
mod dashboard;
pub mod dispatch;
pub mod http;
pub mod ingest;
pub mod metrics;
pub mod plugin;
pub mod store;
pub mod traces;

pub mod cli;
