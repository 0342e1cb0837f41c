//! What keeps the store small: bounded deletes, behind everything else.

use super::sql::{Dialect, sql};
use super::{Store, StoreError};

impl Store {
    /// Forgets up to `limit` deliveries whose window is over; returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if none was forgotten.
    pub async fn forget_expired_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let texts: &[&str] = match tx.dialect() {
                    Dialect::Sqlite => &["delete from dedup where (source, key, body_sha256) in \
                        (select source, key, body_sha256 from dedup where expires_ms <= $1 \
                        order by expires_ms limit $2)"],
                    // In the order of their keys, as ingest takes them, passing over
                    // those that it renews at this moment.
                    Dialect::Postgres => &[
                        "delete from dedup where (source, key) in (select source, key from dedup \
                         where expires_ms <= $1 order by expires_ms limit $2 for update skip locked)",
                        "delete from dedup_conflicts where (source, key, body_sha256) in \
                         (select source, key, body_sha256 from dedup_conflicts \
                         where expires_ms <= $1 order by expires_ms limit $2 for update skip locked)",
                    ],
                };
                let mut forgotten = 0;
                for text in texts {
                    let forget = sql(*text).bind(tx.now).bind(limit);
                    forgotten += tx.execute(forget).await?;
                }
                Ok(forgotten)
            })
        })
        .await
    }
}
