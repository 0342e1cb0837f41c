//! kill -9 of the only host under load, and a start on what it left.

use anyhow::{Result, bail};

use super::stage::{Demands, Stage};
use crate::host::Host;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    stage.repeat(|stage| kill_under_load(stage, &mut host))?;
    let host_lost = stage.compare(&host, &Demands::default())?;
    if host_lost == 0 {
        bail!("no kill landed between the claim of a run and its end");
    }
    host.kill()
}

/// False when the load ended without a moment at which acknowledged work was unfinished.
pub(super) fn kill_under_load(stage: &mut Stage<'_>, host: &mut Host) -> Result<bool> {
    let load = stage.load(host, stage.size.requests, 0)?;
    let is_killed = stage.wait_for_work(host)?;
    if is_killed {
        host.kill()?;
        if stage.cluster.is_some() {
            let running = stage.sql("select count(*) from runs where state = 1")?;
            println!("killed with {running} runs between claim and end");
        }
        host.start()?;
    }
    stage.finish(vec![load])?;
    Ok(is_killed)
}
