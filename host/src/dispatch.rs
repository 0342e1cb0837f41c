//! Dispatch: waits for due runs, claims them, executes them, until told to stop.
//!
//! `wakeup` says when to look, `lanes` what to claim and start next, `execute`
//! carries one attempt through, `held` gives back or stops what was claimed, `postponed`
//! leaves to others what this host cannot read, `presence` knows which plugins are here,
//! `upkeep` does what has its time, `retention` removes what is over. `Err` here means that
//! the host itself failed: what a plugin does wrong is an outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::metrics::Metrics;
use crate::plugin::PluginHost;
use crate::plugin::egress::Network;
use crate::run::{Fence, PluginId};
use crate::store::{ClaimedRuns, Store, StoreError, Want};

mod alerts;
mod board;
mod breaker;
mod execute;
mod held;
mod lanes;
mod lease;
pub mod neighbours;
mod operations;
mod outbound;
mod pace;
mod postponed;
mod presence;
mod registry;
mod retention;
mod shelf;
mod traced;
pub mod upkeep;
mod wakeup;

pub use alerts::Alerts;
pub use board::{Board, Candidate, Entry, PluginState, SharedBoard};
pub use breaker::{Breaker, Trip};
pub use lease::LeaseHolds;
pub use operations::{Operations, Prove, new_runs};
pub use presence::{ControlError, Controls, Presence};
pub use retention::{Policy, Retention};
pub use shelf::Shelf;
pub use wakeup::Wakeup;

use execute::{ActivePlugin, Executor};
use lanes::{Lanes, Share};

/// Between looks at the queue without a reason: what no hint told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same where other hosts store runs too, whose hints may be lost.
const LOOK_EVERY_SHARED: Duration = Duration::from_secs(1);
/// Between claims while the database does not answer.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// What the dispatcher works with.
pub struct Dispatcher {
    /// Where runs are.
    pub store: Store,
    /// Where guests run.
    pub host: Arc<PluginHost>,
    /// Which plugins are here.
    pub board: SharedBoard,
    /// Who may have new runs.
    pub wakeup: Arc<Wakeup>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How plugins reach the outside.
    pub network: Network,
    /// The time.
    pub clock: Clock,
    /// This host's name, for people.
    pub host_name: Arc<str>,
    /// Guests that execute at once.
    pub slots: u32,
    /// How long a stop waits for attempts that execute.
    pub grace: Duration,
    /// Whether what is claimed is ours to execute.
    pub lease: LeaseHolds,
}

/// What was wanted, and what a claim got of it.
type Claim = (Vec<Want>, Result<ClaimedRuns, StoreError>);

/// A guest's right to execute; when it is dropped, another may.
struct Slot {
    plugin: PluginId,
    ended: mpsc::Sender<PluginId>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The channel has a place for each slot, unless the loop has ended.
        if self.ended.try_send(self.plugin).is_err() {
            tracing::trace!("a guest ended after the dispatcher");
        }
    }
}

/// What a plugin may have of this host; none, if it cannot run now.
fn share(board: &Board, plugin: PluginId, now: Timestamp) -> Option<Share> {
    Share::of(board.by_id(plugin)?, now)
}

/// An attempt under way.
struct Attempt {
    plugin: PluginId,
    fence: Fence,
    stop: AbortHandle,
}

/// The loop's state.
struct Loop {
    dispatcher: Dispatcher,
    executor: Arc<Executor>,
    lanes: Lanes,
    attempts: JoinSet<Option<Timestamp>>,
    under_way: HashMap<Id, Attempt>,
    /// What was ours at the last look by our account only.
    missing: HashSet<Fence>,
    /// Whether a claim failed of which nobody knows what it took.
    is_unsure: bool,
    /// Claimed runs that are to be given back and could not be yet.
    to_release: Vec<Fence>,
    ended: mpsc::Sender<PluginId>,
}

impl Dispatcher {
    /// Runs until `stop`; then starts nothing more, gives back what was claimed
    /// and not started, and waits for what executes, at most for the grace.
    pub async fn run(self, stop: CancellationToken) {
        let give_up = CancellationToken::new();
        let executor = Executor::of(&self, give_up.clone());
        // One place per guest that can end before the loop looks.
        let (ended, guests_ended) = mpsc::channel(usize::try_from(self.slots).unwrap_or(1));
        let mut state = Loop {
            dispatcher: self,
            executor: Arc::new(executor),
            lanes: Lanes::default(),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            missing: HashSet::new(),
            is_unsure: false,
            to_release: Vec::new(),
            ended,
        };
        state.until(&stop, guests_ended).await;
        state.drain(&give_up).await;
    }
}

