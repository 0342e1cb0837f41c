//! What is over goes: events, finished runs and minutes by age, more of them where
//! the store is too large, and runs that waited too long.
//!
//! Once a minute, on one host of several, in slices with a pause after each that is
//! as long as it took: whoever stores webhooks meanwhile has half of the time. An
//! event with a live run is never removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::event::EventId;
use crate::run::RunId;
use crate::store::{EventSlice, Store, StoreError};

use super::Wakeup;

mod audit;
mod quarantine;

/// Between looks for what is over.
const EVERY: Duration = Duration::from_mins(1);
/// Between looks for what is to be prepared, or is forgotten after a day.
const SELDOM: Duration = Duration::from_hours(1);
/// How long minutes are kept for charts.
const MINUTES_KEPT: Duration = Duration::from_hours(400 * 24);
/// Finished runs that go between two looks at how large the store is.
const AT_A_TIME: u64 = 1000;

/// How long what is kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Events of sources that are not in `by_source`.
    pub events: Duration,
    /// Events of these sources.
    pub by_source: HashMap<String, Duration>,
    /// Finished runs and their attempts.
    pub history: Duration,
    /// What operators changed.
    pub audit: Duration,
    /// Requests that were refused and set aside.
    pub quarantine: Duration,
    /// How large the store may be, in bytes.
    pub max_bytes: u64,
    /// How old the event of a run may be that has not finished.
    pub max_pending_age: Option<Duration>,
}

impl Policy {
    /// What the configuration says.
    pub fn of(config: &Config) -> Self {
        let kept = config.retention;
        let by_source = config.sources.iter();
        let by_source = by_source
            .filter_map(|source| Some((source.name.as_str().to_owned(), source.retention?)));
        Self {
            events: kept.events,
            by_source: by_source.collect(),
            history: kept.history,
            audit: kept.audit,
            quarantine: kept.quarantine,
            max_bytes: kept.max_bytes,
            max_pending_age: config.max_pending_age,
        }
    }

    fn of_source(&self, source: &str) -> Duration {
        self.by_source.get(source).copied().unwrap_or(self.events)
    }

    /// The longest that any event is kept.
    fn longest(&self) -> Duration {
        let of_sources = self.by_source.values().copied().max().unwrap_or_default();
        of_sources.max(self.events)
    }

    /// The shortest.
    fn shortest(&self) -> Duration {
        let of_sources = self.by_source.values().copied().min();
        of_sources.map_or(self.events, |kept| kept.min(self.events))
    }
}

/// Removes what is over.
pub struct Retention {
    store: Store,
    policy: Policy,
    /// What the policy follows, if it can change.
    config: Option<watch::Receiver<Arc<Config>>>,
    wakeup: Arc<Wakeup>,
    clock: Clock,
    stop: CancellationToken,
    /// Where what has to stay ends: not looked at again before `looked_at` is old.
    positions: Positions,
    looked_at: Timestamp,
    /// Whether it was said that the store stays too large.
    is_told: bool,
}

#[derive(Default)]
struct Positions {
    /// By source; none is all of them.
    sources: HashMap<Option<String>, EventId>,
    oldest: Option<EventId>,
    history: Option<RunId>,
}

impl Retention {
    /// Retention as this policy has it.
    pub fn new(store: Store, policy: Policy, wakeup: Arc<Wakeup>, stop: CancellationToken) -> Self {
        Self {
            clock: store.clock(),
            store,
            policy,
            config: None,
            wakeup,
            stop,
            positions: Positions::default(),
            looked_at: Timestamp::default(),
            is_told: false,
        }
    }

