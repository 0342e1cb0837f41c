//! Claim and finish: how fast `succeeded` grows while ready runs are there, with empty
//! tables beside them, with a long backlog, and with a long history.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Size;
use super::ground::{Ground, PLUGIN};
use crate::admin::Admin;
use crate::host::Host;

const WITHIN: Duration = Duration::from_secs(300);
/// Finished before the clock starts: the first second is the host's own start.
const WARM_UP: u64 = 2_000;

pub(super) fn measure(ground: &mut Ground<'_>, size: Size) -> Result<()> {
    println!("\n## {}: claim and finish\n", ground.engine());
    println!("| ready runs | finished runs in history | claimed and finished/s | of the first |");
    println!("|--:|--:|--:|--:|");
    let mut first = None;
    for (ready, history) in [
        (size.ready, 0),
        (size.backlog, 0),
        (size.ready, size.history),
    ] {
        let mut store = ground.filled_store(ready, history)?;
        store.host.start()?;
        let window = Window::open(&store.host)?;
        thread::sleep(size.window);
        let measured = window.close()?;
        let rate = measured.rate();
        let share = rate / *first.get_or_insert(rate) * 100.0;
        println!("| {ready} | {history} | {rate:.0} | {share:.0} % |");
        ground.remove(store)?;
    }
    Ok(())
}

/// A time in which runs finish.
pub(super) struct Window {
    admin: Admin,
    opened: Instant,
    succeeded: u64,
}

/// What finished in it.
pub(super) struct Measured {
    /// Runs.
    pub(super) finished: u64,
    seconds: f64,
}

impl Window {
    /// Waits until the host is at work.
    pub(super) fn open(host: &Host) -> Result<Self> {
        let mut admin = host.admin()?;
        let started = Instant::now();
        loop {
            let succeeded = admin.run_states(PLUGIN)?.of("succeeded");
            if succeeded > WARM_UP {
                return Ok(Self {
                    admin,
                    opened: Instant::now(),
                    succeeded,
                });
            }
            if started.elapsed() > WITHIN {
                bail!("{succeeded} runs finished in {} s", WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Looks again. Nothing is measured of a queue that has run dry.
    pub(super) fn close(mut self) -> Result<Measured> {
        let states = self.admin.run_states(PLUGIN)?;
        let seconds = self.opened.elapsed().as_secs_f64();
        if states.of("ready") == 0 {
            bail!("no run was ready any more at the end of the window ({states})");
        }
        Ok(Measured {
            finished: states.of("succeeded") - self.succeeded,
            seconds,
        })
    }
}

impl Measured {
    /// Per second.
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let finished = self.finished as f64;
        finished / self.seconds
    }
}
