//! Where the claims of a host begin, so that none looks again at all that was claimed
//! before.
//!
//! On Postgres a claimed run stays in the index `runs_ready` until no transaction can
//! see it ready any more: for a moment with several hosts, and for as long as somebody
//! keeps a snapshot, such as a backup of hours. A claim that begins at the start of the
//! index passes over all of them.
//!
//! A plugin has two floors. Below the sure one nothing was ready when a claim looked. The
//! near one is where a claim ended that got all it wanted; it spares claims of many runs
//! what was claimed since the sure one, and holds for few of them.
//!
//! A run can still become ready below both: one that was given back, that its ordering
//! key let go, whose transaction took long. So everything is looked at again where this
//! host did such a thing ([`Floors::stale`]), else after a short time for what others
//! did; but all these looks together take only a share of the time, however long one is.
//!
//! Pure; the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::run::PluginId;

/// A claim of fewer begins at the sure floor: it costs little, and a plugin that executes
/// few runs at once waits longer for its next claim.
const MANY_FROM: u32 = 16;
/// Claims above a near floor before one begins at the sure one again.
const CLAIMS_MAX: u32 = 16;
/// After this, everything is looked at for what other hosts made ready.
const HOLDS_FOR: Duration = Duration::from_millis(250);
/// A transaction that stores runs takes longer only in bad times; what it stores is then
/// found when everything is looked at.
const STRAGGLERS: Duration = Duration::from_secs(2);
/// A look at everything that takes no longer is free; beyond it, all of them together
/// take a tenth of the time, …
const FREE: Duration = Duration::from_millis(100);
const SHARE: i64 = 10;
/// … after this much of them at once.
const AT_ONCE_US: i64 = 2_000_000;

/// A place in `runs_ready`: when due, and the run.
pub(super) type Place = (i64, i64);

/// Before every run.
pub(super) const START: Place = (i64::MIN, i64::MIN);

/// Where a claim begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Start,
    Sure(Place),
    Near(Place),
}

/// What a claim got: all it wanted or less, and the first and last of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) is_enough: bool,
    pub(super) ends: Option<(Place, Place)>,
}

/// The floors of one host.
#[derive(Debug)]
pub(in super::super) struct Floors {
    floors: HashMap<PluginId, Floor>,
    /// How much longer looks at everything may take, in microseconds.
    left_us: i64,
    filled_at: Option<Instant>,
}

#[derive(Debug)]
struct Floor {
    sure: Place,
    near: Option<Place>,
    /// Claims above `near`.
    claims: u32,
    /// When everything was looked at.
    looked_at: Option<Instant>,
    is_stale: bool,
}

impl Origin {
    pub(super) const fn place(self) -> Place {
        match self {
            Self::Start => START,
            Self::Sure(place) | Self::Near(place) => place,
        }
    }
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            floors: HashMap::new(),
            left_us: AT_ONCE_US,
            filled_at: None,
        }
    }
}

impl Floors {
    /// Where a claim of so many runs of a plugin is to begin. `now` is the database's
    /// time, `at` ours.
    pub(super) fn origin(
        &mut self,
        plugin: PluginId,
        count: u32,
        now: Timestamp,
        at: Instant,
    ) -> Origin {
        let has_time = self.has_time(at);
        let Some(floor) = self.floors.get_mut(&plugin) else {
            return if has_time {
                Origin::Start
            } else {
                Origin::Sure(settled(now))
            };
        };
        let looked_at = floor.looked_at.filter(|_| !floor.is_stale);
        let is_fresh = looked_at.is_some_and(|looked| at.duration_since(looked) < HOLDS_FOR);
        if !is_fresh && has_time {
            // What becomes ready from now on may be missed by this look.
            floor.is_stale = false;
            return Origin::Start;
        }
        match floor.near {
            Some(near) if count >= MANY_FROM && floor.claims < CLAIMS_MAX => Origin::Near(near),
            _ => Origin::Sure(floor.sure),
        }
    }

