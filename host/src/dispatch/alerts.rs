//! Tells somebody when something is wrong, and when it is right again.
//!
//! Every host notes in the store what it sees; the first host tells of it. Something
//! must be wrong for a while before it is told, and right for a while before that is, so
//! that nobody is told of what comes and goes. A notice that cannot be delivered is
//! tried again as long as what it says is so: nothing is queued.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::config::{AlertsConfig, Config};
use crate::metrics::{Failures, Metrics};
use crate::plugin::egress::Network;
use crate::store::{AlertRow, Condition, Store, StoreError};

use super::{PluginState, SharedBoard};

mod notice;

use notice::{Messenger, State};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// What no host has seen for so long is over.
const UNSEEN: Duration = Duration::from_secs(6);
/// Between two tries to tell of the same.
const TELL_AGAIN: Duration = Duration::from_secs(20);

/// Looks, and tells.
pub struct Alerts {
    /// Where hosts note what they see.
    pub store: Store,
    /// How plugins stand.
    pub board: SharedBoard,
    /// What failed on this host.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Who is told, and of what.
    pub config: watch::Receiver<Arc<Config>>,
    /// How they are reached.
    pub network: Network,
    /// This host's name, for people.
    pub host_name: Arc<str>,
}

/// What failed, at the times of some looks.
#[derive(Default)]
struct Looks(VecDeque<(Timestamp, Failures)>);

/// What is to be done about a row.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Tell(State),
    Forget,
}

impl Alerts {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut looks = Looks::default();
        let mut messenger: Option<Messenger> = None;
        let mut often = tokio::time::interval(EVERY);
        loop {
            let work = async {
                often.tick().await;
                let config = self.config.borrow().alerts.clone();
                let Some(config) = config else {
                    // What failed before is not held against anybody later.
                    looks = Looks::default();
                    return;
                };
                let kept = messenger.take().filter(|kept| kept.is_for(&config));
                let made = || Messenger::new(&config, &self.network, &self.host_name);
                let messenger = messenger.insert(kept.unwrap_or_else(made));
                if let Err(error) = self.pass(&config, &mut looks, messenger).await {
                    tracing::warn!(%error, "what is wrong cannot be looked at now; tried again at once");
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = work => {}
            }
        }
    }

    async fn pass(
        &self,
        config: &AlertsConfig,
        looks: &mut Looks,
        messenger: &Messenger,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        looks.add(now, self.metrics.failures(), config.window);
        let is_first = self.store.is_first_host().await?;
        let mut seen = self.plugins();
        seen.extend(looks.too_many(config));
        if is_first {
            seen.extend(self.old_queues(config, now).await?);
        }
        self.store.see_alerts(seen).await?;
        if !is_first {
            return Ok(());
        }
        for row in self.store.alerts().await? {
            match due(&row, self.clock.now(), config.after) {
                Due::Nothing => {}
                Due::Forget => self.store.forget_alert(&row.key, row.seen_at).await?,
                Due::Tell(state) => self.tell(&row, state, messenger).await?,
            }
        }
        Ok(())
    }

    async fn tell(
        &self,
        row: &AlertRow,
        state: State,
        messenger: &Messenger,
    ) -> Result<(), StoreError> {
        if !self.store.claim_alert(&row.key, TELL_AGAIN).await? {
            return Ok(());
        }
        if let Err(why) = messenger.send(row, state, self.clock.now()).await {
            tracing::warn!(
                alert = row.key,
                why,
                "a notice cannot be delivered; tried again in 20 s"
            );
            return Ok(());
        }
        tracing::info!(
            alert = row.key,
            state = state.as_str(),
            "a notice was delivered"
        );
        match state {
            State::Raised => self.store.alert_told(&row.key).await,
            State::Resolved => self.store.forget_alert(&row.key, row.seen_at).await,
        }
    }

