//! Measures the CPU time of one guest, whichever threads it runs on.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The CPU time of one guest: that of the threads that poll it, while they do.
#[derive(Default)]
pub(super) struct Meter {
    spent_ns: AtomicU64,
    /// The polling thread's time when the present poll began; 0 between polls.
    since_ns: AtomicU64,
}

impl Meter {
    /// How much it has used by now; called on the thread that polls it, or between polls.
    pub(super) fn used(&self) -> Duration {
        let since = self.since_ns.load(Ordering::Relaxed);
        let running = if since == 0 {
            0
        } else {
            thread_cpu_ns().saturating_sub(since)
        };
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed) + running)
    }
}

/// A guest's future, metered.
pub(super) struct Metered<'a, F> {
    pub(super) inside: Pin<&'a mut F>,
    pub(super) meter: &'a Meter,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter
            .since_ns
            .store(thread_cpu_ns(), Ordering::Relaxed);
        let polled = self.inside.as_mut().poll(context);
        let used = self.meter.used();
        self.meter.since_ns.store(0, Ordering::Relaxed);
        self.meter.spent_ns.store(
            u64::try_from(used.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        polled
    }
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
