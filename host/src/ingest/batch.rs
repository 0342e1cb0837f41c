//! Group commit: events that arrive while a commit is under way share the next.
//!
//! The queue is bounded; when it is full the sender is told to come back. A batch
//! takes whatever waits the moment a commit slot is free: alone under light load,
//! many under heavy, with no delay to tune.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::store::{Ingested, NewEvent, Store};

use super::answer::Refusal;

/// Events that may wait.
const QUEUE: usize = 4096;
/// Events of one batch.
const BATCH: usize = 256;
/// Batches under way at once: while one commits, the next is on its way.
const COMMITS: usize = 2;

/// Puts events into the store; clones share the queue.
#[derive(Clone)]
pub struct Batcher(mpsc::Sender<Waiting>);

/// The task behind the queue.
pub struct BatcherTask(JoinHandle<()>);

struct Waiting {
    new: NewEvent,
    reply: oneshot::Sender<Option<Ingested>>,
}

impl Batcher {
    /// Starts the task; it ends when every [`Batcher`] is gone.
    pub fn start(store: Store) -> (Self, BatcherTask) {
        let (sender, waiting) = mpsc::channel(QUEUE);
        (Self(sender), BatcherTask(tokio::spawn(run(store, waiting))))
    }

    /// Stores an event; returns after its commit.
    pub(super) async fn store(&self, new: NewEvent) -> Result<Ingested, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send(Waiting { new, reply })
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

impl BatcherTask {
    /// Waits until everything that was queued is stored and answered.
    pub async fn ended(self) {
        if self.0.await.is_err() {
            tracing::error!("the task that stores events panicked");
        }
    }
}

async fn run(store: Store, mut waiting: mpsc::Receiver<Waiting>) {
    let slots = Arc::new(Semaphore::new(COMMITS));
    let mut commits = JoinSet::new();
    loop {
        // First the slot, then the batch: it grows while it waits.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            break;
        };
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, BATCH).await == 0 {
            break;
        }
        let store = store.clone();
        commits.spawn(async move {
            commit(&store, batch).await;
            drop(slot);
        });
        while commits.try_join_next().is_some() {}
    }
    while commits.join_next().await.is_some() {}
}

async fn commit(store: &Store, batch: Vec<Waiting>) {
    let (events, replies): (Vec<NewEvent>, Vec<_>) =
        batch.into_iter().map(|one| (one.new, one.reply)).unzip();
    let count = events.len();
    let ingested = match store.ingest(events).await {
        Ok(ingested) => ingested.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::error!(%error, events = count, "events cannot be stored; their senders are told to come back");
            vec![None; count]
        }
    };
    for (reply, ingested) in replies.into_iter().zip(ingested) {
        if reply.send(ingested).is_err() {
            tracing::trace!("a sender went away before its answer");
        }
    }
}
