//! Tells the dispatcher which plugins may have new runs.
//!
//! A hint, never the truth: the dispatcher looks at the queue by itself too.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::run::PluginId;

/// A bell that remembers for whom it was rung.
#[derive(Debug, Default)]
pub struct Wakeup {
    plugins: Mutex<BTreeSet<PluginId>>,
    bell: Notify,
}

impl Wakeup {
    /// Says that these plugins may have runs that are due.
    pub fn ring(&self, plugins: &[PluginId]) {
        if plugins.is_empty() {
            return;
        }
        self.plugins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(plugins);
        self.bell.notify_one();
    }

    /// Waits for a ring, unless one came since the last, and says for whom.
    pub(super) async fn rung(&self) -> BTreeSet<PluginId> {
        self.bell.notified().await;
        std::mem::take(&mut *self.plugins.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
