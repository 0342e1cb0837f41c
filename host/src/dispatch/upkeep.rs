//! What has its time: saying that the host is alive, rescuing the runs of those that
//! are not, writing the minute's counts, forgetting what is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::run::RunId;
use crate::store::{Store, StoreError};

use super::lease::{Lease, LeaseHolds};
use super::pace::{Jump, Pace};
use super::{SharedBoard, Wakeup};

/// Between tries to renew a lease that could not be.
const BEAT_AGAIN: Duration = Duration::from_millis(500);
/// Between writes of the minute's counts, if there are new ones: what a host counted since
/// is gone when it is killed, although its events and runs are not.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Between looks for deliveries to forget.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// Between looks at how long the queue is.
const QUEUE_EVERY: Duration = Duration::from_mins(1);
/// Deliveries forgotten in one transaction.
const FORGET_SLICE: u32 = 1000;

/// The database's log is longer only while somebody keeps it so.
const LOG_BYTES_USUAL: u64 = 256 << 20;

/// Keeps this host's lease.
pub struct Heartbeat {
    /// Where leases are.
    store: Store,
    /// Which versions this host can run.
    board: SharedBoard,
    /// Rung for rescued runs.
    wakeup: Arc<Wakeup>,
    /// This host's name, for people.
    host_name: Arc<str>,
    lease: Lease,
    pace: Pace,
    /// Up to which run all are due earlier, while a clock that was set back is gone by.
    moved: RunId,
    /// A rescue under way: it may take longer than a lease, which is renewed meanwhile.
    rescue: JoinSet<()>,
}

impl Heartbeat {
    /// A heartbeat, and what says whether it is heard.
    pub fn new(
        store: Store,
        board: SharedBoard,
        wakeup: Arc<Wakeup>,
        host_name: Arc<str>,
        length: Duration,
    ) -> (Self, LeaseHolds) {
        let (lease, holds) = Lease::new(length, store.is_shared());
        let heartbeat = Self {
            store,
            board,
            wakeup,
            host_name,
            lease,
            pace: Pace::default(),
            moved: RunId::BEFORE_ALL,
            rescue: JoinSet::new(),
        };
        (heartbeat, holds)
    }

    /// Runs until `stop`; the lease ends with it.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let began = Instant::now();
            let is_renewed = self.beat(began).await;
            if is_renewed {
                self.rescue().await;
            }
            let pause = if is_renewed {
                self.lease.every().saturating_sub(began.elapsed())
            } else {
                BEAT_AGAIN
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        self.rescue.shutdown().await;
        if let Err(error) = self.store.leave().await {
            tracing::debug!(%error, "the lease could not be ended; it ends by itself");
        }
    }

