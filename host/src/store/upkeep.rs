//! What keeps the store small: bounded deletes, behind everything else.

use super::sql::sql;
use super::{Engine, Store, StoreError};

impl Store {
    /// Whether this host does what one of several has to do: the one that lives
    /// longest. Two may think so for a moment, which does no harm.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn is_first_host(&self) -> Result<bool, StoreError> {
        let first =
            sql("select epoch from hosts where lease_ms > $1 order by started_ms, epoch limit 1");
        let first = first.bind(self.now());
        let row = self.run_readers().fetch_optional(first).await?;
        let first = row.map(|row| row.int("epoch")).transpose()?;
        Ok(first.is_none_or(|epoch| epoch == self.epoch().0))
    }

    /// Forgets deliveries whose window is over, `limit` of them in each transaction;
    /// returns how many. None is left when none was forgotten.
    ///
    /// # Errors
    /// [`StoreError`] if not all of them were forgotten.
    pub async fn forget_expired_deliveries(&self, limit: u32) -> Result<u64, StoreError> {
        if let Engine::Sqlite(_) = &self.0.engine {
            return self.forget_on_sqlite(limit).await;
        }
        self.write(move |tx| {
            Box::pin(async move {
                // In the order of their keys, as ingest takes them, passing over
                // those that it renews at this moment.
                let texts = [
                    "delete from dedup where (source, key) in (select source, key from dedup \
                     where expires_ms <= $1 order by expires_ms limit $2 for update skip locked)",
                    "delete from dedup_conflicts where (source, key, body_sha256) in \
                     (select source, key, body_sha256 from dedup_conflicts \
                     where expires_ms <= $1 order by expires_ms limit $2 for update skip locked)",
                ];
                let mut forgotten = 0;
                for text in texts {
                    let forget = sql(text).bind(tx.now).bind(limit);
                    forgotten += tx.execute(forget).await?;
                }
                Ok(forgotten)
            })
        })
        .await
    }
}
