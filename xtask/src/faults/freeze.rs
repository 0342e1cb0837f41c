//! A host stands still past its lease (SIGSTOP) while another shares the database. Its runs
//! are rescued; when it goes on (SIGCONT), what it still does to them counts for nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::stage::{Demands, Stage, WITHIN};
use crate::host::Host;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut frozen = stage.host()?;
    frozen.start()?;
    let epoch = stage.newest_epoch()?;
    let mut other = stage.host()?;
    other.start()?;
    stage.repeat(|stage| freeze_under_load(stage, &mut frozen, &epoch, &other))?;
    let host_lost = stage.compare(&other, &Demands::default())?;
    if host_lost == 0 {
        bail!("no run was rescued from the frozen host");
    }
    frozen.check_alive()?;
    frozen.kill()?;
    other.kill()
}

fn freeze_under_load(
    stage: &mut Stage<'_>,
    frozen: &mut Host,
    epoch: &str,
    other: &Host,
) -> Result<bool> {
    let loads = vec![
        stage.load(frozen, stage.size.requests, 0)?,
        stage.load(other, stage.size.requests, 0)?,
    ];
    let mut is_rescued = false;
    // A host may have finished all it held between the look and the signal.
    while !is_rescued && stage.wait_for_work(frozen)? {
        frozen.freeze()?;
        let held = stage.held_by(epoch)?;
        if held > 0 {
            println!("frozen with {held} runs between claim and end");
            wait_for_rescue(stage, epoch)?;
            is_rescued = true;
        }
        frozen.thaw()?;
    }
    stage.finish(loads)?;
    frozen.wait_until_ready(true, WITHIN)?;
    Ok(is_rescued)
}

fn wait_for_rescue(stage: &Stage<'_>, epoch: &str) -> Result<()> {
    let started = Instant::now();
    while stage.held_by(epoch)? > 0 {
        if started.elapsed() > WITHIN {
            bail!("nobody rescued the runs of the frozen host");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("rescued");
    Ok(())
}
