//! Releases requests from quarantine on Postgres: a request is removed and its events are
//! stored in one transaction, whoever else does the same.

use super::super::StoreError;
use super::super::ingest::NewEvent;
use super::super::quarantine::{Release, Released};
use super::Sessions;
use super::ingest::{CONTENDED, LOOKS, lock_orders};

/// Transactions that may fail before a failure is one.
const FAILURES: u32 = 4;

impl super::super::Statements {
    /// Removes a request and stores its events, or does neither.
    pub(in super::super) async fn release_postgres(
        &self,
        sessions: &Sessions,
        release: &Release,
    ) -> Result<Released, StoreError> {
        for look in 0..LOOKS {
            match self.try_release(sessions, release).await {
                Ok(Some(released)) => return Ok(released),
                Ok(None) => {}
                Err(error) if look < FAILURES && sessions.is_worth_another(&error).await => {}
                Err(error) => return Err(error),
            }
        }
        Err(CONTENDED)
    }

    /// None if others got in the way.
    async fn try_release(
        &self,
        sessions: &Sessions,
        release: &Release,
    ) -> Result<Option<Released>, StoreError> {
        let events: Vec<&NewEvent> = release.events().iter().collect();
        let mut tx = sessions.begin().await?;
        lock_orders(&mut tx, &events).await?;
        if let Some(refused) = self.quarantine.take(&mut tx, release).await? {
            tx.roll_back().await;
            return Ok(Some(refused));
        }
        let Some(answers) = self.decide_within(&mut tx, &events).await? else {
            tx.roll_back().await;
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(Released::Events(answers)))
    }
}
