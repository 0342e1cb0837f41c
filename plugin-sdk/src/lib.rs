//! Write Hookbay plugins in Rust.
//!
//! A plugin is a WebAssembly component that Hookbay runs once for each webhook
//! that matches one of its triggers. This is a whole one:
//!
//! ```
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, log, manifest};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     fn manifest() -> Manifest {
//!         manifest!().trigger(Trigger::provider("github", "push"))
//!     }
//!
//!     fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
//!         log::info!("hello"; delivery = event.id);
//!         Ok(Success::new(format!("{} bytes of {}", event.body.len(), event.kind)))
//!     }
//! }
//!
//! hookbay_plugin::export!(Hello);
//! ```
//!
//! Build it with `cargo build --target wasm32-wasip2` as a `cdylib`; test it with
//! plain `cargo test`, on the fake host in `testing`.
//!
//! The pieces, in the order in which a webhook meets them: [`Manifest`] says which
//! events the plugin wants, [`Plugin::handle`] gets an [`Event`] and a [`Run`],
//! asks the host through [`config`], [`kv`], [`http`], [`crypto`], [`events`], [`clock`]
//! and [`log`], and answers with a [`Success`] or a [`Failure`]. What a plugin needs from
//! the operator, endpoints, secrets and configuration, it names in its manifest; texts
//! that the operator writes are [`template`]s. The contract itself is in `wit/`;
//! `component` converts between it and the types here.
//!
//! A [`verifier`] is the other thing that a component can be: it proves who sent a request,
//! where no provider of the host's catalogue does.

#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod component;
pub mod config;
pub mod crypto;
mod event;
pub mod events;
pub mod http;
mod imports;
pub mod kv;
pub mod log;
mod manifest;
pub mod oracle;
mod outcome;
mod plugin;
pub mod template;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod verifier;

pub use event::{Event, Header, Run};
pub use manifest::{ConfigWant, EndpointWant, Manifest, Origin, SecretWant, Trigger};
pub use outcome::{Failure, Success};
pub use plugin::Plugin;
