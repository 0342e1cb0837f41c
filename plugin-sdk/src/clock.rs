//! The time, and waiting. In a component both go through the host, which records
//! them; in a test they are the fake host's, and waiting takes no time.

use std::time::{Duration, SystemTime};

use crate::imports;

/// What the host's clock shows.
#[must_use]
pub fn now() -> SystemTime {
    imports::clock::now()
}

/// Waits. The wall time of the attempt goes on, 5 seconds in all unless the operator
/// says otherwise, and its place among those that run stays taken: for more than a
/// moment, fail with [`Failure::retry`](crate::Failure::retry) and
/// [`after`](crate::Failure::after).
pub fn sleep(time: Duration) {
    imports::clock::sleep(time);
}
