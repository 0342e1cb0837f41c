//! What is over of the refused requests that were set aside.

use std::time::Instant;

use crate::clock::Timestamp;
use crate::store::StoreError;

use super::Retention;

impl Retention {
    pub(super) async fn remove_quarantine(&self, now: Timestamp) -> Result<(), StoreError> {
        let bound = now.minus(self.policy.quarantine);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            if self.store.remove_quarantine_before(bound).await? == 0 {
                break;
            }
            self.rest(began).await;
        }
        Ok(())
    }
}
