//! Operations: bulk work over events and runs, in small slices behind ingest.
//!
//! Any host does them. A slice is one transaction that also says how far the operation
//! is (`store`); between two of them this loop rests for as long as the last one took,
//! and takes the next operation's, so that a long one keeps no short one waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::event::EventId;
use crate::run::{PluginId, RunId, RunState};
use crate::store::{OperationId, OwnOperation, Position, Request, RunFilter, Store, StoreError};

use super::{Board, SharedBoard, Wakeup};

mod catch_up;
mod forget;
mod release;
mod selection;

pub(super) use catch_up::begin_catch_up;
pub use release::Prove;
pub use selection::new_runs;

use selection::Selection;

/// Between looks for operations without a reason.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// There may be more to do.
const NOW: Duration = Duration::ZERO;
/// Between looks at one that waits for its time.
const WAIT: Duration = Duration::from_millis(250);
/// How long a catch-up waits for a plugin that was about to become active.
const UNKNOWN_MAX: Duration = Duration::from_hours(24);
/// Between looks for old ones to forget.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Events of one slice.
const EVENTS: usize = 200;
/// Runs that a slice starts, unless its first event has more.
const STARTED: usize = 400;
/// Runs of one slice that are tried again: each takes several statements.
const RETRIED: usize = 50;
/// Rows looked at to count, or to find what fits.
const LOOKS: usize = 1000;

/// Works on operations.
pub struct Operations {
    /// Where they are.
    store: Store,
    /// Which plugins want which events.
    board: SharedBoard,
    /// Rung for the runs that come of them.
    wakeup: Arc<Wakeup>,
    /// Rung when one has begun.
    begun: Arc<Notify>,
    /// What becomes of requests that were set aside.
    prove: Arc<dyn Prove>,
    /// The time.
    clock: Clock,
    /// Those that are being counted: behind which item, how many so far. Counted
    /// again after a restart.
    counts: HashMap<OperationId, (String, i64)>,
}

