//! What this host holds: given back where it cannot run here, stopped where it is not
//! ours any more.

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use crate::run::{Fence, RunId};

use super::Loop;

impl Loop {
    /// Stops the guests of runs that are not ours any more.
    pub(super) fn stop_lost(&mut self, is_lost: impl Fn(&Fence) -> bool) {
        self.lanes.forget(&is_lost);
        for attempt in self.under_way.values() {
            if is_lost(&attempt.fence) {
                attempt.stop.abort();
            }
        }
    }

    /// The lease is over: what was ours may be anybody's. What nobody took while it was,
    /// [`Loop::compare`] gives back once it is renewed.
    pub(super) fn stop_all(&mut self) {
        tracing::error!(
            "the lease could not be renewed in time; what runs is stopped, others will run it"
        );
        self.stop_lost(|_| true);
        self.is_unsure = true;
    }

    /// Gives back what was claimed for plugins that have gone since.
    pub(super) async fn give_back_what_cannot_run(&mut self) {
        let board = self.dispatcher.board.load_full();
        let now = self.dispatcher.clock.now();
        let cannot_run = |plugin| board.by_id(plugin).is_none_or(|entry| !entry.can_run(now));
        self.to_release.extend(self.lanes.give_back(cannot_run));
        self.release().await;
    }

    /// Compares what this host holds by the database's account with its own, while no
    /// claim is under way: what was taken from it is stopped, what it did not know of
    /// is given back.
    pub(super) async fn compare(&mut self) {
        let store = &self.dispatcher.store;
        if !self.is_unsure && !store.is_shared() {
            return;
        }
        let known = self.under_way.values().map(|attempt| attempt.fence);
        let known = known.chain(self.lanes.unstarted());
        let known: HashSet<Fence> = known.chain(self.to_release.iter().copied()).collect();
        let ask = async {
            if self.is_unsure {
                return store.held().await;
            }
            let runs: Vec<RunId> = known.iter().map(|fence| fence.run).collect();
            store.held_of(runs).await
        };
        // The loop is to hear at once that its lease is over.
        let Some(Ok(held)) = self.dispatcher.lease.during(ask).await else {
            return;
        };
        self.is_unsure = false;
        let held: HashSet<Fence> = held.into_iter().collect();
        // An end that was just recorded looks the same: only what is still there at the
        // next look was taken from us.
        let missing: HashSet<Fence> = known.difference(&held).copied().collect();
        let lost: HashSet<Fence> = missing.intersection(&self.missing).copied().collect();
        self.missing = missing;
        self.stop_lost(|fence| lost.contains(fence));
        self.to_release.extend(held.difference(&known));
        self.release().await;
    }

    /// Gives back what is to be; what cannot be is tried at the next look.
    pub(super) async fn release(&mut self) {
        if self.to_release.is_empty() {
            return;
        }
        let release = self.dispatcher.store.release(self.to_release.clone());
        match self.dispatcher.lease.during(release).await {
            Some(Ok(())) => self.to_release.clear(),
            Some(Err(error)) => {
                tracing::error!(%error, "claimed runs cannot be given back; trying again")
            }
            // As in `compare`.
            None => {}
        }
    }

    /// Gives back what was not started, and waits for what executes, as long as the
    /// grace and the lease are.
    pub(super) async fn drain(&mut self, give_up: &CancellationToken) {
        self.to_release.extend(self.lanes.give_back(|_| true));
        self.release().await;
        if self.attempts.is_empty() {
            return;
        }
        let grace = self.dispatcher.grace;
        tracing::info!(
            attempts = self.attempts.len(),
            ?grace,
            "waiting for attempts that execute"
        );
        let mut lease = self.dispatcher.lease.clone();
        let all = async { while self.attempts.join_next().await.is_some() {} };
        let is_over = tokio::select! {
            () = all => true,
            () = async { while lease.changed().await {} } => false,
            () = tokio::time::sleep(grace) => false,
        };
        if !is_over {
            tracing::warn!(
                attempts = self.attempts.len(),
                "attempts were still executing; the next start runs them again"
            );
            give_up.cancel();
            self.attempts.shutdown().await;
        }
    }
}
