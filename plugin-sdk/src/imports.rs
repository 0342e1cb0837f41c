//! The one door to the host: what `config`, `kv` and `log` call.
//!
//! In a component these are the contract's imports. Natively there is no host, and
//! the test kit answers, with the same names and signatures.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::hookbay::plugin::{config, kv, log};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{config, kv, log};