    /// Renews the lease; whether it was, and the clock was gone by.
    async fn beat(&mut self, began: Instant) -> bool {
        let board = self.board.load_full();
        let present = board.entries.values().filter(|entry| entry.is_present);
        let loaded = present.filter_map(|entry| {
            let digest = entry.active.as_ref();
            let digest = digest.map(|active| active.digest.to_string());
            Some((entry.id?, digest.unwrap_or_default()))
        });
        let length = self.lease.every() * 3;
        let (loaded, knows) = (loaded.collect(), board.knows());
        let beat = self.store.beat(&self.host_name, length, loaded, knows);
        // A database that hangs is as good as none.
        match tokio::time::timeout(self.lease.every(), beat).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the database cannot be written; webhooks are not taken");
                return false;
            }
            Err(_) => {
                tracing::error!("the database does not answer; webhooks are not taken");
                return false;
            }
        }
        self.lease.renewed(began);
        match self.follow_clock().await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the clock was set, and the queue cannot follow it now");
                false
            }
        }
    }

    /// Moves what this host goes by with a clock that was set, or stood still with the
    /// machine: no run is late or early for that.
    async fn follow_clock(&mut self) -> Result<(), StoreError> {
        let (now, at) = (self.store.clock().now(), Instant::now());
        if !self.pace.is_known() && !self.store.is_shared() {
            self.pace = Pace::since(self.store.last_seen().await?, now, at);
        }
        match self.pace.jump(now, at) {
            Jump::None => {}
            Jump::Ahead(by) => {
                tracing::warn!(?by, "the clock was set ahead, or the machine slept");
                self.store.clock_set_ahead(by).await?;
            }
            // Of several hosts, none could tell whether another has moved them already.
            Jump::Back(by) if self.store.is_shared() => {
                tracing::warn!(
                    ?by,
                    "the database's clock was set back; runs wait until it is where it was"
                );
            }
            Jump::Back(by) => {
                tracing::warn!(?by, "the clock was set back; runs are due as much earlier");
                self.store.clock_set_back(by, &mut self.moved).await?;
                self.moved = RunId::BEFORE_ALL;
            }
        }
        self.pace.follow(now, at);
        Ok(())
    }

    /// Begins to rescue, unless that is still under way. Alone, where nobody can be slow,
    /// it is done when this returns: whether a lease holds is known for a moment only.
    async fn rescue(&mut self) {
        while self.rescue.try_join_next().is_some() {}
        if self.rescue.is_empty() {
            let (store, wakeup) = (self.store.clone(), Arc::clone(&self.wakeup));
            self.rescue.spawn(rescue(store, wakeup));
        }
        if !self.store.is_shared() {
            while self.rescue.join_next().await.is_some() {}
        }
    }
}

async fn rescue(store: Store, wakeup: Arc<Wakeup>) {
    loop {
        match store.rescue().await {
            Ok(rescued) if rescued.due + rescued.dead == 0 => return,
            Ok(rescued) => {
                tracing::warn!(
                    due = rescued.due,
                    dead = rescued.dead,
                    "runs whose host is gone are due again"
                );
                wakeup.ring(&rescued.plugins);
            }
            Err(error) => {
                tracing::error!(%error, "runs of hosts that are gone cannot be rescued now");
                return;
            }
        }
    }
}

/// Counts and forgets until `stop`, and writes the last counts then.
pub async fn run(store: Store, metrics: Arc<Metrics>, clock: Clock, stop: CancellationToken) {
    let mut counts = tokio::time::interval(COUNTS_EVERY);
    let mut queue = tokio::time::interval(QUEUE_EVERY);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = counts.tick() => write_counts(&store, &metrics, &clock).await,
            _ = queue.tick() => note_queue(&store, &clock).await,
            _ = forget.tick() => {
                forget_deliveries(&store, &stop).await;
                watch_log(&store);
            }
        }
    }
    write_counts(&store, &metrics, &clock).await;
}

async fn write_counts(store: &Store, metrics: &Metrics, clock: &Clock) {
    let (sources, plugins) = metrics.minutes.rows(clock.now());
    match store.write_minutes(sources, plugins).await {
        Ok(()) => metrics.minutes.written(),
        Err(error) => {
            tracing::warn!(%error, "the counts of this minute cannot be written; the next write carries them");
        }
    }
}

async fn note_queue(store: &Store, clock: &Clock) {
    if let Err(error) = store.note_queue(clock.now().minute()).await {
        tracing::warn!(%error, "how long the queue is cannot be noted; charts miss this minute");
    }
}

/// Says when the database's log does not come to an end: then its disk fills.
fn watch_log(store: &Store) {
    match store.log_bytes() {
        Ok(bytes) if bytes > LOG_BYTES_USUAL => tracing::warn!(
            bytes,
            "the database's log grows, because somebody has been reading for long: a backup, or a program past the host"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the database's log cannot be looked at"),
    }
}

async fn forget_deliveries(store: &Store, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match store.forget_expired_deliveries(FORGET_SLICE).await {
            Ok(forgotten) if forgotten < u64::from(FORGET_SLICE) => return,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::warn!(%error, "old deliveries cannot be forgotten now");
                return;
            }
        }
    }
}
