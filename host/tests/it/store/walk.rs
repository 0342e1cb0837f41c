//! A walk at random over everything that can happen to runs with ordering keys, beside
//! a model of what should: after each step the store holds what the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookbay::clock::Timestamp;
use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{Claimed, OrderKey, Outcome, PluginId, RunId, RunState};
use hookbay::store::{Cancelled, Retried, Settled};

use super::bench::{Bench, Dice, LEASE, ids, increment};

const KEYS: [&str; 3] = ["a", "b", "c"];
const STEPS: u32 = 150;

/// A run as it should stand.
#[derive(Clone, Debug)]
struct Run {
    plugin: PluginId,
    key: &'static str,
    state: RunState,
    due: Timestamp,
    attempt: u32,
}

/// Everything as it should stand.
struct Model {
    runs: BTreeMap<RunId, Run>,
    /// Dead runs that hold up their key.
    blocks: BTreeSet<RunId>,
    /// The plugin whose dead runs do so.
    blocking: PluginId,
    /// Who executes what.
    held: Vec<(usize, Claimed)>,
    /// Claims that were lost.
    stale: Vec<Claimed>,
}

impl Model {
    /// Lets the first of each key go where none is under way and none blocks it.
    fn promote(&mut self) {
        let mut first: BTreeMap<(PluginId, &str), RunId> = BTreeMap::new();
        let mut taken: BTreeSet<(PluginId, &str)> = BTreeSet::new();
        for (id, run) in &self.runs {
            let key = (run.plugin, run.key);
            if run.state == RunState::Blocked {
                first.entry(key).or_insert(*id);
            } else if run.state.is_live() || self.blocks.contains(id) {
                taken.insert(key);
            }
        }
        for (key, id) in first {
            if !taken.contains(&key) {
                self.runs.get_mut(&id).unwrap().state = RunState::Ready;
            }
        }
    }

    fn ended(&mut self, id: RunId, state: RunState) {
        let run = self.runs.get_mut(&id).unwrap();
        run.state = state;
        if state == RunState::Dead && run.plugin == self.blocking {
            self.blocks.insert(id);
        }
        self.promote();
    }

    /// What can be claimed, first to last.
    fn claimable(&self, plugin: PluginId, now: Timestamp) -> Vec<RunId> {
        let mut due: Vec<(Timestamp, RunId)> = self
            .runs
            .iter()
            .filter(|(_, run)| run.plugin == plugin && run.state == RunState::Ready)
            .filter(|(_, run)| run.due <= now)
            .map(|(id, run)| (run.due, *id))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// How each run stands in the words of the store.
    fn states(&self, now: Timestamp) -> Vec<(RunId, RunState)> {
        let state = |run: &Run| match run.state {
            RunState::Ready if run.due > now => RunState::Waiting,
            state => state,
        };
        let states = self.runs.iter().map(|(id, run)| (*id, state(run)));
        states.collect()
    }
}

struct Walk {
    hosts: Vec<Bench>,
    model: Model,
    dice: Dice,
}

impl Walk {
    fn now(&self) -> Timestamp {
        self.hosts[0].now()
    }

    fn any_host(&mut self) -> usize {
        self.dice.below(self.hosts.len())
    }

    fn any_plugin(&mut self) -> PluginId {
        let plugins: Vec<PluginId> = vec![PluginId(1), self.model.blocking];
        self.dice.one_of(&plugins).unwrap()
    }

    async fn step(&mut self) {
        match self.dice.below(20) {
            0..4 => self.ingest().await,
            4..8 => self.claim().await,
            8..13 => self.finish().await,
            13 => self.finish_late().await,
            14 => self.release().await,
            15 | 16 => self.cancel().await,
            17 => self.retry().await,
            18 => self.hosts[0].pass(Duration::from_secs(4)),
            _ => self.lose().await,
        }
    }

    async fn ingest(&mut self) {
        let (host, plugin) = (self.any_host(), self.any_plugin());
        let count = 1 + self.dice.below(3);
        let keys: Vec<&'static str> = (0..count).filter_map(|_| self.dice.one_of(&KEYS)).collect();
        let runs = self.hosts[host].in_order(plugin, &keys).await;
        let now = self.now();
        for (id, key) in runs.into_iter().zip(keys) {
            let run = Run {
                plugin,
                key,
                state: RunState::Blocked,
                due: now,
                attempt: 0,
            };
            self.model.runs.insert(id, run);
        }
        self.model.promote();
    }

