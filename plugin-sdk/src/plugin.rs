//! What an author writes: the [`Plugin`] trait and the macro that exports it.
//!
//! `component` turns every [`Plugin`] into what the host calls.

use crate::{Event, Failure, Manifest, Run, Success};

/// A plugin: what it wants, and what it does with one event.
///
/// There is no `self`: every attempt starts in a fresh instance, so nothing in
/// memory outlives it. What must be remembered goes through [`kv`](crate::kv).
pub trait Plugin {
    /// Says what the plugin is and wants, usually starting from
    /// [`manifest!`](crate::manifest!).
    ///
    /// Runs once per file, before any event. No import answers here: a call to
    /// `config`, `kv`, `http` or any other makes the host refuse the file.
    fn manifest() -> Manifest;

    /// Handles one event. What was written through [`kv`](crate::kv) and emitted
    /// through [`events`](crate::events) is committed together with a success, and
    /// dropped with a failure.
    ///
    /// The same run can be attempted more than once, and a run can be replayed:
    /// give [`Run::idempotency_key`] to whatever must act only once.
    ///
    /// # Errors
    ///
    /// [`Failure::Retry`] asks for another attempt later, [`Failure::Permanent`]
    /// ends the run. A panic counts as a trap and is retried.
    fn handle(event: &Event, run: &Run) -> Result<Success, Failure>;
}

/// Exports a [`Plugin`] as this crate's component. Once per crate, at its root.
#[macro_export]
macro_rules! export {
    ($plugin:ident) => {
        // Checks the type natively too, where the rest is left out.
        const _: fn() -> $crate::Manifest = <$plugin as $crate::Plugin>::manifest;

        // The exports' names are no valid symbols outside of WebAssembly.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export!($plugin with_types_in $crate::bindings);
    };
}