    /// Notes what a claim for a plugin got that began there.
    pub(super) fn note(
        &mut self,
        plugin: PluginId,
        origin: Origin,
        taken: Taken,
        now: Timestamp,
        at: Instant,
    ) {
        let near = taken.ends.map(|(_, last)| last).filter(|_| taken.is_enough);
        let floor = self.floors.entry(plugin).or_insert(Floor {
            sure: START,
            near: None,
            claims: 0,
            looked_at: None,
            is_stale: false,
        });
        floor.near = near;
        if let Origin::Near(_) = origin {
            floor.claims += 1;
            return;
        }
        floor.claims = 0;
        let settled = settled(now);
        let first = taken.ends.map_or(settled, |(first, _)| first.min(settled));
        floor.sure = first.max(origin.place());
        if origin == Origin::Start {
            floor.looked_at = Some(at);
        }
    }

    /// Notes how long a claim took that looked at everything.
    pub(super) fn spent(&mut self, took: Duration) {
        let beyond = took.saturating_sub(FREE).as_micros();
        let beyond = i64::try_from(beyond).unwrap_or(i64::MAX);
        self.left_us = self.left_us.saturating_sub(beyond);
    }

    /// Below where nothing of a plugin is ready, as far as is known.
    pub(super) fn sure(&self, plugin: PluginId) -> Place {
        self.floors.get(&plugin).map_or(START, |floor| floor.sure)
    }

    /// Notes that runs of a plugin may have become ready anywhere.
    pub(in super::super) fn stale(&mut self, plugin: PluginId) {
        if let Some(floor) = self.floors.get_mut(&plugin) {
            floor.is_stale = true;
        }
    }

    /// The same for every plugin.
    pub(in super::super) fn all_stale(&mut self) {
        for floor in self.floors.values_mut() {
            floor.is_stale = true;
        }
    }

    /// Whether there is time left to look at everything.
    fn has_time(&mut self, at: Instant) -> bool {
        let since = self.filled_at.map_or(Duration::ZERO, |filled| {
            at.saturating_duration_since(filled)
        });
        let more = i64::try_from(since.as_micros()).unwrap_or(i64::MAX) / SHARE;
        self.left_us = self.left_us.saturating_add(more).min(AT_ONCE_US);
        self.filled_at = Some(at);
        self.left_us > 0
    }
}

