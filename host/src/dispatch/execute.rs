//! One attempt from top to bottom: call, decide, record.
//!
//! The only function that sees both the sandbox and the store. It holds no
//! connection and no lock while the guest runs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::config::PluginConfig;
use crate::event::Event;
use crate::metrics::Metrics;
use crate::name::PluginName;
use crate::plugin::{Emitted, Grants, Loaded, PluginHost, Report, RunContext, Seen, StateReader};
use crate::retry::{Next, Tried, decide};
use crate::run::{Claimed, Outcome, PluginId};
use crate::store::{Finished, NewEvent, Settled, Store, StoreError};

use super::board::SharedBoard;
use super::breaker::{Breaker, Change};
use super::outbound::Outbound;
use super::wakeup::Wakeup;
use super::{Dispatcher, Slot, traced};

/// Between tries while the database does not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Looks for an event that is not there. A day that is taken away as a whole is out of
/// sight before it is known that nothing in it is needed; else it is put back, after a
/// minute if its removal was interrupted.
const LOOKS_FOR_GONE: u32 = 150;
/// What a guest is told while the database does not answer.
const STATE_AWAY: &str = "the state cannot be read now";

/// What every attempt needs.
pub(super) struct Executor {
    pub(super) store: Store,
    pub(super) host: Arc<PluginHost>,
    /// Which plugins want what an attempt emits.
    pub(super) board: SharedBoard,
    /// Rung for them.
    pub(super) wakeup: Arc<Wakeup>,
    pub(super) metrics: Arc<Metrics>,
    /// The connections and secrets of plugins.
    pub(super) outbound: Outbound,
    pub(super) clock: Clock,
    /// This host's name, for people.
    pub(super) host_name: Arc<str>,
    /// Set when the host gives up waiting for attempts.
    pub(super) give_up: CancellationToken,
}

/// A plugin as it stands when an attempt begins, which is how it stays for it.
#[derive(Clone)]
pub(super) struct ActivePlugin {
    pub(super) name: PluginName,
    pub(super) loaded: Arc<Loaded>,
    pub(super) settings: Arc<PluginConfig>,
    pub(super) breaker: Arc<Breaker>,
}

impl Executor {
    /// The executor of a dispatcher.
    pub(super) fn of(dispatcher: &Dispatcher, give_up: CancellationToken) -> Self {
        Self {
            store: dispatcher.store.clone(),
            host: Arc::clone(&dispatcher.host),
            board: Arc::clone(&dispatcher.board),
            wakeup: Arc::clone(&dispatcher.wakeup),
            metrics: Arc::clone(&dispatcher.metrics),
            outbound: Outbound::new(dispatcher.network.clone(), Arc::clone(&dispatcher.metrics)),
            clock: dispatcher.clock.clone(),
            host_name: Arc::clone(&dispatcher.host_name),
            give_up,
        }
    }

    /// Executes a claimed run once and records how it went, or leaves it to a host that can
    /// read its event; the slot is free in between, when the guest has ended. Returns when
    /// the run is due again.
    pub(super) async fn execute(
        &self,
        claimed: Claimed,
        event: Option<Arc<Event>>,
        plugin: ActivePlugin,
        slot: Slot,
    ) -> Option<Timestamp> {
        let event = match event {
            Some(event) => Ok(event),
            None => match self.read(&claimed).await? {
                Ok(event) => Ok(event),
                Err(problem @ StoreError::MissingKey(_)) => {
                    drop(slot);
                    return self.postpone(&claimed, &plugin.name, &problem).await;
                }
                Err(problem) => Err(problem.to_string()),
            },
        };
        self.attempt(claimed, event, plugin, slot).await
    }

