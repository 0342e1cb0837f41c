//! This host's lease: while it holds, its runs are its own.
//!
//! A host that cannot renew its lease must stop before the lease ends: after that,
//! another host may execute the same runs.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Whether the lease holds, for those who must stop when it does not.
pub type LeaseHolds = watch::Receiver<bool>;

/// Keeps count of the lease's renewals.
pub(super) struct Lease {
    length: Duration,
    /// Whether others could take our runs.
    is_shared: bool,
    renewed: Option<Instant>,
    holds: watch::Sender<bool>,
}

impl Lease {
    /// A lease that is to be renewed for the first time.
    pub(super) fn new(length: Duration, is_shared: bool) -> (Self, LeaseHolds) {
        // Alone, nobody can take anything.
        let (holds, receiver) = watch::channel(!is_shared);
        let lease = Self {
            length,
            is_shared,
            renewed: None,
            holds,
        };
        (lease, receiver)
    }

    /// Between renewals.
    pub(super) fn every(&self) -> Duration {
        self.length / 3
    }

    /// Notes that the lease was renewed by a write that began at `began`: the
    /// database counts from later than that.
    pub(super) fn renewed(&mut self, began: Instant) {
        self.renewed = Some(began);
        self.tell(true);
    }

    /// Notes that it could not be renewed: it is given up a fifth before its end.
    pub(super) fn not_renewed(&self) {
        let is_near_its_end = self
            .renewed
            .is_none_or(|renewed| renewed.elapsed() > self.length * 4 / 5);
        if is_near_its_end {
            self.tell(false);
        }
    }

    fn tell(&self, holds: bool) {
        let holds = holds || !self.is_shared;
        self.holds.send_if_modified(|told| {
            let is_new = *told != holds;
            *told = holds;
            is_new
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Lease};

    #[test]
    fn a_lease_is_given_up_before_its_end() {
        let length = Duration::from_secs(1000);
        let (mut lease, holds) = Lease::new(length, true);
        assert!(!*holds.borrow(), "before the first renewal");
        lease.renewed(Instant::now());
        lease.not_renewed();
        assert!(*holds.borrow(), "one failure is none");
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(801)) else {
            return;
        };
        lease.renewed(long_ago);
        lease.not_renewed();
        assert!(!*holds.borrow());
        lease.renewed(Instant::now());
        assert!(*holds.borrow());
    }

    #[test]
    fn alone_a_host_keeps_its_runs() {
        let (lease, holds) = Lease::new(Duration::from_secs(1), false);
        lease.not_renewed();
        assert!(*holds.borrow());
    }
}
