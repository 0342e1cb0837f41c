//! The one door to the host: what the modules for authors call.
//!
//! In a component these are the contract's imports, and WASI's clocks. Natively there is
//! no host, and the test kit answers, with the same names and signatures.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::{
    hookbay::plugin::{config, crypto, events, http, kv, log},
    verifier::hookbay::plugin::oracle,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{clock, config, crypto, events, http, kv, log, oracle};

#[cfg(target_arch = "wasm32")]
pub(crate) mod clock {
    use std::time::{Duration, SystemTime};

    // Not `expect`: where authors have a copy of this crate, nothing forbids it.
    #[allow(
        clippy::disallowed_methods,
        reason = "in a component this is an import, which the host records"
    )]
    pub(crate) fn now() -> SystemTime {
        SystemTime::now()
    }

    pub(crate) fn sleep(time: Duration) {
        std::thread::sleep(time);
    }
}
