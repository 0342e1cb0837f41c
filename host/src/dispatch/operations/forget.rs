//! The end of a plugin that was forgotten.

use std::time::Duration;

use crate::run::PluginId;
use crate::store::{Forgetting, OwnOperation, StoreError};

use super::{NOW, Operations, WAIT, catch_up};

impl Operations {
    /// A slice; when the next one can be.
    pub(super) async fn forget_plugin(
        &self,
        operation: &OwnOperation,
        plugin: PluginId,
    ) -> Result<Duration, StoreError> {
        if operation.row.total.is_none() {
            let left = self.store.plugin_runs(plugin).await?;
            let total = left.due + left.later + left.behind;
            self.store.set_total(operation, total).await?;
        }
        // As long as a plugin may be unknown to who receives events, it may be known.
        let settled = operation
            .row
            .created_at
            .plus(catch_up::settled(&self.store));
        let is_settled = self.clock.now() >= settled;
        let slice = self.store.forget_slice(operation, plugin, is_settled);
        Ok(match slice.await? {
            Forgetting::More | Forgetting::Over => NOW,
            Forgetting::Waits => WAIT,
        })
    }
}
