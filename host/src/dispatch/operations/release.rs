//! Requests that were set aside and are genuine now: released as events, many one after the
//! other.
//!
//! Each is a transaction of its own that also moves the operation on, so that one which the
//! database refuses keeps no other in quarantine.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::event::EventId;
use crate::run::PluginId;
use crate::store::{
    NewEvent, OwnOperation, Position, QuarantineFilter, QuarantinedRow, RawRequest, Released,
    StoreError,
};

use super::{NOW, Operations};

/// Requests of one slice.
const REQUESTS: u32 = 50;

/// Decides of requests that were set aside, as of their receipt.
pub trait Prove: Send + Sync {
    /// Whether a request would be released. `is_forced` asks for no proof.
    fn is_genuine<'a>(
        &'a self,
        row: &'a QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> BoxFuture<'a, bool>;

    /// The events that a request is; none if it is refused still.
    fn events<'a>(
        &'a self,
        row: &'a QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> BoxFuture<'a, Option<Vec<NewEvent>>>;
}

impl Operations {
    /// A slice of a release: counts some that would be, or releases some.
    pub(super) async fn release(
        &mut self,
        operation: &OwnOperation,
        filter: &QuarantineFilter,
        is_forced: bool,
    ) -> Result<Duration, StoreError> {
        let after = self.after(operation);
        let rows = match operation.position.until.parse() {
            Ok(until) => {
                let after = after.parse().ok();
                let rows = self
                    .store
                    .quarantined_between(filter, after, until, REQUESTS);
                rows.await?
            }
            Err(_) => Vec::new(),
        };
        let is_end = rows.len() < usize::try_from(REQUESTS).unwrap_or(usize::MAX);
        let last = rows.last().map(|row| row.id);
        if operation.row.total.is_none() {
            let looked_to = last.map_or(after, |id| id.to_string());
            let genuine = self.count_genuine(&rows, is_forced).await?;
            return self.count(operation, looked_to, genuine, is_end).await;
        }
        let mut operation = operation.clone();
        for row in &rows {
            if !self.release_one(&mut operation, row, is_forced).await? {
                // Somebody else goes on with it, or nobody.
                return Ok(NOW);
            }
        }
        let to = last.filter(|_| !is_end);
        let to = to.map(|id| behind(&operation, id));
        self.store.pass_quarantined(&operation, to).await?;
        Ok(NOW)
    }

    async fn count_genuine(
        &self,
        rows: &[QuarantinedRow],
        is_forced: bool,
    ) -> Result<usize, StoreError> {
        let mut genuine = 0;
        for row in rows {
            if let Some(request) = self.request(row).await?
                && self.prove.is_genuine(row, request, is_forced).await
            {
                genuine += 1;
            }
        }
        Ok(genuine)
    }

    /// Releases a request if it is genuine, and moves the operation behind it then; false if
    /// the operation is not this host's any more.
    async fn release_one(
        &self,
        operation: &mut OwnOperation,
        row: &QuarantinedRow,
        is_forced: bool,
    ) -> Result<bool, StoreError> {
        let Some(request) = self.request(row).await? else {
            return Ok(true);
        };
        let Some(new) = self.prove.events(row, request, is_forced).await else {
            return Ok(true);
        };
        let mut plugins: Vec<PluginId> = new.iter().flat_map(NewEvent::plugins).collect();
        plugins.sort_unstable();
        plugins.dedup();
        let to = behind(operation, row.id);
        let part = Some((&*operation, to.clone()));
        match self.store.release_quarantined(row.id, new, part).await {
            Ok(Released::Events(_)) => {}
            Ok(Released::Gone) => return Ok(true),
            Ok(Released::NotOurs) => return Ok(false),
            Err(error) if error.is_refused_row() => {
                tracing::warn!(request = %row.id, %error, "the request stays in quarantine");
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        operation.position = to;
        self.wakeup.ring_everywhere(&plugins);
        if is_forced {
            tracing::warn!(
                request = %row.id, operation = operation.row.id.0, source = row.source,
                "a request was released without proof"
            );
        }
        Ok(true)
    }

    /// The request of a row; none if somebody else has released it, or it cannot be read.
    async fn request(&self, row: &QuarantinedRow) -> Result<Option<RawRequest>, StoreError> {
        match self.store.quarantined_request(row.id).await {
            Ok(found) => Ok(found.map(|(_, request)| request)),
            Err(error @ (StoreError::Damaged(_) | StoreError::MissingKey(_))) => {
                tracing::warn!(request = %row.id, %error, "the request is passed over");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The operation's position behind a request.
fn behind(operation: &OwnOperation, request: EventId) -> Position {
    Position {
        after: request.to_string(),
        until: operation.position.until.clone(),
    }
}