    /// Plugins that do not run though nobody paused them.
    fn plugins(&self) -> Vec<Condition> {
        let board = self.board.load_full();
        let wrong = board.entries.values().filter_map(|entry| {
            let (kind, why) = match entry.state() {
                PluginState::Held => ("plugin.held", "wants more than it is granted"),
                PluginState::Tripped => ("plugin.tripped", "failed by itself again and again"),
                PluginState::Missing => ("plugin.missing", "has no file on any live host"),
                PluginState::Broken => ("plugin.broken", "has a file that cannot be loaded"),
                PluginState::Active | PluginState::Paused => return None,
            };
            Some(Condition {
                kind,
                subject: entry.name.to_string(),
                message: format!("plugin `{}` {why}; its runs wait", entry.name),
            })
        });
        wrong.collect()
    }

    /// Plugins whose next run has waited for too long, in the whole cluster.
    async fn old_queues(
        &self,
        config: &AlertsConfig,
        now: Timestamp,
    ) -> Result<Vec<Condition>, StoreError> {
        let board = self.board.load_full();
        let mut old = Vec::new();
        for entry in board.entries.values() {
            let Some(id) = entry.id else { continue };
            let stored = self.store.next_run_since(id).await?;
            let age = stored.map(|at| now.since(at));
            if let Some(age) = age.filter(|age| *age > config.queue_age) {
                old.push(Condition {
                    kind: "queue.old",
                    subject: entry.name.to_string(),
                    message: format!(
                        "the next run of plugin `{}` has waited {} s",
                        entry.name,
                        age.as_secs()
                    ),
                });
            }
        }
        Ok(old)
    }
}

impl Looks {
    /// Adds a look, and leaves out those that lie before the window; one of them stays, to
    /// count from.
    fn add(&mut self, now: Timestamp, failures: Failures, window: Duration) {
        self.0.push_back((now, failures));
        let start = now.minus(window);
        while self.0.get(1).is_some_and(|(at, _)| *at <= start) {
            self.0.pop_front();
        }
    }

    /// Sources and plugins that failed too often within the window.
    fn too_many(&self, config: &AlertsConfig) -> Vec<Condition> {
        let (Some((_, first)), Some((_, last))) = (self.0.front(), self.0.back()) else {
            return Vec::new();
        };
        let minutes = config.window.as_secs().div_ceil(60);
        let sources = more(&first.verification, &last.verification);
        let sources = sources.filter(|(_, n)| *n >= u64::from(config.failed_verifications));
        let sources = sources.map(|(source, n)| Condition {
            kind: "source.unverified",
            message: format!(
                "{n} requests to source `{source}` were not genuine within {minutes} min"
            ),
            subject: source,
        });
        let plugins = more(&first.dead_runs, &last.dead_runs);
        let plugins = plugins.filter(|(_, n)| *n >= u64::from(config.dead_runs));
        let plugins = plugins.map(|(plugin, n)| Condition {
            kind: "plugin.failing",
            message: format!("{n} runs of plugin `{plugin}` have died within {minutes} min"),
            subject: plugin,
        });
        sources.chain(plugins).collect()
    }
}

/// How much more there is of each.
fn more<'a>(
    before: &'a BTreeMap<String, u64>,
    after: &'a BTreeMap<String, u64>,
) -> impl Iterator<Item = (String, u64)> + 'a {
    after.iter().map(|(name, n)| {
        let before = before.get(name).copied().unwrap_or(0);
        (name.clone(), n.saturating_sub(before))
    })
}

fn due(row: &AlertRow, now: Timestamp, after: Duration) -> Due {
    let is_over = now.since(row.seen_at) > after.max(UNSEEN);
    let is_lasting = row.seen_at.since(row.raised_at) >= after;
    match (is_over, row.told_at) {
        (false, None) if is_lasting => Due::Tell(State::Raised),
        (true, Some(_)) => Due::Tell(State::Resolved),
        (true, None) => Due::Forget,
        (false, _) => Due::Nothing,
    }
}

#[cfg(test)]
mod tests;
