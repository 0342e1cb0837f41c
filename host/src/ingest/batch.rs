//! Group commit: events that arrive while a commit is under way share the next.
//!
//! The queue is bounded; when it is full the sender is told to come back. A batch
//! takes whatever waits the moment the one before it is committed: alone under
//! light load, many under heavy, with no delay to tune. One batch at a time is
//! faster than two: it is twice as large for the same commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Wakeup;
use crate::run::PluginId;
use crate::store::{Ingested, NewEvent, Store};

use super::refusal::Refusal;

/// Events that may wait.
const QUEUE: usize = 4096;
/// Events of one batch.
const BATCH: usize = 256;
/// Bytes of one batch, unless a single event has more.
const BATCH_BYTES: usize = 8 << 20;

/// Puts events into the store; clones share the queue.
#[derive(Clone)]
pub struct Batcher(mpsc::Sender<Waiting>);

/// The task behind the queue.
pub struct BatcherTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Waiting {
    /// The events of one request, at least one.
    new: Vec<NewEvent>,
    /// Their part of the memory for bodies, held until it is committed.
    part: OwnedSemaphorePermit,
    reply: oneshot::Sender<Option<Vec<Ingested>>>,
}

impl Batcher {
    /// Starts the task; `wakeup` is rung for the plugins of each commit.
    pub fn start(store: Store, wakeup: Arc<Wakeup>) -> (Self, BatcherTask) {
        let (sender, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(store, wakeup, waiting, stop.clone()));
        (Self(sender), BatcherTask { stop, task })
    }

    /// Stores the events of a request; returns after their commit, with what became of
    /// each.
    pub(super) async fn store(
        &self,
        new: Vec<NewEvent>,
        part: OwnedSemaphorePermit,
    ) -> Result<Vec<Ingested>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send(Waiting { new, part, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    Refusal::Overloaded("too many events wait for the database")
                }
                mpsc::error::TrySendError::Closed(_) => Refusal::Overloaded("the host is stopping"),
            })?;
        match answer.await {
            Ok(Some(ingested)) => Ok(ingested),
            Ok(None) => Err(Refusal::StoreAway),
            Err(_) => Err(Refusal::Overloaded("the host is stopping")),
        }
    }
}

impl Waiting {
    fn weight(&self) -> usize {
        self.new.iter().map(NewEvent::weight).sum()
    }
}

impl BatcherTask {
    /// Takes nothing more, and waits until what was taken is stored and answered.
    pub async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that stores events panicked");
        }
    }
}

async fn run(
    store: Store,
    wakeup: Arc<Wakeup>,
    mut waiting: mpsc::Receiver<Waiting>,
    stop: CancellationToken,
) {
    // One that did not fit into its batch any more.
    let mut left_over: Option<Waiting> = None;
    loop {
        let first = match left_over.take() {
            Some(first) => Some(first),
            None => next(&mut waiting, &stop).await,
        };
        let Some(first) = first else { return };
        let batch = fill(first, &mut waiting, &mut left_over);
        commit(&store, &wakeup, batch).await;
    }
}

/// The next event; none, when the host stops and nothing waits any more.
async fn next(waiting: &mut mpsc::Receiver<Waiting>, stop: &CancellationToken) -> Option<Waiting> {
    tokio::select! {
        biased;
        one = waiting.recv() => one,
        () = stop.cancelled() => {
            waiting.close();
            waiting.recv().await
        }
    }
}

/// A batch of what waits by now, within its bounds.
fn fill(
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    left_over: &mut Option<Waiting>,
) -> Vec<Waiting> {
    let mut bytes = first.weight();
    let mut events = first.new.len();
    let mut batch = vec![first];
    while events < BATCH {
        let Ok(one) = waiting.try_recv() else { break };
        bytes += one.weight();
        events += one.new.len();
        if bytes > BATCH_BYTES {
            *left_over = Some(one);
            break;
        }
        batch.push(one);
    }
    batch
}

/// Commits a batch and answers everybody in it.
async fn commit(store: &Store, wakeup: &Wakeup, batch: Vec<Waiting>) {
    let mut plugins: Vec<PluginId> = batch
        .iter()
        .flat_map(|one| &one.new)
        .flat_map(NewEvent::plugins)
        .collect();
    plugins.sort_unstable();
    plugins.dedup();
    let mut replies = Vec::with_capacity(batch.len());
    let mut parts = Vec::with_capacity(batch.len());
    let mut events = Vec::with_capacity(batch.len());
    for Waiting { new, part, reply } in batch {
        replies.push((new.len(), reply));
        events.extend(new);
        parts.push(part);
    }
    let count = events.len();
    let ingested = match store.ingest(events).await {
        Ok(ingested) => ingested,
        Err(error) => {
            tracing::error!(%error, events = count, "events cannot be stored; their senders are told to come back");
            vec![None; count]
        }
    };
    wakeup.ring_everywhere(&plugins);
    drop(parts);
    let mut ingested = ingested.into_iter();
    for (n_events, reply) in replies {
        // What the database refuses of a request, its sender is to send again.
        let own: Option<Vec<Ingested>> = ingested.by_ref().take(n_events).collect();
        if reply.send(own).is_err() {
            tracing::trace!("a sender went away before its answer");
        }
    }
}
