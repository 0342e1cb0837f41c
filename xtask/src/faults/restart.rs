//! `pg_ctl restart -m immediate` under load: the server's processes are killed, and the host
//! goes on by itself when the server is back.

use anyhow::Result;

use super::stage::{Demands, Stage, WITHIN};
use crate::host::Host;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    stage.repeat(|stage| restart_under_load(stage, &mut host))?;
    stage.compare(&host, &Demands::default())?;
    host.kill()
}

fn restart_under_load(stage: &mut Stage<'_>, host: &mut Host) -> Result<bool> {
    let load = stage.load(host, stage.size.requests, 0)?;
    let is_restarted = stage.wait_for_work(host)?;
    if is_restarted {
        stage.cluster()?.restart_immediate()?;
        host.wait_until_ready(true, WITHIN)?;
    }
    stage.finish(vec![load])?;
    host.check_alive()?;
    Ok(is_restarted)
}
