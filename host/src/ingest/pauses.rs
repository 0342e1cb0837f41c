//! Which sources are paused: as the store has it, for all hosts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

use super::Sources;

/// Between looks at what other hosts were told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes over what the store has.
///
/// # Errors
/// [`StoreError`] if it does not answer; what was known stays.
pub async fn read(store: &Store, sources: &Sources) -> Result<(), StoreError> {
    sources.pause_only(store.paused_sources().await?);
    Ok(())
}

/// Follows the store until `stop`.
pub async fn follow(store: Store, sources: Arc<Sources>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = read(&store, &sources).await {
            tracing::debug!(%error, "which sources are paused cannot be read now");
        }
    }
}