    /// Carries an attempt of a run through whose event was read, or is damaged.
    async fn attempt(
        &self,
        claimed: Claimed,
        event: Result<Arc<Event>, String>,
        plugin: ActivePlugin,
        slot: Slot,
    ) -> Option<Timestamp> {
        if claimed.deaths > 0 && !self.note(&claimed).await? {
            tracing::warn!(run.id = %claimed.fence.run, plugin = %plugin.name, "the run is no longer ours; it is not started");
            return None;
        }
        let max_attempts = plugin
            .settings
            .retry
            .attempts
            .saturating_add(claimed.free_attempts);
        let report = match &event {
            Ok(event) => {
                self.call(&claimed, Arc::clone(event), &plugin, max_attempts)
                    .await
            }
            Err(damage) => Report::permanent(damage.clone(), self.clock.now()),
        };
        if let Ok(event) = &event {
            self.tell_breaker(&plugin, &report);
            traced::ended(&self.metrics.traces, event, &plugin.name, &claimed, &report);
        }
        // Not before: whoever takes it looks at the breaker.
        drop(slot);
        let tried = Tried {
            outcome: report.outcome,
            attempt: claimed.attempt,
            free_attempts: claimed.free_attempts,
            after: report.after,
        };
        let policy = &plugin.settings.retry;
        let (now, random) = (self.clock.now(), rand::random());
        let next = decide(policy, tried, now, random);
        let over_quota = Tried {
            outcome: Outcome::Output,
            after: None,
            ..tried
        };
        let emitted = match &event {
            Ok(event) => self.new_events(event, &plugin.name, report.emitted),
            Err(_) => Vec::new(),
        };
        let finished = Finished {
            claimed,
            digest: *plugin.loaded.digest.as_bytes(),
            host: Arc::clone(&self.host_name),
            outcome: report.outcome,
            error: report.error,
            summary: report.summary,
            data: report.data,
            record: report.record,
            next,
            next_over_quota: decide(policy, over_quota, now, random),
            max_attempts,
            effects: report.effects,
            emitted,
        };
        self.record(Arc::new(finished), event.ok().as_deref(), &plugin.name)
            .await
    }

    fn tell_breaker(&self, plugin: &ActivePlugin, report: &Report) {
        let (name, started_at) = (&plugin.name, report.record.started_at);
        let changed = plugin
            .breaker
            .ended(report.outcome, started_at, self.clock.now());
        match changed {
            Change::None => {}
            Change::Tripped(trip) => tracing::warn!(plugin = %name, "the plugin is {trip}"),
            Change::Closed => {
                tracing::info!(plugin = %name, "the plugin answers again; its runs go on");
            }
        }
    }

    /// The run's event, or what is wrong with it, here at least; none, if we gave up asking.
    async fn read(&self, claimed: &Claimed) -> Option<Result<Arc<Event>, StoreError>> {
        let mut looks = 0_u32;
        loop {
            match self.store.event_of_run(claimed.event).await {
                Ok(event) => return Some(Ok(event)),
                Err(problem @ (StoreError::Damaged(_) | StoreError::MissingKey(_))) => {
                    return Some(Err(problem));
                }
                Err(gone @ StoreError::EventGone)
                    if !self.store.has_days() || looks >= LOOKS_FOR_GONE =>
                {
                    return Some(Err(gone));
                }
                Err(error) => {
                    looks += u32::from(matches!(error, StoreError::EventGone));
                    tracing::error!(%error, run.id = %claimed.fence.run, "an event cannot be read; trying again");
                    self.pause().await?;
                }
            }
        }
    }

    /// Notes that the guest of a run is about to execute that was there when a host
    /// died: if this one does too, it was the run's doing. Whether it is still ours;
    /// none, if we gave up asking.
    async fn note(&self, claimed: &Claimed) -> Option<bool> {
        loop {
            match self.store.note_executing(claimed.fence).await {
                Ok(is_ours) => return Some(is_ours),
                Err(error) => {
                    tracing::error!(%error, run.id = %claimed.fence.run, "a run cannot be started; trying again");
                    self.pause().await?;
                }
            }
        }
    }

    async fn call(
        &self,
        claimed: &Claimed,
        event: Arc<Event>,
        plugin: &ActivePlugin,
        max_attempts: u32,
    ) -> Report {
        let context = RunContext {
            id: claimed.fence.run.to_string(),
            attempt: claimed.attempt,
            max_attempts,
            plugin: plugin.name.to_string(),
        };
        let state = StoredState {
            store: self.store.clone(),
            plugin: claimed.plugin,
            runtime: tokio::runtime::Handle::current(),
        };
        let (http, secrets) = self.outbound.of(&plugin.name, &plugin.settings);
        let http = traced::followed(http, &self.metrics.traces, &event, claimed);
        let grants = Grants {
            config: Arc::clone(&plugin.settings.config),
            state: Arc::new(state),
            http,
            secrets,
            depth: event.depth(),
        };
        let journal = plugin.settings.journal;
        let limits = plugin.settings.limits;
        self.host
            .call(
                Arc::clone(&plugin.loaded),
                event,
                context,
                limits,
                grants,
                journal,
            )
            .await
    }

