//! What the queue goes by when a clock is set: times that were made of the time before
//! move with it.
//!
//! On Postgres it is the database's clock, of which [`crate::clock::HeardClock`] tells;
//! a host's own may say what it likes.

use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::run::RunId;

use super::sql::sql;
use super::{Store, StoreError};

/// Runs looked at in one transaction.
const SLICE: u32 = 2000;

impl Store {
    /// When a host was seen the last time: by the minutes in which one ran, or by how it
    /// left.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn last_seen(&self) -> Result<Option<Timestamp>, StoreError> {
        let last = sql(
            "select max(seen_ms) as seen_ms from (select max(minute_ms) as seen_ms from queue_minutes \
             union all select max(-lease_ms) from hosts where lease_ms < 0) seen",
        );
        let row = self.run_readers().fetch_optional(last).await?;
        let last = row.map(|row| row.int_or_none("seen_ms")).transpose()?;
        Ok(last.flatten().map(Timestamp::from_millis))
    }

    /// Leaves the runs that this host executes the time that they had before the clock
    /// was set ahead, or the machine stood still: else each of them would be late, and
    /// started once more.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn clock_set_ahead(&self, by: Duration) -> Result<(), StoreError> {
        let (by_ms, epoch) = (millis(by), self.epoch().0);
        self.write(move |tx| {
            Box::pin(async move {
                let deadlines = sql(
                    "update runs set deadline_ms = deadline_ms + $1 where state = 1 and owner = $2",
                );
                let deadlines = deadlines.bind(by_ms).bind(epoch);
                tx.execute(deadlines).await.map(drop)
            })
        })
        .await
    }

    /// Makes everything due as much earlier as the clock was set back: else what was
    /// due before, or was to be tried again soon, would wait for it. What executes keeps
    /// its deadline: one that hangs is freed later, and none is started twice.
    ///
    /// `moved` is up to which run that is done, [`RunId::BEFORE_ALL`] at first: where it fails, it
    /// goes on behind that when it is called again.
    ///
    /// # Errors
    /// [`StoreError`] if not everything was changed.
    pub async fn clock_set_back(&self, by: Duration, moved: &mut RunId) -> Result<(), StoreError> {
        let by_ms = millis(by);
        while let Some(last) = self.move_due(*moved, by_ms).await? {
            *moved = last;
        }
        self.write(move |tx| {
            Box::pin(async move {
                let rates = sql("update rates set tat_us = tat_us - $1 where tat_us > $2");
                let now_us = tx.now.millis().saturating_mul(1000);
                let rates = rates.bind(by_ms.saturating_mul(1000)).bind(now_us);
                tx.execute(rates).await?;
                // By these the next start would find the clock set back once more.
                for ahead in [
                    "delete from queue_minutes where minute_ms > $1",
                    "update hosts set lease_ms = -$1 where -lease_ms > $1",
                ] {
                    tx.execute(sql(ahead).bind(tx.now)).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// A slice of the runs that nobody executes; behind which one the next begins.
    async fn move_due(&self, after: RunId, by_ms: i64) -> Result<Option<RunId>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let slice = sql("select max(run_id) as run_id from \
                     (select run_id from runs where run_id > $1 order by run_id limit $2) slice");
                let row = tx.fetch_one(slice.bind(after.0).bind(SLICE)).await?;
                let Some(last) = row.int_or_none("run_id")? else {
                    return Ok(None);
                };
                let due = sql(
                    "update runs set due_ms = due_ms - $1 where run_id > $2 and run_id <= $3 \
                     and state <> 1 and due_ms > $4",
                );
                let due = due.bind(by_ms).bind(after.0).bind(last);
                tx.execute(due.bind(tx.now)).await?;
                Ok(Some(RunId(last)))
            })
        })
        .await
    }
}
