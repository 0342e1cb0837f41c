//! This host's lease: while it holds, its runs are its own.
//!
//! A host that cannot renew its lease must stop before the lease ends: after that,
//! another host may execute the same runs. So whoever starts runs asks the time, and
//! waits for nobody to tell: not for a database that does not answer, nor for this
//! process, which may have been frozen.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Until when a lease holds; none is for ever.
type Until = Option<Instant>;

/// Whether the lease holds, for those who must stop when it does not.
#[derive(Clone, Debug)]
pub struct LeaseHolds {
    until: watch::Receiver<Until>,
    /// What was said last.
    said: bool,
}

/// Keeps count of the lease's renewals.
pub(super) struct Lease {
    length: Duration,
    /// None where nobody could take our runs.
    until: watch::Sender<Until>,
}

impl Lease {
    /// A lease that is to be renewed for the first time.
    pub(super) fn new(length: Duration, is_shared: bool) -> (Self, LeaseHolds) {
        // Alone, nobody can take anything.
        let (until, receiver) = watch::channel(is_shared.then(Instant::now));
        let lease = Self { length, until };
        let holds = LeaseHolds {
            until: receiver,
            said: !is_shared,
        };
        (lease, holds)
    }

    /// Between the beginnings of renewals.
    pub(super) fn every(&self) -> Duration {
        self.length / 3
    }

    /// Notes that the lease was renewed by a write that began at `began`: the
    /// database counts from later than that. It is given up a fifth before its end.
    pub(super) fn renewed(&self, began: Instant) {
        let renewed = began.checked_add(self.length * 4 / 5).unwrap_or(began);
        self.until.send_if_modified(|until| {
            let is_shared = until.is_some();
            *until = until.map(|_| renewed);
            is_shared
        });
    }
}

impl LeaseHolds {
    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        self.until
            .borrow()
            .is_none_or(|until| Instant::now() < until)
    }

    /// Waits until that is another than was said last, and says it.
    pub async fn changed(&mut self) -> bool {
        loop {
            let until = *self.until.borrow_and_update();
            let holds = self.holds();
            if holds != std::mem::replace(&mut self.said, holds) {
                return holds;
            }
            let over = async {
                match until.filter(|_| holds) {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                Ok(()) = self.until.changed() => {}
            }
        }
    }
}

impl LeaseHolds {
    /// Waits for something no longer than the lease holds; none, if that ended first.
    pub(super) async fn during<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let mut lease = self.clone();
        let over = async {
            while lease.holds() {
                lease.changed().await;
            }
        };
        tokio::select! {
            biased;
            done = what => Some(done),
            () = over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Lease};

    const LENGTH: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_lease_is_given_up_before_its_end_though_nobody_says_so() {
        let (lease, mut holds) = Lease::new(LENGTH, true);
        assert!(!holds.holds(), "before the first renewal");
        let began = Instant::now().checked_sub(LENGTH * 3 / 5).unwrap();
        lease.renewed(began);
        assert!(holds.changed().await);
        assert!(!holds.changed().await);
        assert!(!holds.holds());
        assert!(began.elapsed() >= LENGTH * 4 / 5);
        lease.renewed(Instant::now());
        assert!(holds.changed().await);
    }

    #[tokio::test]
    async fn nothing_is_waited_for_longer_than_the_lease_holds() {
        let (lease, holds) = Lease::new(LENGTH, true);
        let began = Instant::now().checked_sub(LENGTH * 3 / 5).unwrap();
        lease.renewed(began);
        assert_eq!(holds.during(async { 7 }).await, Some(7));
        assert_eq!(holds.during(std::future::pending::<()>()).await, None);
        assert!(!holds.holds());
        // What is done is done, though it ended in the meantime.
        assert_eq!(holds.during(async { 7 }).await, Some(7));
        let (_alone, holds) = Lease::new(LENGTH, false);
        assert_eq!(holds.during(async { 7 }).await, Some(7));
    }

    #[test]
    fn a_renewal_that_took_too_long_is_none() {
        let (lease, holds) = Lease::new(LENGTH, true);
        lease.renewed(Instant::now().checked_sub(LENGTH).unwrap());
        assert!(!holds.holds());
    }

    #[test]
    fn alone_a_host_keeps_its_runs() {
        let (lease, holds) = Lease::new(Duration::ZERO, false);
        assert!(holds.holds());
        lease.renewed(Instant::now());
        assert!(holds.holds());
    }
}