    async fn claim(&mut self) {
        let (host, plugin) = (self.any_host(), self.any_plugin());
        let count = 1 + self.dice.below(3);
        let mut expected = self.model.claimable(plugin, self.now());
        expected.truncate(count);
        expected.sort_unstable();
        let count = u32::try_from(count).unwrap();
        let (claimed, _) = self.hosts[host].claim(plugin, count).await;
        assert_eq!(ids(&claimed), expected);
        for one in claimed {
            let run = self.model.runs.get_mut(&one.fence.run).unwrap();
            run.state = RunState::Running;
            run.attempt += 1;
            assert_eq!(one.attempt, run.attempt);
            assert_eq!(one.order, Some(OrderKey::of(run.key)));
            self.model.held.push((host, one));
        }
    }

    fn take_held(&mut self) -> Option<(usize, Claimed)> {
        let held = self.model.held.len();
        (held > 0).then(|| self.model.held.swap_remove(self.dice.below(held)))
    }

    async fn finish(&mut self) {
        let Some((host, claimed)) = self.take_held() else {
            return;
        };
        let (id, now) = (claimed.fence.run, self.now());
        let later = now.plus(Duration::from_secs(5));
        let (outcome, next, state) = match self.dice.below(6) {
            0..3 => (Outcome::Succeeded, Next::Succeeded, RunState::Succeeded),
            3 => (Outcome::Trap, Next::Dead, RunState::Dead),
            4 => (Outcome::Retry, Next::RetryAt(later), RunState::Ready),
            _ => (Outcome::Retry, Next::RetryAt(now), RunState::Ready),
        };
        let effects = increment(self.model.runs[&id].key);
        let settled = self.hosts[host]
            .finish(&claimed, outcome, next, effects)
            .await;
        assert_eq!(settled, Settled::Recorded(outcome, next));
        if let Next::RetryAt(due) = next {
            self.model.runs.get_mut(&id).unwrap().due = due;
        }
        self.model.ended(id, state);
    }

    async fn finish_late(&mut self) {
        let Some(claimed) = self.dice.one_of(&self.model.stale) else {
            return;
        };
        let host = self.any_host();
        let settled = self.hosts[host].succeed(&claimed, increment("late")).await;
        assert_eq!(settled, Settled::Fenced);
    }

    async fn release(&mut self) {
        let Some((host, claimed)) = self.take_held() else {
            return;
        };
        let store = &self.hosts[host].store;
        store.release(vec![claimed.fence]).await.unwrap();
        let run = self.model.runs.get_mut(&claimed.fence.run).unwrap();
        run.state = RunState::Ready;
        run.attempt -= 1;
        self.model.stale.push(claimed);
    }

    fn any_run(&mut self) -> Option<(RunId, Run)> {
        let runs: Vec<RunId> = self.model.runs.keys().copied().collect();
        let id = self.dice.one_of(&runs)?;
        Some((id, self.model.runs[&id].clone()))
    }

    async fn cancel(&mut self) {
        let Some((id, run)) = self.any_run() else {
            return;
        };
        let host = self.any_host();
        let cancelled = self.hosts[host].store.cancel(id).await.unwrap();
        if !run.state.is_live() && !self.model.blocks.remove(&id) {
            assert_eq!(cancelled, Cancelled::NotNow(run.state));
            return;
        }
        assert_eq!(cancelled, Cancelled::Done(run.plugin));
        let held = std::mem::take(&mut self.model.held);
        let (lost, held): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(_, one)| one.fence.run == id);
        self.model.held = held;
        self.model
            .stale
            .extend(lost.into_iter().map(|(_, one)| one));
        self.model.ended(id, RunState::Cancelled);
    }

    async fn retry(&mut self) {
        let Some((id, run)) = self.any_run() else {
            return;
        };
        let (host, now) = (self.any_host(), self.now());
        let retried = self.hosts[host].store.retry(id).await.unwrap();
        let is_waiting = run.state == RunState::Ready && run.due > now;
        let is_over = matches!(run.state, RunState::Dead | RunState::Cancelled);
        if !is_waiting && !is_over {
            assert_eq!(retried, Retried::NotNow(run.state));
            return;
        }
        assert_eq!(retried, Retried::Due(run.plugin));
        let run = self.model.runs.get_mut(&id).unwrap();
        run.due = now;
        if is_over {
            run.state = RunState::Blocked;
            self.model.blocks.remove(&id);
            self.model.promote();
        }
    }

