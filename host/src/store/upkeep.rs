//! What keeps the store small: bounded deletes, behind everything else.

use super::{Store, StoreError};

impl Store {
    /// Forgets up to `limit` deliveries whose window is over; returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if none was forgotten.
    pub async fn forget_expired_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        let now = self.now_ms();
        self.0.writer.write(move |tx| {
            Box::pin(async move {
                let forgotten = sqlx::query(
                    "delete from dedup where (source, key, body_sha256) in \
                     (select source, key, body_sha256 from dedup where expires_ms <= ? order by expires_ms limit ?)",
                )
                .bind(now)
                .bind(limit)
                .execute(&mut *tx)
                .await?;
                Ok(forgotten.rows_affected())
            })
        }).await
    }
}
