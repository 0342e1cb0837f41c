//! What an operator should know of at start, though the host runs all the same.

use crate::config::Config;
use crate::store::{Store, StoreError};

use super::permissions;

pub(super) async fn say(config: &Config, store: &Store) -> Result<(), StoreError> {
    for open in permissions::too_open(config) {
        tracing::warn!("{open}");
    }
    for key in store.note_keys().await? {
        tracing::warn!(
            key,
            "requests were stored with an encryption key that `encryption.keys` does not have; \
             those that are there still cannot be read"
        );
    }
    Ok(())
}
