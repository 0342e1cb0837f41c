//! What is over of the audit log.

use std::time::Instant;

use crate::clock::Timestamp;
use crate::store::StoreError;

use super::Retention;

/// Rows that go in one transaction.
const ROWS_AT_ONCE: u32 = 1000;

impl Retention {
    pub(super) async fn remove_audit(&self, now: Timestamp) -> Result<(), StoreError> {
        let bound = now.minus(self.policy.audit);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            if self.store.forget_changes(bound, ROWS_AT_ONCE).await? == 0 {
                break;
            }
            self.rest(began).await;
        }
        Ok(())
    }
}
