//! Tells the dispatcher which plugins may have new runs, and which runs are not to
//! go on.
//!
//! A hint, never the truth: the dispatcher looks at the queue by itself too.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::run::{PluginId, RunId};

/// A bell that remembers for whom it was rung.
#[derive(Debug, Default)]
pub struct Wakeup {
    rung: Mutex<Rung>,
    bell: Notify,
    /// For those whom other hosts are to hear of.
    untold: Mutex<BTreeSet<PluginId>>,
    tell: Notify,
}

/// What was rung for.
#[derive(Debug, Default)]
pub(super) struct Rung {
    /// Plugins that may have runs that are due.
    pub(super) plugins: BTreeSet<PluginId>,
    /// Runs that are not this host's any more.
    pub(super) lost: BTreeSet<RunId>,
}

impl Wakeup {
    /// Says that these plugins may have runs that are due.
    pub fn ring(&self, plugins: &[PluginId]) {
        if plugins.is_empty() {
            return;
        }
        locked(&self.rung).plugins.extend(plugins);
        self.bell.notify_one();
    }

    /// Says that what can run here has changed, and what can: what was claimed for others is to
    /// be given back.
    pub(super) fn changed(&self, able: &[PluginId]) {
        locked(&self.rung).plugins.extend(able);
        self.bell.notify_one();
    }

    /// As [`Wakeup::ring`], of runs that this host has stored: other hosts may take them too.
    pub fn ring_everywhere(&self, plugins: &[PluginId]) {
        if plugins.is_empty() {
            return;
        }
        self.ring(plugins);
        locked(&self.untold).extend(plugins);
        self.tell.notify_one();
    }

    /// Says that these runs are not this host's any more: their guests are to stop.
    pub fn lost(&self, runs: &[RunId]) {
        if runs.is_empty() {
            return;
        }
        locked(&self.rung).lost.extend(runs);
        self.bell.notify_one();
    }

    /// Waits for a ring, unless one came since the last, and says for whom.
    pub(super) async fn rung(&self) -> Rung {
        self.bell.notified().await;
        std::mem::take(&mut *locked(&self.rung))
    }

    /// Waits for something that other hosts are to hear.
    pub(super) async fn untold(&self) -> Vec<PluginId> {
        self.tell.notified().await;
        std::mem::take(&mut *locked(&self.untold))
            .into_iter()
            .collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Wakeup;

    #[tokio::test]
    async fn it_rings_when_the_last_plugin_has_gone() {
        let wakeup = Wakeup::default();
        wakeup.changed(&[]);
        assert!(wakeup.rung().await.plugins.is_empty());
    }
}