/// What is due before this was stored long ago.
fn settled(now: Timestamp) -> Place {
    (now.minus(STRAGGLERS).millis(), i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::{
        CLAIMS_MAX, Duration, Floors, HOLDS_FOR, Instant, MANY_FROM, Origin, Place, PluginId,
        STRAGGLERS, Taken, Timestamp,
    };

    const PLUGIN: PluginId = PluginId(1);
    /// Long after everything that these tests claim.
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn all(first: Place, last: Place) -> Taken {
        Taken {
            is_enough: true,
            ends: Some((first, last)),
        }
    }

    fn less(ends: Option<(Place, Place)>) -> Taken {
        Taken {
            is_enough: false,
            ends,
        }
    }

    fn after(at: Instant, passed: Duration) -> Instant {
        at.checked_add(passed).unwrap()
    }

    #[test]
    fn a_near_floor_is_for_many_runs_and_few_claims() {
        let at = Instant::now();
        let mut floors = Floors::default();
        assert_eq!(floors.origin(PLUGIN, MANY_FROM, NOW, at), Origin::Start);
        floors.note(PLUGIN, Origin::Start, all((3, 9), (5, 0)), NOW, at);
        let few = floors.origin(PLUGIN, MANY_FROM - 1, NOW, at);
        assert_eq!(few, Origin::Sure((3, 9)));
        for n in 0..i64::from(CLAIMS_MAX) {
            let origin = floors.origin(PLUGIN, MANY_FROM, NOW, at);
            assert_eq!(origin, Origin::Near((5, n)));
            let other = floors.origin(PluginId(2), MANY_FROM, NOW, at);
            assert_eq!(other, Origin::Start, "of another plugin");
            floors.note(PLUGIN, origin, all((5, n), (5, n + 1)), NOW, at);
        }
        let origin = floors.origin(PLUGIN, MANY_FROM, NOW, at);
        assert_eq!(origin, Origin::Sure((3, 9)), "after so many claims");
        floors.note(PLUGIN, origin, all((7, 1), (8, 1)), NOW, at);
        assert_eq!(
            floors.origin(PLUGIN, MANY_FROM, NOW, at),
            Origin::Near((8, 1))
        );
        floors.note(PLUGIN, Origin::Near((8, 1)), less(None), NOW, at);
        assert_eq!(
            floors.origin(PLUGIN, MANY_FROM, NOW, at),
            Origin::Sure((7, 1)),
            "it got less"
        );
    }

    #[test]
    fn a_sure_floor_leaves_room_for_what_is_still_being_stored() {
        let at = Instant::now();
        let mut floors = Floors::default();
        let stored_by_then = (NOW.minus(STRAGGLERS).millis(), i64::MIN);
        for (taken, sure) in [
            (less(None), stored_by_then),
            (less(Some(((7, 1), (9, 1)))), (7, 1)),
            (all((NOW.millis(), 1), (NOW.millis(), 2)), stored_by_then),
        ] {
            floors.note(PLUGIN, Origin::Start, taken, NOW, at);
            assert_eq!(floors.sure(PLUGIN), sure);
        }
        // It never goes back by a look that began at it.
        let before = floors.sure(PLUGIN);
        let earlier = NOW.minus(STRAGGLERS);
        floors.note(PLUGIN, Origin::Sure(before), less(None), earlier, at);
        assert_eq!(floors.sure(PLUGIN), before);
    }

    #[test]
    fn everything_is_looked_at_after_a_while_and_where_it_is_known_to_have_changed() {
        let at = Instant::now();
        let mut floors = Floors::default();
        floors.note(PLUGIN, Origin::Start, less(None), NOW, at);
        let sure = Origin::Sure(floors.sure(PLUGIN));
        assert_eq!(floors.origin(PLUGIN, 1, NOW, at), sure);
        floors.stale(PluginId(2));
        assert_eq!(floors.origin(PLUGIN, 1, NOW, at), sure);
        floors.stale(PLUGIN);
        assert_eq!(floors.origin(PLUGIN, 1, NOW, at), Origin::Start);
        // The look is under way; what changes now needs another.
        assert_eq!(floors.origin(PLUGIN, 1, NOW, at), sure);
        floors.all_stale();
        floors.note(PLUGIN, Origin::Start, less(None), NOW, at);
        assert_eq!(floors.origin(PLUGIN, 1, NOW, at), Origin::Start);
        let later = after(at, HOLDS_FOR);
        assert_eq!(floors.origin(PLUGIN, 1, NOW, later), Origin::Start);
    }

    #[test]
    fn looks_at_everything_take_a_tenth_of_the_time_however_long_they_are() {
        let mut at = Instant::now();
        let mut floors = Floors::default();
        let (mut looking, mut looks) = (Duration::ZERO, 0);
        let start = at;
        const LONG: Duration = Duration::from_secs(3);
        while at.duration_since(start) < Duration::from_secs(600) {
            floors.all_stale();
            let origin = floors.origin(PLUGIN, MANY_FROM, NOW, at);
            let took = if origin == Origin::Start {
                floors.spent(LONG);
                looks += 1;
                LONG
            } else {
                Duration::from_millis(5)
            };
            if origin == Origin::Start {
                looking += took;
            }
            at = after(at, took);
            floors.note(PLUGIN, origin, all((1, 1), (2, 2)), NOW, at);
        }
        assert!(looks > 10, "{looks}");
        assert!(looking < Duration::from_secs(70), "{looking:?}");
        // Quick ones are free.
        let mut floors = Floors::default();
        for _ in 0..10_000 {
            floors.all_stale();
            assert_eq!(floors.origin(PLUGIN, 1, NOW, at), Origin::Start);
            floors.spent(Duration::from_millis(99));
            floors.note(PLUGIN, Origin::Start, less(None), NOW, at);
        }
    }
}
