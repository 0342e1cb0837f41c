//! Erases one event with all that came of it.

use crate::event::EventId;
use crate::run::RunId;

use super::sql::sql;
use super::{Store, StoreError};

/// What became of an event that is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// It is gone, with its runs, their attempts and what it was indexed by.
    Gone,
    /// There is none.
    Unknown,
    /// These runs need it still: unfinished ones, and dead ones that block their
    /// ordering key.
    Needed(Vec<RunId>),
}

impl Store {
    /// Erases an event, unless a run needs it. That its delivery was seen is remembered, so
    /// that its sender does not bring it back.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was erased.
    pub async fn erase_event(&self, event: EventId) -> Result<Erased, StoreError> {
        if !self.has_event(event).await? {
            return Ok(Erased::Unknown);
        }
        let needed = self.needed_by(event).await?;
        if !needed.is_empty() {
            return Ok(Erased::Needed(needed));
        }
        let gone = self
            .remove_these(vec![event.as_bytes().to_vec()], true)
            .await?;
        if gone > 0 {
            return Ok(Erased::Gone);
        }
        // Somebody was faster: with a run of it, or with its removal.
        if self.has_event(event).await? {
            Ok(Erased::Needed(self.needed_by(event).await?))
        } else {
            Ok(Erased::Unknown)
        }
    }

    /// Whether it is stored, in whatever condition.
    async fn has_event(&self, event: EventId) -> Result<bool, StoreError> {
        Ok(!self.events_of_ids(&[event]).await?.is_empty())
    }

    async fn needed_by(&self, event: EventId) -> Result<Vec<RunId>, StoreError> {
        let needed = sql("select run_id from runs where event_id = $1 union all \
             select h.run_id from history h where h.event_id = $1 and exists (select 1 from order_blocks b \
             where b.plugin_id = h.plugin_id and b.order_key = h.order_key and b.run_id = h.run_id)");
        let rows = self
            .readers()
            .fetch_all(needed.bind(event.as_bytes()))
            .await?;
        rows.iter()
            .map(|row| row.int("run_id").map(RunId))
            .collect()
    }
}