    /// The same, with the policy that the configuration has at each time.
    pub fn following(self, config: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            config: Some(config),
            ..self
        }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut often = tokio::time::interval(EVERY);
        let mut seldom = tokio::time::interval(SELDOM);
        let stop = self.stop.clone();
        loop {
            let work = async {
                tokio::select! {
                    _ = seldom.tick() => self.prepare().await,
                    _ = often.tick() => self.pass().await,
                }
            };
            // Whatever it is in the middle of is undone, or found again.
            tokio::select! {
                () = stop.cancelled() => return,
                () = work => {}
            }
        }
    }

    /// Makes room for the days to come, and forgets hosts that are long gone.
    pub async fn prepare(&self) {
        if let Err(error) = self.store.prepare_days().await {
            tracing::error!(%error, "the partitions of the days to come cannot be made; tried again in an hour");
        }
        if let Err(error) = self.store.forget_hosts().await {
            tracing::warn!(%error, "hosts that are gone cannot be forgotten now");
        }
    }

    /// Removes all that is over now.
    pub async fn pass(&mut self) {
        match self.store.is_first_host().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return complain(&error, "what is over"),
        }
        if let Some(config) = &self.config {
            self.policy = Policy::of(&config.borrow());
        }
        let now = self.clock.now();
        if now.since(self.looked_at) >= SELDOM {
            self.positions = Positions::default();
            self.looked_at = now;
        }
        if let Err(error) = self.expire(now).await {
            complain(&error, "runs that waited too long");
        }
        if let Err(error) = self.remove_days(now).await {
            complain(&error, "days that are over");
        }
        if let Err(error) = self.remove_events(now).await {
            complain(&error, "events that are over");
        }
        if let Err(error) = self.remove_history(now).await {
            complain(&error, "runs that are over");
        }
        if let Err(error) = self.remove_audit(now).await {
            complain(&error, "the audit log");
        }
        if let Err(error) = self.remove_quarantine(now).await {
            complain(&error, "refused requests that are over");
        }
        if let Err(error) = self.make_room(now).await {
            complain(&error, "what is too much");
        }
    }

    async fn expire(&self, now: Timestamp) -> Result<(), StoreError> {
        let Some(age) = self.policy.max_pending_age else {
            return Ok(());
        };
        let mut all = 0;
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let expired = self.store.expire(now.minus(age)).await?;
            if expired.runs == 0 {
                break;
            }
            all += expired.runs;
            self.wakeup.ring(&expired.plugins);
            self.rest(began).await;
        }
        if all > 0 {
            tracing::warn!(
                runs = all,
                "runs have ended unfinished: their events are older than `max_pending_age`"
            );
        }
        Ok(())
    }

    async fn remove_days(&self, now: Timestamp) -> Result<(), StoreError> {
        let events = now.minus(self.policy.longest());
        let history = now.minus(self.policy.history);
        let days = self.store.remove_days(events, history).await?;
        if days > 0 {
            tracing::info!(partitions = days, "days that are over were removed");
        }
        Ok(())
    }

    async fn remove_events(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let longest = self.policy.longest();
        let mut bound = now.minus(longest);
        if self.store.has_days() {
            // Younger ones go with their day, which is cheaper.
            bound = Store::day_of(bound);
        }
        self.remove_events_of(None, bound).await?;
        if self.policy.shortest() == longest {
            return Ok(());
        }
        for source in self.store.sources_of_events().await? {
            let kept = self.policy.of_source(&source);
            if kept < longest {
                self.remove_events_of(Some(source), now.minus(kept)).await?;
            }
        }
        Ok(())
    }

    async fn remove_events_of(
        &mut self,
        source: Option<String>,
        bound: Timestamp,
    ) -> Result<(), StoreError> {
        let start = self.positions.sources.get(&source).copied();
        let mut slice = EventSlice {
            source,
            after: start.unwrap_or(EventId::lower_bound(Timestamp::default())),
            before: EventId::lower_bound(bound),
            bytes_max: u64::MAX,
            with_runs: false,
        };
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let removed = self.store.remove_events(&slice).await?;
            let Some(next) = removed.next else { break };
            slice.after = next;
            self.rest(began).await;
        }
        self.positions.sources.insert(slice.source, slice.after);
        Ok(())
    }

    async fn remove_history(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut bound = now.minus(self.policy.history);
        if self.store.has_days() {
            bound = Store::day_of(bound);
        }
        let after = self.positions.history.unwrap_or(RunId(i64::MIN));
        let (after, _) = self.remove_history_before(after, bound, u64::MAX).await?;
        self.positions.history = Some(after);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            if self.store.remove_minutes(now.minus(MINUTES_KEPT)).await? == 0 {
                break;
            }
            self.rest(began).await;
        }
        Ok(())
    }

    /// Removes finished runs, about so many of them; where the last slice began, and
    /// how many went.
    async fn remove_history_before(
        &self,
        mut after: RunId,
        bound: Timestamp,
        about: u64,
    ) -> Result<(RunId, u64), StoreError> {
        let mut all = 0;
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let removed = self.store.remove_history(after, bound).await?;
            all += removed.rows;
            match removed.next {
                Some(next) if all < about => after = next,
                _ => break,
            }
            self.rest(began).await;
        }
        Ok((after, all))
    }

    /// Removes what is oldest while the store is larger than it may be.
    async fn make_room(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let most = self.policy.max_bytes;
        let mut used = self.store.used_bytes(most).await?;
        while used > most && !self.stop.is_cancelled() {
            let began = Instant::now();
            if !self.store.remove_oldest_day().await? {
                break;
            }
            used = self.store.used_bytes(most).await?;
            self.rest(began).await;
        }
        let mut is_over = false;
        while used > most && !is_over && !self.stop.is_cancelled() {
            is_over = self.remove_oldest(now, used - most).await?;
            if self.store.has_days() {
                // What a table says of itself comes later: next time.
                break;
            }
            used = self.store.used_bytes(most).await?;
        }
        if used > most && is_over && !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                used_bytes = used,
                max_bytes = most,
                "the store is larger than `retention.max_bytes`, and nothing more may be removed: \
                 what is left belongs to runs that have not finished, or to plugins"
            );
        }
        self.is_told &= used > most;
        Ok(())
    }

    /// Removes the oldest events and their finished runs, about as many bytes as are
    /// too much; whether nothing is left that may go.
    async fn remove_oldest(&mut self, now: Timestamp, excess: u64) -> Result<bool, StoreError> {
        let start = EventId::lower_bound(Timestamp::default());
        let mut slice = EventSlice {
            source: None,
            after: self.positions.oldest.unwrap_or(start),
            before: EventId::lower_bound(now),
            bytes_max: excess,
            with_runs: true,
        };
        let (mut freed, mut events) = (0, 0);
        let mut is_over = false;
        while freed < excess && !is_over && !self.stop.is_cancelled() {
            let began = Instant::now();
            let removed = self.store.remove_events(&slice).await?;
            freed += removed.bytes;
            events += removed.rows;
            slice.bytes_max = excess.saturating_sub(freed);
            match removed.next {
                Some(next) => slice.after = next,
                None => is_over = true,
            }
            self.rest(began).await;
        }
        self.positions.oldest = Some(slice.after);
        if events > 0 {
            tracing::info!(
                events,
                "the store is larger than `retention.max_bytes`: the oldest events were removed"
            );
        }
        if !is_over || events > 0 {
            return Ok(false);
        }
        // Runs whose events went before them.
        let all = RunId(i64::MIN);
        let (_, runs) = self.remove_history_before(all, now, AT_A_TIME).await?;
        Ok(runs == 0)
    }

    /// A pause as long as what went before it.
    async fn rest(&self, began: Instant) {
        let pause = began.elapsed();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

fn complain(error: &StoreError, what: &'static str) {
    tracing::warn!(%error, what, "what is over cannot be removed now; tried again in a minute");
}
