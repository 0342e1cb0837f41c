//! The lanes: one per plugin, with what it may execute now and what was claimed
//! ahead. Pure bookkeeping; the dispatcher acts on it.
//!
//! A lane claims ahead a little, so that guests need not wait for the database
//! between runs; claimed runs that were not started can be given back, and are where
//! their turn does not come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::event::Event;
use crate::rate::Rate;
use crate::run::{Claimed, Fence, PluginId};
use crate::store::Want;

use super::board::Entry;
use super::breaker::Allowance;

/// Runs claimed and not yet recorded, per run that may execute at once, of a plugin
/// that has no rate.
const AHEAD: u32 = 32;
/// What may come between a claim and a recorded end, beside what guests take.
const HOLD_MARGIN: Duration = Duration::from_mins(2);
/// The most that a lane has claimed and not yet recorded, unless more than that
/// may execute at once.
const OUTSTANDING_MAX: u32 = 256;

/// What a plugin may have of this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Runs that may execute at once.
    pub(super) concurrency: u32,
    /// Runs claimed and not yet recorded, for each of these.
    pub(super) ahead: u32,
    /// How often runs may start, on all hosts together.
    pub(super) rate: Option<Rate>,
    /// How long a claimed run may take until it is recorded.
    pub(super) hold: Duration,
}

impl Share {
    /// What a plugin may have as it stands; none, if it cannot run now.
    pub(super) fn of(entry: &Entry, now: Timestamp) -> Option<Self> {
        let settings = &entry.settings;
        let (concurrency, ahead) = match entry.allowance(now) {
            Allowance::None => return None,
            Allowance::Probe => (1, 1),
            // Claimed ahead, a run would start later than its rate counts it.
            Allowance::All if settings.rate.is_some() => (settings.concurrency, 1),
            Allowance::All => (settings.concurrency, AHEAD),
        };
        Some(Self {
            concurrency,
            ahead,
            rate: settings.rate,
            hold: settings.limits.wall * (ahead + 1) + HOLD_MARGIN,
        })
    }
}

/// A claimed run, with its event where that is held in memory already.
pub(super) type ClaimedRun = (Claimed, Option<Arc<Event>>);

/// One plugin's runs on this host.
#[derive(Default)]
struct Lane {
    /// Claimed, not started, each with until when it may be.
    claimed: VecDeque<(ClaimedRun, Instant)>,
    /// Until when what the last claim gets may be started.
    start_until: Option<Instant>,
    executing: u32,
    /// Claimed and not yet recorded, whether waiting, executing or ending.
    outstanding: u32,
    /// Whether the queue may have runs that are due.
    may_have_more: bool,
    /// When its next run becomes due, where that is known.
    due: Option<Timestamp>,
}

/// All lanes of this host.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<PluginId, Lane>,
    executing: u32,
    /// Whose turn it is to start first: each plugin gets its share.
    turn: Option<PluginId>,
}

impl Lanes {
    /// Notes that a plugin may have runs that are due.
    pub(super) fn look_at(&mut self, plugin: PluginId) {
        self.lanes.entry(plugin).or_default().may_have_more = true;
    }

    /// Notes it for each lane whose next run has become due.
    pub(super) fn look_at_due(&mut self, now: Timestamp) {
        for lane in self.lanes.values_mut() {
            if lane.due.is_some_and(|due| due <= now) {
                lane.due = None;
                lane.may_have_more = true;
            }
        }
    }

