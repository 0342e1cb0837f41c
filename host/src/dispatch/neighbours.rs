//! What this host says to the others that share its database, and hears from them.
//!
//! Hints only: what is not heard is found by looking. What is to be said is
//! gathered for a moment, so that a thousand webhooks make ten notes, and said in a
//! transaction of its own: a commit with a note in it waits for every other such.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError, Wake};

use super::wakeup::Wakeup;

/// Between two notes.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Between tries while the database does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Tells the others whose runs this host stored, until `stop`.
pub async fn tell(store: Store, wakeup: Arc<Wakeup>, stop: CancellationToken) {
    loop {
        let plugins = tokio::select! {
            plugins = wakeup.untold() => plugins,
            () = stop.cancelled() => return,
        };
        if let Err(error) = store.tell_runs(&plugins).await {
            tracing::debug!(%error, "other hosts are not told of runs; they look by themselves");
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Hears what the others say, until `stop`; rings for it.
pub async fn hear(
    store: Store,
    wakeup: Arc<Wakeup>,
    registry: Arc<Notify>,
    stop: CancellationToken,
) {
    let hear = async {
        loop {
            match hear_until_lost(&store, &wakeup, &registry).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, "other hosts cannot be heard; trying again");
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    tokio::select! { () = hear => {}, () = stop.cancelled() => {} }
}

/// Returns where there is nothing to hear.
async fn hear_until_lost(
    store: &Store,
    wakeup: &Wakeup,
    registry: &Notify,
) -> Result<(), StoreError> {
    let Some(mut listener) = store.listen().await? else {
        return Ok(());
    };
    loop {
        match listener.next().await? {
            Wake::Runs(plugins) => wakeup.ring(&plugins),
            // What was said of runs meanwhile, the next look finds.
            Wake::Registry | Wake::Anything => registry.notify_one(),
        }
    }
}
