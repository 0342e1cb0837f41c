//! Requests that were set aside and are genuine now: released as events, many at a time.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::event::EventId;
use crate::run::PluginId;
use crate::store::{
    NewEvent, OwnOperation, Position, QuarantineFilter, QuarantinedRow, RawRequest, StoreError,
};

use super::{NOW, Operations};

/// Requests of one slice.
const REQUESTS: u32 = 50;
/// Bytes of their bodies, unless the first has more: one slice holds them all.
const BYTES: i64 = 16 << 20;

/// Decides of requests that were set aside, as of their receipt.
pub trait Prove: Send + Sync {
    /// The event that a request is; none if it is refused still. `is_forced` asks for no
    /// proof.
    fn prove<'a>(
        &'a self,
        row: &'a QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> BoxFuture<'a, Option<NewEvent>>;
}

/// A slice of requests, and those of them that are events.
struct Slice {
    proven: Vec<(EventId, NewEvent)>,
    /// The last one looked at; none at the end.
    looked_to: Option<EventId>,
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
        let slice = self.slice(operation, &after, filter, is_forced).await?;
        if operation.row.total.is_none() {
            let looked_to = slice.looked_to.map_or(after, |id| id.to_string());
            let is_end = slice.looked_to.is_none();
            return self
                .count(operation, looked_to, slice.proven.len(), is_end)
                .await;
        }
        let mut plugins: Vec<PluginId> = Vec::new();
        let (mut ids, mut events) = (Vec::new(), Vec::new());
        for (id, new) in slice.proven {
            plugins.extend(new.plugins());
            ids.push(id);
            events.push(new);
        }
        // Stored before the request is removed: whoever does this slice again, after a
        // crash or at the same time, finds each event by its request.
        let stored = match events.is_empty() {
            true => Vec::new(),
            false => self.store.ingest(events).await?,
        };
        let released = ids.into_iter().zip(stored);
        let released: Vec<EventId> = released
            .filter_map(|(id, stored)| stored.map(|_| id))
            .collect();
        for request in released.iter().filter(|_| is_forced) {
            tracing::warn!(%request, operation = operation.row.id.0, "a request was released without proof");
        }
        let to = slice.looked_to.map(|id| Position {
            after: id.to_string(),
            until: operation.position.until.clone(),
        });
        self.store.release_slice(operation, to, released).await?;
        plugins.sort_unstable();
        plugins.dedup();
        self.wakeup.ring_everywhere(&plugins);
        Ok(NOW)
    }

    async fn slice(
        &self,
        operation: &OwnOperation,
        after: &str,
        filter: &QuarantineFilter,
        is_forced: bool,
    ) -> Result<Slice, StoreError> {
        let until = operation.position.until.parse();
        let mut slice = Slice {
            proven: Vec::new(),
            looked_to: None,
        };
        let Ok(until) = until else { return Ok(slice) };
        let rows = self
            .store
            .quarantined_between(filter, after.parse().ok(), until, REQUESTS)
            .await?;
        let is_last_page = rows.len() < usize::try_from(REQUESTS).unwrap_or(usize::MAX);
        let mut last = None;
        let mut bytes = 0;
        for row in &rows {
            bytes += row.size_bytes;
            if last.is_some() && bytes > BYTES {
                slice.looked_to = last;
                return Ok(slice);
            }
            last = Some(row.id);
            let request = match self.store.quarantined_request(row.id).await {
                Ok(Some((_, request))) => request,
                // Somebody else has released it.
                Ok(None) => continue,
                Err(StoreError::Damaged(error)) => {
                    tracing::warn!(request = %row.id, %error, "the request is passed over");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(new) = self.prove.prove(row, request, is_forced).await {
                slice.proven.push((row.id, new));
            }
        }
        slice.looked_to = last.filter(|_| !is_last_page);
        Ok(slice)
    }
}