impl Operations {
    /// What works on operations from when it is run.
    pub fn new(
        store: Store,
        board: SharedBoard,
        wakeup: Arc<Wakeup>,
        begun: Arc<Notify>,
        prove: Arc<dyn Prove>,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            board,
            wakeup,
            begun,
            prove,
            clock,
            counts: HashMap::new(),
        }
    }

    /// Works until `stop`; a slice under way is done first.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            let pause = match self.round(&stop).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "operations cannot be seen now; trying again");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.begun.notified() => {}
                _ = forget.tick() => self.forget_old().await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn forget_old(&self) {
        if let Err(error) = self.store.forget_operations().await {
            tracing::warn!(%error, "old operations cannot be forgotten now");
        }
    }

    /// One slice of each operation; how long there is nothing to do then.
    async fn round(&mut self, stop: &CancellationToken) -> Result<Duration, StoreError> {
        let own = self.store.own_operations().await?;
        self.counts
            .retain(|id, _| own.iter().any(|operation| operation.row.id == *id));
        let mut pause = LOOK_EVERY;
        for operation in own {
            if stop.is_cancelled() {
                break;
            }
            let began = Instant::now();
            match self.step(&operation).await {
                Ok(next) => pause = pause.min(next),
                Err(error) => {
                    let id = operation.row.id.0;
                    tracing::warn!(operation = id, %error, "the operation cannot go on now; trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(began.elapsed()) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(pause)
    }

    /// A slice; when the next one can be.
    async fn step(&mut self, operation: &OwnOperation) -> Result<Duration, StoreError> {
        let id = operation.row.id;
        let board = self.board.load_full();
        let now = self.clock.now();
        match &operation.row.request {
            Some(Request::Retry { filter }) => {
                let filter = RunFilter {
                    blocked: board.blocked(now),
                    ..filter.clone()
                };
                self.retry(operation, &filter).await
            }
            Some(Request::Replay { filter, plugin }) => {
                let until = &operation.position.until;
                let selection = Selection::replay(filter, *plugin, until);
                self.replay(operation, &selection, &board).await
            }
            Some(Request::Release { filter, is_forced }) => {
                self.release(operation, filter, *is_forced).await
            }
            Some(Request::CatchUp { plugin, since }) => {
                let Some(plugin) = catch_up::plugin(&board, plugin) else {
                    if now.since(operation.row.created_at) > UNKNOWN_MAX {
                        let error = "the plugin did not become active";
                        self.store.fail_operation(id, error).await?;
                    }
                    return Ok(LOOK_EVERY);
                };
                let settled = catch_up::settled(&self.store);
                let until = &operation.position.until;
                let Some(selection) =
                    Selection::catch_up(plugin, *since, until, now.minus(settled))
                else {
                    if !catch_up::is_known(&self.store, &board, plugin).await? {
                        return Ok(WAIT);
                    }
                    return self.begin(operation, now.plus(settled)).await;
                };
                self.replay(operation, &selection, &board).await
            }
            Some(Request::Forget { plugin }) => self.forget_plugin(operation, *plugin).await,
            None => {
                tracing::error!(
                    operation = id.0,
                    "the operation cannot be read; a newer version began it"
                );
                let error = "this version cannot read the operation";
                self.store.fail_operation(id, error).await?;
                Ok(NOW)
            }
        }
    }

    /// Notes up to when a catch-up goes, so that whoever goes on with it sees the same.
    async fn begin(
        &self,
        operation: &OwnOperation,
        until: Timestamp,
    ) -> Result<Duration, StoreError> {
        let to = Position {
            after: String::new(),
            until: EventId::lower_bound(until).to_string(),
        };
        let slice = self
            .store
            .replay_slice(operation, Some(to), 0, Vec::new(), false);
        slice.await.map(|_| NOW)
    }

    /// A slice of an operation over events: counts some, or starts the runs of some.
    async fn replay(
        &mut self,
        operation: &OwnOperation,
        selection: &Selection,
        board: &Arc<Board>,
    ) -> Result<Duration, StoreError> {
        let is_counted = operation.row.total.is_some();
        let is_dense = is_counted && !selection.is_catch_up;
        let limit = if is_dense { EVENTS } else { LOOKS };
        let after = self.after(operation);
        let after_id: Option<EventId> = after.parse().ok();
        let (filter, until) = (&selection.filter, selection.until);
        let page = self
            .store
            .events_between(filter, after_id, until, limit)
            .await?;
        if is_counted && page.looked_to.is_none() && selection.is_open {
            return Ok(WAIT);
        }
        let (mut events, is_end) = (page.events, page.is_end);
        let mut looked_to = page.looked_to.map_or(after, |event| event.to_string());
        events.retain(|event| !event.is_handshake);
        if selection.is_catch_up {
            events.retain(|event| {
                // What was kept from running waits for a replay that somebody asks for.
                let is_kept_back = matches!(
                    event.no_run_reason.as_deref(),
                    Some("filtered" | "dedup_conflict")
                );
                !is_kept_back && selection::wants(board, event, selection.plugin)
            });
        }
        if !is_counted {
            return self.count(operation, looked_to, events.len(), is_end).await;
        }
        let mut runs = Vec::new();
        let mut done = 0;
        for event in &events {
            if runs.len() >= STARTED {
                break;
            }
            let new = selection::runs_of(&self.store, board, event, selection).await?;
            runs.extend(new.into_iter().map(|run| (event.id, run)));
            done += 1;
        }
        let is_cut = done < events.len();
        if is_cut {
            looked_to = events[done - 1].id.to_string();
        }
        let to = (!is_end || is_cut || selection.is_open).then(|| Position {
            after: looked_to,
            until: operation.position.until.clone(),
        });
        let mut plugins: Vec<PluginId> = runs.iter().map(|(_, run)| run.plugin).collect();
        plugins.sort_unstable();
        plugins.dedup();
        let slice = self
            .store
            .replay_slice(operation, to, done, runs, selection.is_catch_up);
        if slice.await? {
            self.wakeup.ring_everywhere(&plugins);
        }
        Ok(NOW)
    }

    /// A slice of an operation over runs: counts some, or tries some again.
    async fn retry(
        &mut self,
        operation: &OwnOperation,
        filter: &RunFilter,
    ) -> Result<Duration, StoreError> {
        let after = self.after(operation);
        let id = |text: &str| RunId(text.parse().unwrap_or(0));
        let (behind, until) = (id(&after), id(&operation.position.until));
        let page = self
            .store
            .retriable_between(filter, behind, until, LOOKS)
            .await?;
        let looked_to = page.looked_to;
        let mut runs = page.runs;
        if operation.row.total.is_none() {
            let to = looked_to.map_or(after, |run| run.to_string());
            return self
                .count(operation, to, runs.len(), looked_to.is_none())
                .await;
        }
        let is_cut = runs.len() > RETRIED;
        runs.truncate(RETRIED);
        let last = if is_cut {
            runs.last().map(|one| one.run)
        } else {
            looked_to
        };
        let to = last.map(|run| Position {
            after: run.to_string(),
            until: operation.position.until.clone(),
        });
        let state = filter.state.unwrap_or(RunState::Dead);
        let slice = self.store.retry_slice(operation, to, runs, state);
        self.wakeup
            .ring_everywhere(&slice.await?.unwrap_or_default());
        Ok(NOW)
    }

    /// Behind which item the next step begins.
    fn after(&self, operation: &OwnOperation) -> String {
        match self.counts.get(&operation.row.id) {
            Some((after, _)) if operation.row.total.is_none() => after.clone(),
            _ => operation.position.after.clone(),
        }
    }

    /// Adds to the count of an operation's items; the last of them make its total.
    async fn count(
        &mut self,
        operation: &OwnOperation,
        looked_to: String,
        items: usize,
        is_end: bool,
    ) -> Result<Duration, StoreError> {
        let (after, counted) = self.counts.entry(operation.row.id).or_default();
        *after = looked_to;
        *counted = counted.saturating_add(i64::try_from(items).unwrap_or(i64::MAX));
        let total = *counted;
        if is_end {
            self.store.set_total(operation, total).await?;
            self.counts.remove(&operation.row.id);
        }
        Ok(NOW)
    }
}