    /// When the next run becomes due, of all lanes.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.lanes.values().filter_map(|lane| lane.due).min()
    }

    /// What to claim: for lanes that may have more and have room for a good
    /// batch of it. `share` is none for plugins that cannot run now.
    pub(super) fn wants(&self, share: impl Fn(PluginId) -> Option<Share>) -> Vec<Want> {
        let want = |(plugin, lane): (&PluginId, &Lane)| {
            let share = share(*plugin)?;
            let concurrency = share.concurrency;
            let most = (concurrency * share.ahead)
                .min(OUTSTANDING_MAX)
                .max(concurrency);
            let room = most.saturating_sub(lane.outstanding);
            let is_worth_it = lane.claimed.is_empty() || room >= most / 2;
            (lane.may_have_more && room > 0 && is_worth_it).then_some(Want {
                plugin: *plugin,
                count: room,
                rate: share.rate,
                hold: share.hold,
            })
        };
        self.lanes.iter().filter_map(want).collect()
    }

    /// Notes that a claim is under way: what comes after it needs a new look.
    pub(super) fn claiming(&mut self, wants: &[Want], at: Instant) {
        for want in wants {
            if let Some(lane) = self.lanes.get_mut(&want.plugin) {
                // The rest of the hold is enough for the run itself.
                lane.start_until = at.checked_add(want.hold / 2);
                lane.may_have_more = false;
                lane.due = None;
            }
        }
    }

    /// Takes in what a claim got. Whoever got all it wanted may have more.
    pub(super) fn claimed(
        &mut self,
        wants: &[Want],
        runs: Vec<ClaimedRun>,
        next_due: &[(PluginId, Timestamp)],
        now: Timestamp,
    ) {
        let mut got: BTreeMap<PluginId, u32> = BTreeMap::new();
        for run in runs {
            let plugin = run.0.plugin;
            *got.entry(plugin).or_default() += 1;
            let lane = self.lanes.entry(plugin).or_default();
            lane.outstanding += 1;
            let until = lane.start_until.unwrap_or_else(Instant::now);
            lane.claimed.push_back((run, until));
        }
        for want in wants {
            if let Some(lane) = self.lanes.get_mut(&want.plugin) {
                lane.may_have_more |= got.get(&want.plugin).is_some_and(|got| *got >= want.count);
            }
        }
        for (plugin, due) in next_due {
            if let Some(lane) = self.lanes.get_mut(plugin) {
                // One that came back meanwhile may be due before.
                lane.due = Some(lane.due.map_or(*due, |known| known.min(*due)));
            }
        }
        self.look_at_due(now);
    }

    /// The next run to start, if a slot is free for its plugin, each plugin in
    /// turn; of `slots` in all.
    pub(super) fn start(
        &mut self,
        slots: u32,
        share: impl Fn(PluginId) -> Option<Share>,
    ) -> Option<ClaimedRun> {
        if self.executing >= slots {
            return None;
        }
        let is_free = |(plugin, lane): &(&PluginId, &Lane)| {
            !lane.claimed.is_empty()
                && share(**plugin).is_some_and(|share| lane.executing < share.concurrency)
        };
        let after = self.lanes.range((
            self.turn
                .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
            std::ops::Bound::Unbounded,
        ));
        let plugin = *after.chain(self.lanes.iter()).find(is_free)?.0;
        let lane = self.lanes.get_mut(&plugin)?;
        lane.executing += 1;
        self.executing += 1;
        self.turn = Some(plugin);
        lane.claimed.pop_front().map(|(run, _)| run)
    }

    /// Takes out what was claimed so long ago that it might not end in time: others had
    /// all the slots.
    pub(super) fn late(&mut self, at: Instant) -> Vec<Fence> {
        let mut fences = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some(((claimed, _), _)) = lane.claimed.pop_front_if(|(_, until)| *until <= at)
            {
                lane.outstanding = lane.outstanding.saturating_sub(1);
                lane.may_have_more = true;
                fences.push(claimed.fence);
            }
        }
        fences
    }

    /// Notes that a guest has ended and its slot is free.
    pub(super) fn guest_ended(&mut self, plugin: PluginId) {
        if let Some(lane) = self.lanes.get_mut(&plugin) {
            lane.executing = lane.executing.saturating_sub(1);
            self.executing = self.executing.saturating_sub(1);
        }
    }

    /// Notes that a run is off our hands, and when it is due again, if it is.
    pub(super) fn recorded(&mut self, plugin: PluginId, due_again: Option<Timestamp>) {
        if let Some(lane) = self.lanes.get_mut(&plugin) {
            lane.outstanding = lane.outstanding.saturating_sub(1);
            lane.due = [lane.due, due_again].into_iter().flatten().min();
        }
    }

    /// Notes that a plugin is left alone until a time, whenever its runs are due.
    pub(super) fn tripped(&mut self, plugin: PluginId, until: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(&plugin) {
            lane.due = Some(until);
        }
    }

    /// Takes out what was claimed and not started, of plugins that cannot run.
    pub(super) fn give_back(&mut self, cannot_run: impl Fn(PluginId) -> bool) -> Vec<Fence> {
        let mut fences = Vec::new();
        for (plugin, lane) in &mut self.lanes {
            if cannot_run(*plugin) {
                lane.outstanding -= u32::try_from(lane.claimed.len()).unwrap_or(lane.outstanding);
                let runs = lane.claimed.drain(..);
                fences.extend(runs.map(|((claimed, _), _)| claimed.fence));
            }
        }
        fences
    }

    /// The fences of what was claimed and not started.
    pub(super) fn unstarted(&self) -> impl Iterator<Item = Fence> {
        let claimed = self.lanes.values().flat_map(|lane| &lane.claimed);
        claimed.map(|((claimed, _), _)| claimed.fence)
    }

    /// Drops what was claimed and not started and is lost; nothing is to be given
    /// back.
    pub(super) fn forget(&mut self, is_lost: impl Fn(&Fence) -> bool) {
        for lane in self.lanes.values_mut() {
            let before = lane.claimed.len();
            lane.claimed
                .retain(|((claimed, _), _)| !is_lost(&claimed.fence));
            let gone = before - lane.claimed.len();
            lane.outstanding -= u32::try_from(gone).unwrap_or(lane.outstanding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Claimed, Duration, Fence, Instant, Lanes, PluginId, Share, Timestamp, Want};
    use crate::event::EventId;
    use crate::run::{Epoch, RunId};

    const PLUGIN: PluginId = PluginId(1);
    const HOLD: Duration = Duration::from_secs(600);

    fn claimed(run: i64) -> Claimed {
        let now = Timestamp::from_millis(0);
        Claimed {
            fence: Fence {
                run: RunId(run),
                owner: Epoch(1),
                lease_no: 1,
            },
            plugin: PLUGIN,
            event: EventId::lower_bound(now),
            order: None,
            attempt: 1,
            free_attempts: 0,
            deaths: 0,
            created_at: now,
        }
    }

    #[test]
    fn what_was_claimed_too_long_ago_is_not_started_and_claimed_again() {
        let share = |_| {
            Some(Share {
                concurrency: 1,
                ahead: 3,
                rate: None,
                hold: HOLD,
            })
        };
        let (now, at) = (Timestamp::from_millis(0), Instant::now());
        let mut lanes = Lanes::default();
        let claim = |lanes: &mut Lanes, runs: [i64; 3], at: Instant| {
            lanes.look_at(PLUGIN);
            let wants: Vec<Want> = lanes.wants(share);
            assert_eq!(wants.len(), 1);
            lanes.claiming(&wants, at);
            let runs = runs.map(|run| (claimed(run), None)).into();
            lanes.claimed(&wants, runs, &[], now);
        };
        claim(&mut lanes, [1, 2, 3], at);
        let (first, _) = lanes.start(1, share).unwrap();
        assert_eq!(first.fence.run, RunId(1));
        let almost = at.checked_add(HOLD / 2 - Duration::from_secs(1)).unwrap();
        assert!(lanes.late(almost).is_empty());
        let later = at.checked_add(HOLD / 2).unwrap();
        let late: Vec<RunId> = lanes.late(later).iter().map(|fence| fence.run).collect();
        assert_eq!(late, [RunId(2), RunId(3)]);
        assert_eq!(lanes.unstarted().count(), 0);
        // The one that executes is its own business; for the others there is room again.
        let wants = lanes.wants(share);
        assert_eq!(wants[0].count, 2);
    }
}
