//! Three hosts on one Postgres under load: one is killed, and a new one takes its address.

use anyhow::{Result, bail};

use super::stage::{Demands, Stage};
use crate::host::Host;

const HOSTS: usize = 3;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut hosts = Vec::new();
    for _ in 0..HOSTS {
        let mut host = stage.host()?;
        host.start()?;
        hosts.push((stage.newest_epoch()?, host));
    }
    stage.repeat(|stage| exchange_one(stage, &mut hosts))?;
    let Some((_, first)) = hosts.first() else {
        bail!("no host is left");
    };
    let host_lost = stage.compare(first, &Demands::default())?;
    if host_lost == 0 {
        bail!("no run was rescued from a killed host");
    }
    for (_, mut host) in hosts {
        host.check_alive()?;
        host.kill()?;
    }
    Ok(())
}

/// Kills the first, which becomes the last.
fn exchange_one(stage: &mut Stage<'_>, hosts: &mut Vec<(String, Host)>) -> Result<bool> {
    let mut loads = Vec::new();
    for (_, host) in hosts.iter() {
        loads.push(stage.load(host, stage.size.requests, 0)?);
    }
    let (epoch, mut killed) = hosts.remove(0);
    let is_moment = stage.wait_for_work(&killed)?;
    let mut is_caught = false;
    if is_moment {
        killed.kill()?;
        let held = stage.held_by(&epoch)?;
        println!("killed one of {HOSTS} with {held} runs between claim and end");
        is_caught = held > 0;
        let mut added = stage.successor(&killed)?;
        added.start()?;
        hosts.push((stage.newest_epoch()?, added));
    } else {
        hosts.push((epoch, killed));
    }
    // Otherwise its own load had not begun yet, or was over.
    let n_errors = stage.finish(loads)?;
    Ok(is_caught && n_errors > 0)
}
