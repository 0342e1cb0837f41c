//! Tasks of the host that are stopped together.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Tasks that stop together.
pub(super) struct Stage {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    /// The tasks that `start` gives, which end when the token is cancelled.
    pub(super) fn of(start: impl FnOnce(CancellationToken) -> Vec<JoinHandle<()>>) -> Self {
        let stop = CancellationToken::new();
        Self {
            tasks: start(stop.clone()),
            stop,
        }
    }

    /// Tells the tasks to stop and waits until they have.
    pub(super) async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the host panicked");
            }
        }
    }
}
