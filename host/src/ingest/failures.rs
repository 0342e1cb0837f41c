//! The failure budget: how often an address may fail verification before its further
//! failures are only counted.
//!
//! A forger can send faster than anybody can look at forgeries. Each address has room for
//! [`RATE`] failures; what is over it gets a bare refusal, leaves no line in the log and is
//! kept nowhere. What is genuine never comes here: nobody is refused for the failures of
//! others behind the same address.
//!
//! The arithmetic is [`Rate`]'s and takes the time as an argument. Memory is bounded: what
//! was not heard of for a second is forgotten, and beyond that a stranger has no room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::rate::Rate;

use super::address::one_host;

/// Failures of one address.
const RATE: Rate = Rate::per_second(100);
/// Addresses that are remembered, some 5 MB of them.
const ADDRESSES_MAX: usize = 1 << 16;
/// Between two looks for addresses that can be forgotten.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Between two complaints in the log, whichever address they are about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What each address has failed of late.
#[derive(Default)]
pub struct Failures(Mutex<Counted>);

/// What becomes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is looked at like any.
    Left,
    /// It is over the budget; the log is to say so if nobody said it of late.
    Over {
        /// Whether the log is to say it.
        is_news: bool,
    },
}

#[derive(Default)]
struct Counted {
    /// When the room of an address would be whole again, as [`Rate`] reckons.
    whole_at_us: HashMap<IpAddr, i64>,
    swept_at: Option<Timestamp>,
    complained_at: Option<Timestamp>,
}

impl Failures {
    /// Counts a failure from an address.
    pub(super) fn note(&self, from: IpAddr, now: Timestamp) -> Room {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.note(from, now, ADDRESSES_MAX)
    }
}

impl Counted {
    fn note(&mut self, from: IpAddr, now: Timestamp, addresses_max: usize) -> Room {
        if self.has_room(one_host(from), now, addresses_max) {
            return Room::Left;
        }
        let is_news = is_over(self.complained_at, COMPLAIN_EVERY, now);
        if is_news {
            self.complained_at = Some(now);
        }
        Room::Over { is_news }
    }

    fn has_room(&mut self, from: IpAddr, now: Timestamp, addresses_max: usize) -> bool {
        let known = self.whole_at_us.get(&from).copied();
        if known.is_none() && self.whole_at_us.len() >= addresses_max {
            self.forget_the_quiet(now);
            if self.whole_at_us.len() >= addresses_max {
                return false;
            }
        }
        let allowance = RATE.allow(known.unwrap_or(0), now, 1);
        if allowance.count > 0 {
            self.whole_at_us.insert(from, allowance.tat_us);
        }
        allowance.count > 0
    }

    /// Forgets who has all its room. Not at every call: under a flood from everywhere there
    /// is nobody to forget.
    fn forget_the_quiet(&mut self, now: Timestamp) {
        if is_over(self.swept_at, SWEEP_EVERY, now) {
            self.swept_at = Some(now);
            let now_us = now.millis().saturating_mul(1000);
            self.whole_at_us
                .retain(|_, whole_at_us| *whole_at_us > now_us);
        }
    }
}

/// Whether something was long enough ago; a clock that was set back does not stop it.
fn is_over(last: Option<Timestamp>, wait: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| now < last || now.since(last) >= wait)
}

#[cfg(test)]
mod tests {
    use super::{Counted, Room, Timestamp};

    fn note(counted: &mut Counted, from: &str, at_ms: i64) -> Room {
        let now = Timestamp::from_millis(1_760_000_000_000 + at_ms);
        counted.note(from.parse().unwrap(), now, 3)
    }

    /// How many of 1000 failures at one moment have room.
    fn n_left(counted: &mut Counted, from: &str, at_ms: i64) -> usize {
        let rooms = (0..1000).map(|_| note(counted, from, at_ms));
        rooms.filter(|room| *room == Room::Left).count()
    }

    #[test]
    fn a_second_has_room_for_a_hundred_failures_of_an_address() {
        let mut counted = Counted::default();
        for (from, at_ms, expected) in [
            ("192.0.2.1", 0, 100),
            ("192.0.2.1", 500, 50),
            ("192.0.2.1", 510, 1),
            ("192.0.2.1", 5000, 100),
            // The same address in other clothes.
            ("::ffff:192.0.2.1", 5000, 0),
            ("192.0.2.2", 5000, 100),
            // One host has a /64.
            ("2001:db8::1", 6000, 100),
            ("2001:db8::ffff:0:0:1", 6000, 0),
            ("2001:db8:0:1::1", 6000, 100),
        ] {
            assert_eq!(
                n_left(&mut counted, from, at_ms),
                expected,
                "{from} at {at_ms}"
            );
        }
    }

    #[test]
    fn the_quiet_are_forgotten_and_strangers_wait() {
        let mut counted = Counted::default();
        for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert_eq!(note(&mut counted, from, 0), Room::Left);
        }
        // All three are remembered for 10 ms.
        assert_eq!(
            note(&mut counted, "192.0.2.4", 5),
            Room::Over { is_news: true }
        );
        assert_eq!(note(&mut counted, "192.0.2.1", 6), Room::Left);
        // It is not looked again at once.
        assert_eq!(
            note(&mut counted, "192.0.2.4", 50),
            Room::Over { is_news: false }
        );
        assert_eq!(note(&mut counted, "192.0.2.4", 105), Room::Left);
        assert_eq!(counted.whole_at_us.len(), 1);
    }

    #[test]
    fn the_log_hears_of_it_now_and_then() {
        let mut counted = Counted::default();
        let mut news = 0;
        for at_ms in 0..30_000 {
            for _ in 0..2 {
                if note(&mut counted, "192.0.2.1", at_ms) == (Room::Over { is_news: true }) {
                    news += 1;
                }
            }
        }
        assert_eq!(news, 3);
        // A clock that was set back by an hour does not silence it.
        n_left(&mut counted, "192.0.2.2", -3_600_000);
        assert_eq!(
            counted.complained_at,
            Some(Timestamp::from_millis(1_759_996_400_000))
        );
    }
}