    /// One host is silent until its lease has ended; whoever looks then rescues its runs.
    async fn lose(&mut self) {
        let (silent, rescuer) = (self.any_host(), self.any_host());
        self.hosts[0].pass(LEASE);
        for (n, host) in self.hosts.iter().enumerate() {
            if n != silent {
                host.beat().await;
            }
        }
        let rescued = self.hosts[rescuer].store.rescue().await.unwrap();
        let held = std::mem::take(&mut self.model.held);
        let (lost, held): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(host, _)| *host == silent);
        self.model.held = held;
        assert_eq!((rescued.due, rescued.dead), (lost.len(), 0));
        let now = self.now();
        for (_, one) in lost {
            let run = self.model.runs.get_mut(&one.fence.run).unwrap();
            (run.state, run.due) = (RunState::Ready, now);
            self.model.stale.push(one);
        }
        self.hosts[silent].beat().await;
    }

    async fn check(&self, step: u32) {
        let runs = self.hosts[0].runs().await;
        let states: Vec<_> = runs.iter().map(|run| (run.id, run.state)).collect();
        assert_eq!(states, self.model.states(self.now()), "after step {step}");
    }

    /// Unblocks and executes whatever is left, and checks that nothing is.
    async fn drain(&mut self) {
        while let Some((host, claimed)) = self.take_held() {
            let none = KvEffects::default();
            self.hosts[host].succeed(&claimed, none).await;
            self.model.ended(claimed.fence.run, RunState::Succeeded);
        }
        for id in std::mem::take(&mut self.model.blocks) {
            self.hosts[0].store.cancel(id).await.unwrap();
            self.model.ended(id, RunState::Cancelled);
        }
        self.hosts[0].pass(Duration::from_secs(60));
        for plugin in [PluginId(1), self.model.blocking] {
            loop {
                let (claimed, _) = self.hosts[0].claim(plugin, 10).await;
                if claimed.is_empty() {
                    break;
                }
                for one in claimed {
                    let none = KvEffects::default();
                    self.hosts[0].succeed(&one, none).await;
                    self.model.ended(one.fence.run, RunState::Succeeded);
                }
            }
        }
        assert!(self.model.runs.values().all(|run| !run.state.is_live()));
    }

    async fn check_counts(&self) {
        for plugin in [PluginId(1), self.model.blocking] {
            let of = |state| {
                let runs = self.model.runs.values();
                let runs = runs.filter(|run| run.plugin == plugin && run.state == state);
                i64::try_from(runs.count()).unwrap()
            };
            let counts = self.hosts[0].store.plugin_runs(plugin).await.unwrap();
            assert_eq!(
                (counts.succeeded, counts.dead, counts.cancelled),
                (
                    of(RunState::Succeeded),
                    of(RunState::Dead),
                    of(RunState::Cancelled)
                )
            );
            let live = (counts.due, counts.later, counts.running, counts.behind);
            assert_eq!(live, (0, 0, 0, 0));
        }
    }
}

pub(super) async fn whatever_happens_is_as_the_model_says(bench: Bench) {
    let other = bench.neighbour().await;
    let mut hosts = vec![bench];
    hosts.extend(other);
    hosts[0].plugin("skips").await;
    let blocking = hosts[0].blocking_plugin("blocks").await;
    for host in &hosts {
        host.beat().await;
    }
    let model = Model {
        runs: BTreeMap::new(),
        blocks: BTreeSet::new(),
        blocking,
        held: Vec::new(),
        stale: Vec::new(),
    };
    let mut walk = Walk {
        hosts,
        model,
        dice: Dice(0x9E37_79B9_7F4A_7C15),
    };
    for step in 0..STEPS {
        walk.step().await;
        walk.check(step).await;
    }
    walk.drain().await;
    walk.check(STEPS).await;
    walk.check_counts().await;
    let late = walk.hosts[0].value(PluginId(1), "late").await;
    assert_eq!(late, None, "who is fenced leaves nothing");
}
