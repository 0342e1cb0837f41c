//! Where the claims of a host ended, so that the next does not begin at the start.
//!
//! On Postgres a claimed run stays in the index `runs_ready` until no transaction can
//! see it ready any more. With several hosts there is always such a transaction: each
//! claim would look again at all that the others have just taken. A claim that got
//! all it wanted had nothing older left behind, so the next may begin after it.
//!
//! A run can still become ready before that place: one that was given back, rescued, or
//! that its ordering key let go. So a floor is for claims of many runs, and holds for few
//! of them and a short time; where one gets less than was wanted, everything is looked
//! at at once. What is older waits at most so long, while others of its plugin run.
//!
//! Pure; the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::run::PluginId;

/// A claim of fewer looks at everything: it costs little, and a plugin that executes few
/// runs at once waits longer for its next claim.
pub(super) const MANY_FROM: u32 = 16;
/// Claims above a floor before everything is looked at again.
pub(super) const CLAIMS_MAX: u32 = 16;
/// How long a floor holds at most.
pub(super) const HOLDS_FOR: Duration = Duration::from_millis(250);

/// A place in `runs_ready`: when due, and the run.
pub(super) type Place = (i64, i64);

/// Before every run.
pub(super) const START: Place = (i64::MIN, i64::MIN);

/// The floors of one host.
#[derive(Debug, Default)]
pub(in super::super) struct Floors(HashMap<PluginId, Floor>);

#[derive(Debug)]
struct Floor {
    place: Place,
    claims: u32,
    until: Timestamp,
}

impl Floors {
    /// Where a claim of so many runs of a plugin may begin.
    pub(super) fn of(&self, plugin: PluginId, count: u32, now: Timestamp) -> Place {
        let floor = self.0.get(&plugin).filter(|_| count >= MANY_FROM);
        let holds = floor.filter(|floor| floor.claims < CLAIMS_MAX && now < floor.until);
        holds.map_or(START, |floor| floor.place)
    }

    /// Notes a claim for a plugin that began at `from`: where it ended, if it got all
    /// that was wanted.
    pub(super) fn note(
        &mut self,
        plugin: PluginId,
        from: Place,
        end: Option<Place>,
        now: Timestamp,
    ) {
        let Some(place) = end else {
            self.0.remove(&plugin);
            return;
        };
        let floor = self.0.entry(plugin).or_insert(Floor {
            place,
            claims: 0,
            until: now.plus(HOLDS_FOR),
        });
        if from == START {
            floor.claims = 0;
            floor.until = now.plus(HOLDS_FOR);
        } else {
            floor.claims += 1;
        }
        floor.place = place;
    }
}

#[cfg(test)]
mod tests {
    use super::{CLAIMS_MAX, Floors, HOLDS_FOR, MANY_FROM, PluginId, START, Timestamp};

    const PLUGIN: PluginId = PluginId(1);

    #[test]
    fn a_floor_holds_for_some_claims_and_some_time() {
        let now = Timestamp::from_millis(1000);
        let mut floors = Floors::default();
        assert_eq!(floors.of(PLUGIN, MANY_FROM, now), START);
        floors.note(PLUGIN, START, Some((5, 1)), now);
        assert_eq!(floors.of(PLUGIN, MANY_FROM - 1, now), START, "for few");
        for n in 1..=i64::from(CLAIMS_MAX) {
            assert_eq!(floors.of(PLUGIN, MANY_FROM, now), (5, n));
            assert_eq!(
                floors.of(PluginId(2), MANY_FROM, now),
                START,
                "of another plugin"
            );
            floors.note(PLUGIN, (5, n), Some((5, n + 1)), now);
        }
        assert_eq!(
            floors.of(PLUGIN, MANY_FROM, now),
            START,
            "after so many claims"
        );
        floors.note(PLUGIN, START, Some((7, 1)), now);
        assert_eq!(floors.of(PLUGIN, MANY_FROM, now), (7, 1), "it begins anew");
        assert_eq!(
            floors.of(PLUGIN, MANY_FROM, now.plus(HOLDS_FOR)),
            START,
            "in time"
        );
    }

    #[test]
    fn a_claim_that_got_less_leaves_no_floor() {
        let now = Timestamp::from_millis(1000);
        let mut floors = Floors::default();
        floors.note(PLUGIN, START, Some((5, 1)), now);
        floors.note(PLUGIN, (5, 1), None, now);
        assert_eq!(floors.of(PLUGIN, MANY_FROM, now), START);
    }
}
