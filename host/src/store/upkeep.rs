//! What keeps the store small: bounded deletes, behind everything else.

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::{Store, StoreError};

impl Store {
    /// Writes that this host is alive; a store that cannot write is noticed by
    /// this even when nothing else is to be written.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written.
    pub async fn beat(&self, host_name: &str) -> Result<(), StoreError> {
        let (epoch, now, name) = (self.epoch().0, self.now_ms(), host_name.to_owned());
        self.0
            .writer
            .write(move |tx| beat(tx, epoch, now, name.clone()))
            .await
    }

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

fn beat(
    tx: &mut SqliteConnection,
    epoch: i64,
    now: i64,
    name: String,
) -> BoxFuture<'_, Result<(), StoreError>> {
    Box::pin(async move {
        sqlx::query("insert or replace into hosts (epoch, name, beat_ms) values (?, ?, ?)")
            .bind(epoch)
            .bind(name)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        // Those of starts long past say nothing any more.
        let day_ms = 86_400_000;
        sqlx::query("delete from hosts where beat_ms < ?")
            .bind(now - day_ms)
            .execute(tx)
            .await?;
        Ok(())
    })
}
