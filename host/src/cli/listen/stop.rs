//! How the user ends it: Ctrl-C once lets the event that is on its way arrive and be noted,
//! so that it is not sent twice; once more ends it there and then.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::complain;

/// What the user has asked for.
pub(super) struct Stop {
    soon: CancellationToken,
    at_once: CancellationToken,
    hearing: JoinHandle<()>,
}

impl Stop {
    /// Hears Ctrl-C from now on.
    pub(super) fn on_ctrl_c() -> Self {
        let (soon, at_once) = (CancellationToken::new(), CancellationToken::new());
        let hearing = tokio::spawn(hear(soon.clone(), at_once.clone()));
        Self {
            soon,
            at_once,
            hearing,
        }
    }

    /// Whether no other event is to be begun.
    pub(super) fn is_wanted(&self) -> bool {
        self.soon.is_cancelled()
    }

    /// Until no other event is to be begun.
    pub(super) async fn soon(&self) {
        self.soon.cancelled().await;
    }

    /// Until not even what was begun is to be ended.
    pub(super) async fn at_once(&self) {
        self.at_once.cancelled().await;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

async fn hear(soon: CancellationToken, at_once: CancellationToken) {
    for (token, says) in [
        (
            soon,
            "ending, once the event that is on its way is taken or refused; Ctrl-C again ends at once",
        ),
        (
            at_once,
            "ended at once: the event that was on its way is sent again next time",
        ),
    ] {
        // Where signals cannot be had, the process ends by them.
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        complain(says);
        token.cancel();
    }
}