    /// What an attempt emitted, with the runs that follow from it.
    fn new_events(
        &self,
        event: &Event,
        plugin: &PluginName,
        emitted: Vec<Emitted>,
    ) -> Vec<NewEvent> {
        let board = self.board.load();
        let new_event = |emitted: Emitted| {
            let (kind, body) = (emitted.kind, emitted.body.into());
            let event = event.emits(plugin, kind, body, self.clock.now());
            let runs = board.triggers.runs_for(&event);
            // It comes once, with its run's success: there is nothing to compare it with.
            let new = NewEvent::new(event, None, false, Duration::ZERO, runs);
            self.store.sealed(new.matched(&board.triggers))
        };
        emitted.into_iter().map(new_event).collect()
    }

    /// Waits before another try at the database; none, when the host gives up.
    pub(super) async fn pause(&self) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => Some(()),
            () = self.give_up.cancelled() => None,
        }
    }

    /// Records until the database takes it: the run is ours, and nobody else
    /// can finish it. If we give up, the next start of the host rescues it.
    async fn record(
        &self,
        finished: Arc<Finished>,
        event: Option<&Event>,
        plugin: &PluginName,
    ) -> Option<Timestamp> {
        loop {
            match self.store.finish(Arc::clone(&finished)).await {
                Ok(Settled::Recorded(outcome, next)) => {
                    self.metrics
                        .attempt_ended(event, plugin, &finished.record, outcome, next);
                    log_end(&finished, plugin, outcome.as_str());
                    if next == Next::Succeeded {
                        let emitted = finished.emitted.iter();
                        let wanted: Vec<PluginId> = emitted.flat_map(NewEvent::plugins).collect();
                        self.wakeup.ring_everywhere(&wanted);
                    }
                    return match next {
                        Next::RetryAt(due) => Some(due),
                        Next::Again => Some(self.clock.now()),
                        // The one behind it is ready now.
                        _ if finished.claimed.order.is_some() => Some(self.clock.now()),
                        Next::Succeeded | Next::Dead | Next::Cancelled => None,
                    };
                }
                Ok(Settled::Fenced) => {
                    tracing::warn!(run.id = %finished.claimed.fence.run, %plugin, "the run is no longer ours; its result is dropped");
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, run.id = %finished.claimed.fence.run, %plugin, "an attempt's end cannot be recorded; trying again");
                    self.pause().await?;
                }
            }
        }
    }
}

fn log_end(finished: &Finished, plugin: &PluginName, outcome: &str) {
    let Finished {
        claimed, record, ..
    } = finished;
    let (run, event) = (claimed.fence.run, claimed.event);
    let (attempt, duration_ms) = (claimed.attempt, record.duration_us as f64 / 1000.0);
    let summary = finished.summary.as_deref().unwrap_or_default();
    match &finished.error {
        None => tracing::debug!(
            %plugin, run.id = %run, event.id = %event, attempt, duration_ms, summary, "run succeeded"
        ),
        Some(error) => tracing::warn!(
            %plugin, run.id = %run, event.id = %event, attempt, duration_ms, outcome, error, "attempt failed"
        ),
    }
}

/// A plugin's own part of the store's state. It is read on the host's threads: a
/// connection must not wait for a guest to leave the CPU.
struct StoredState {
    store: Store,
    plugin: PluginId,
    runtime: tokio::runtime::Handle,
}

impl StoredState {
    async fn on_host_threads<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, String> {
        match self.runtime.spawn(read).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(%error, "a plugin's state cannot be read");
                Err(STATE_AWAY.to_owned())
            }
            Err(_) => Err(STATE_AWAY.to_owned()),
        }
    }
}

impl StateReader for StoredState {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Seen>, String>> {
        let (store, plugin, key) = (self.store.clone(), self.plugin, key.to_owned());
        Box::pin(async move {
            let kept = self
                .on_host_threads(async move { store.kv_get(plugin, &key).await })
                .await?;
            Ok(kept.map(|kept| (kept.value, kept.version)))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let (store, plugin, prefix) = (self.store.clone(), self.plugin, prefix.to_owned());
        Box::pin(self.on_host_threads(async move { store.kv_list(plugin, &prefix, limit).await }))
    }
}
