//! A disk that is full under load, and has room again: the host answers 503 meanwhile and
//! goes on by itself. To a process whose files may not grow, its disk is full.

use anyhow::Result;

use super::stage::{Demands, Stage, WITHIN};
use crate::host::Host;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    stage.repeat(|stage| fill_under_load(stage, &mut host))?;
    stage.compare(&host, &Demands::default())?;
    host.kill()
}

fn fill_under_load(stage: &mut Stage<'_>, host: &mut Host) -> Result<bool> {
    let load = stage.load(host, stage.size.requests, 0)?;
    let is_filled = stage.wait_for_work(host)?;
    if is_filled {
        host.limit_files(Some(host.largest_file_bytes()?))?;
        host.wait_until_ready(false, WITHIN)?;
        host.limit_files(None)?;
        host.wait_until_ready(true, WITHIN)?;
    }
    stage.finish(vec![load])?;
    host.check_alive()?;
    Ok(is_filled)
}
