//! What the operator set for this plugin, under `[plugins.NAME]` as `config.KEY`.
//!
//! Name the keys in the [`Manifest`](crate::Manifest), so that `hookbay check`
//! and the dashboard can tell the operator about them.

use crate::{Failure, imports};

/// The value of a key: text as it is, anything else as JSON text, `None` if not set.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    imports::config::get(key)
}

/// The value of a key that the plugin cannot do without.
///
/// # Errors
///
/// [`Failure::Permanent`] if it is not set, which the host rules out for a key
/// that the manifest [requires](crate::Manifest::requires_config).
pub fn require(key: &str) -> Result<String, Failure> {
    get(key).ok_or_else(|| Failure::permanent(format!("config.{key} is not set")))
}