impl Loop {
    async fn until(
        &mut self,
        stop: &CancellationToken,
        mut guests_ended: mpsc::Receiver<PluginId>,
    ) {
        let mut claiming: Option<JoinSet<Claim>> = None;
        let look_every = if self.dispatcher.store.is_shared() {
            LOOK_EVERY_SHARED
        } else {
            LOOK_EVERY
        };
        let mut look = tokio::time::interval(look_every);
        let mut lease = self.dispatcher.lease.clone();
        loop {
            self.start();
            if claiming.as_ref().is_none_or(JoinSet::is_empty) {
                claiming = self.claim();
            }
            let due_in = self
                .lanes
                .next_due()
                .map(|due| due.since(self.dispatcher.clock.now()));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(plugin) = guests_ended.recv() => self.lanes.guest_ended(plugin),
                Some(joined) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => match joined {
                    Ok((task, due_again)) => self.recorded(task, due_again).await,
                    Err(error) => {
                        // One that was stopped has no run to give back.
                        if !error.is_cancelled() {
                            tracing::error!(%error, "an attempt's task failed; its run is given back");
                            let fence = self.under_way.get(&error.id()).map(|one| one.fence);
                            self.to_release.extend(fence);
                        }
                        self.recorded(error.id(), None).await;
                    }
                },
                Some(claimed) = next_claim(&mut claiming) => {
                    claiming = None;
                    self.claimed(claimed).await;
                }
                rung = self.dispatcher.wakeup.rung() => {
                    self.stop_lost(|fence| rung.lost.contains(&fence.run));
                    self.give_back_what_cannot_run().await;
                    rung.plugins.into_iter().for_each(|plugin| self.lanes.look_at(plugin));
                }
                holds = lease.changed() => {
                    if !holds {
                        self.stop_all();
                    }
                    self.look_at_all();
                }
                () = tokio::time::sleep(due_in.unwrap_or(LOOK_EVERY)), if due_in.is_some() => {
                    self.lanes.look_at_due(self.dispatcher.clock.now());
                }
                _ = look.tick() => {
                    self.look_at_all();
                    self.release().await;
                    if claiming.is_none() {
                        self.compare().await;
                    }
                }
            }
        }
        // A claim under way is let finish, so that what it gets can be given back.
        if let Some(claimed) = next_claim(&mut claiming).await {
            self.claimed(claimed).await;
        }
    }

    /// Starts what may start now.
    fn start(&mut self) {
        if !self.dispatcher.lease.holds() {
            return;
        }
        self.to_release.extend(self.lanes.late(Instant::now()));
        let board = self.dispatcher.board.load();
        let now = self.dispatcher.clock.now();
        let share = |plugin| share(&board, plugin, now);
        while let Some((claimed, event)) = self.lanes.start(self.dispatcher.slots, share) {
            let (id, fence) = (claimed.plugin, claimed.fence);
            let Some(entry) = board.by_id(id) else {
                continue;
            };
            let Some(loaded) = entry.active.clone() else {
                continue;
            };
            let plugin = ActivePlugin {
                name: entry.name.clone(),
                loaded,
                settings: Arc::clone(&entry.settings),
                breaker: Arc::clone(&entry.breaker),
            };
            let executor = Arc::clone(&self.executor);
            let slot = Slot {
                plugin: id,
                ended: self.ended.clone(),
            };
            let task = self
                .attempts
                .spawn(async move { executor.execute(claimed, event, plugin, slot).await });
            let attempt = Attempt {
                plugin: id,
                fence,
                stop: task.clone(),
            };
            self.under_way.insert(task.id(), attempt);
        }
    }

    /// Begins a claim for whoever wants one.
    fn claim(&mut self) -> Option<JoinSet<Claim>> {
        if !self.dispatcher.lease.holds() {
            return None;
        }
        let board = self.dispatcher.board.load();
        let now = self.dispatcher.clock.now();
        let wants = self.lanes.wants(|plugin| share(&board, plugin, now));
        if wants.is_empty() {
            return None;
        }
        self.lanes.claiming(&wants, Instant::now());
        let store = self.dispatcher.store.clone();
        let mut claiming = JoinSet::new();
        claiming.spawn(async move {
            let claimed = store.claim(wants.clone()).await;
            if claimed.is_err() {
                tokio::time::sleep(CLAIM_AGAIN).await;
            }
            (wants, claimed)
        });
        Some(claiming)
    }

    async fn claimed(&mut self, (wants, claimed): Claim) {
        let now = self.dispatcher.clock.now();
        match claimed {
            Ok(ClaimedRuns { runs, next_due }) => self.lanes.claimed(&wants, runs, &next_due, now),
            Err(error) => {
                tracing::error!(%error, "runs cannot be claimed; trying again");
                wants
                    .iter()
                    .for_each(|want| self.lanes.look_at(want.plugin));
                self.is_unsure = true;
            }
        }
        self.give_back_what_cannot_run().await;
    }

    /// An attempt's task has ended: its run is recorded, or given up.
    async fn recorded(&mut self, task: Id, due_again: Option<Timestamp>) {
        let Some(attempt) = self.under_way.remove(&task) else {
            return;
        };
        self.lanes.recorded(attempt.plugin, due_again);
        let board = self.dispatcher.board.load_full();
        let trip = board.by_id(attempt.plugin).and_then(Entry::trip);
        if let Some(trip) = trip {
            self.lanes.tripped(attempt.plugin, trip.until);
            self.give_back_what_cannot_run().await;
        }
    }

    fn look_at_all(&mut self) {
        let board = self.dispatcher.board.load();
        let now = self.dispatcher.clock.now();
        for id in board
            .entries
            .values()
            .filter(|entry| entry.can_run(now))
            .filter_map(|entry| entry.id)
        {
            self.lanes.look_at(id);
        }
    }
}

/// What the claim under way got; never, without one.
async fn next_claim(claiming: &mut Option<JoinSet<Claim>>) -> Option<Claim> {
    claiming.as_mut()?.join_next().await?.ok()
}
