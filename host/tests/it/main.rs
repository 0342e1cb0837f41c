//! The integration suite: the whole host in one process, driven as its users drive it.
//!
//! Each test starts a host of its own through [`hookbay::app::App`] on port 0, with a
//! database in a temporary folder and real components, and speaks HTTP to both addresses.
//! What it waits for is a condition ([`harness::eventually`]), never a time.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, a panic that names its line is the right answer"
)]

mod access;
mod admin;
mod alerts;
mod backup;
mod bench;
mod bodies;
mod breaker;
mod cancel;
mod clocks;
mod collection;
mod components;
mod concurrency;
mod configuration;
mod conventions;
mod cut_off;
mod damaged;
mod dashboard;
mod database;
mod dedup;
mod diagnosis;
mod door;
mod egress;
mod emit;
mod encryption;
mod erasure;
mod forward;
mod full_disk;
mod grants;
mod handshakes;
mod harness;
mod hostile;
mod hosts;
mod http;
mod ingest;
mod journal;
mod kv;
mod listen;
mod matching;
mod monitoring;
mod numbers;
mod openapi;
mod opening;
mod operations;
mod presence;
mod program;
mod providers;
mod providers_page;
mod quarantine;
mod refusals;
mod reload;
mod repeatable;
mod restart;
mod retention;
mod runs;
mod sandbox;
mod scaffold;
mod search;
mod secrecy;
mod signed;
mod signing;
mod silent;
mod slow;
mod sources;
mod store;
mod stream;
mod stripe_invoice_notion;
mod swap;
mod tidy;
mod tls;
mod traces;
mod vectors;
mod verifiers;
mod versions;
mod wasi_http;
mod writer;
