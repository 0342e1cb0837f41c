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
use crate::plugin::{Grants, Loaded, PluginHost, RunContext, Seen, StateReader};
use crate::retry::{Next, Tried, decide};
use crate::run::{Claimed, PluginId};
use crate::store::{Finished, Settled, Store};

use super::Slot;

/// Between tries to record an attempt's end while the database does not answer.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What every attempt needs.
pub(super) struct Executor {
    pub(super) store: Store,
    pub(super) host: Arc<PluginHost>,
    pub(super) metrics: Arc<Metrics>,
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
}

impl Executor {
    /// Executes a claimed run once and records how it went; the slot is free in
    /// between, when the guest has ended. Returns when the run is due again.
    pub(super) async fn execute(
        &self,
        claimed: Claimed,
        event: Arc<Event>,
        plugin: ActivePlugin,
        slot: Slot,
    ) -> Option<Timestamp> {
        let max_attempts = plugin
            .settings
            .retry
            .attempts
            .saturating_add(claimed.free_attempts);
        let context = RunContext {
            id: claimed.fence.run.to_string(),
            attempt: claimed.attempt,
            max_attempts,
            plugin: plugin.name.to_string(),
        };
        let grants = Grants {
            config: Arc::clone(&plugin.settings.config),
            state: Arc::new(StoredState {
                store: self.store.clone(),
                plugin: claimed.plugin,
            }),
        };
        let digest = *plugin.loaded.digest.as_bytes();
        let report = self
            .host
            .call(
                Arc::clone(&plugin.loaded),
                Arc::clone(&event),
                context,
                plugin.settings.limits,
                grants,
            )
            .await;
        drop(slot);
        let tried = Tried {
            outcome: report.outcome,
            attempt: claimed.attempt,
            free_attempts: claimed.free_attempts,
            after: report.after,
        };
        let next = decide(
            &plugin.settings.retry,
            tried,
            self.clock.now(),
            rand::random(),
        );
        let finished = Finished {
            claimed,
            digest,
            host: Arc::clone(&self.host_name),
            outcome: report.outcome,
            error: report.error,
            summary: report.summary,
            data: report.data,
            record: report.record,
            next,
            max_attempts,
            effects: report.effects,
        };
        self.record(Arc::new(finished), &event, &plugin.name).await
    }

    /// Records until the database takes it: the run is ours, and nobody else
    /// can finish it. If we give up, the next start of the host rescues it.
    async fn record(
        &self,
        finished: Arc<Finished>,
        event: &Event,
        plugin: &PluginName,
    ) -> Option<Timestamp> {
        loop {
            match self.store.finish(Arc::clone(&finished)).await {
                Ok(Settled::Recorded(outcome, next)) => {
                    self.metrics
                        .attempt_ended(event, plugin, &finished.record, outcome, next);
                    log_end(&finished, event, plugin, outcome.as_str());
                    return match next {
                        Next::RetryAt(due) => Some(due),
                        Next::Again => Some(self.clock.now()),
                        Next::Succeeded | Next::Dead | Next::Cancelled => None,
                    };
                }
                Ok(Settled::Fenced) => {
                    tracing::warn!(run.id = %finished.claimed.fence.run, %plugin, "the run is no longer ours; its result is dropped");
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, run.id = %finished.claimed.fence.run, %plugin, "an attempt's end cannot be recorded; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(RECORD_AGAIN) => {}
                        () = self.give_up.cancelled() => return None,
                    }
                }
            }
        }
    }
}

fn log_end(finished: &Finished, event: &Event, plugin: &PluginName, outcome: &str) {
    let run = finished.claimed.fence.run;
    let (attempt, duration_ms) = (finished.claimed.attempt, finished.record.duration_ms);
    match &finished.error {
        None => tracing::debug!(
            %plugin, run.id = %run, event.id = %event.id, attempt, duration_ms,
            summary = finished.summary.as_deref().unwrap_or_default(), "run succeeded"
        ),
        Some(error) => tracing::warn!(
            %plugin, run.id = %run, event.id = %event.id, attempt, duration_ms, outcome, error, "attempt failed"
        ),
    }
}

/// A plugin's own part of the store's state.
struct StoredState {
    store: Store,
    plugin: PluginId,
}

impl StateReader for StoredState {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Seen>, String>> {
        Box::pin(async move {
            let kept = self
                .store
                .kv_get(self.plugin, key)
                .await
                .map_err(|error| error.to_string())?;
            Ok(kept.map(|kept| (kept.value, kept.version)))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async move {
            self.store
                .kv_list(self.plugin, prefix, limit)
                .await
                .map_err(|error| error.to_string())
        })
    }
}
