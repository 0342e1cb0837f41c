//! How many requests a service takes: so many at once, then so many per second.

use std::time::{SystemTime, UNIX_EPOCH};

/// What is left of a service's patience.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// None is no limit.
    per_second: Option<f64>,
    burst: f64,
    left: f64,
    at: SystemTime,
}

impl Allowance {
    pub(crate) fn new(burst: f64, per_second: Option<f64>) -> Self {
        Self {
            per_second,
            burst,
            left: burst,
            at: UNIX_EPOCH,
        }
    }

    /// Takes one request; false is one too many.
    pub(crate) fn take(&mut self, now: SystemTime) -> bool {
        let Some(per_second) = self.per_second else {
            return true;
        };
        let passed = now.duration_since(self.at).unwrap_or_default();
        self.left = (self.left + passed.as_secs_f64() * per_second).min(self.burst);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_so_many_per_second() {
        let mut allowance = Allowance::new(2.0, Some(0.5));
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_000 + seconds);
        let taken = [0, 0, 0, 1, 2, 2, 60, 60, 60].map(|seconds| allowance.take(at(seconds)));
        assert_eq!(
            taken,
            [true, true, false, false, true, false, true, true, false]
        );
        let mut unlimited = Allowance::new(1.0, None);
        assert!((0..100).all(|_| unlimited.take(at(0))));
    }
}
