//! A server that is killed under load, and a copy of it in its place: one that every commit
//! waited for, and one that had stopped following a while before. With the first nothing is
//! lost. With the second all is as if what came after it had never been: what was stored
//! then is gone, with claims and ends of what was stored before, and the host, which knows
//! of all of it, neither ends nor counts any run by it.

use std::collections::HashSet;
use std::fs;

use anyhow::{Context, Result, bail};

use super::stage::{Demands, PLUGIN, Stage, WITHIN};
use crate::host::{Host, acked_count};

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    stage.repeat(|stage| lose_nothing(stage, &mut host))?;
    stage.compare(&host, &Demands::default())?;
    let mut lost = 0;
    stage.repeat(|stage| lose_the_tail(stage, &mut host, &mut lost))?;
    if lost == 0 {
        bail!("nothing was stored that the copy did not have");
    }
    stage.compare(&host, &Demands::default())?;
    host.check_alive()?;
    host.kill()
}

fn lose_nothing(stage: &mut Stage<'_>, host: &mut Host) -> Result<bool> {
    stage.cluster()?.add_standby(true)?;
    let load = stage.load(host, stage.size.requests, 0)?;
    let is_moment = stage.wait_for_work(host)?;
    stage.cluster()?.fail_over()?;
    host.wait_until_ready(true, WITHIN)?;
    stage.finish(vec![load])?;
    Ok(is_moment)
}

fn lose_the_tail(stage: &mut Stage<'_>, host: &mut Host, lost: &mut u64) -> Result<bool> {
    stage.cluster()?.add_standby(false)?;
    let load = stage.load(host, stage.size.requests, 0)?;
    let mut is_moment = stage.wait_for_work(host)?;
    let kept = acked_lines(stage)?;
    let cluster = stage.cluster()?;
    cluster.wait_for_standby()?;
    cluster.stop_standby()?;
    stage.finish(vec![load])?;
    let load = stage.load(host, stage.size.requests, 0)?;
    is_moment &= stage.wait_for_work(host)?;
    stage.cluster()?.fail_over()?;
    host.wait_until_ready(true, WITHIN)?;
    stage.finish(vec![load])?;
    host.wait_until_drained(PLUGIN, 0, WITHIN)?;
    *lost += forget_lost(stage, &kept)?;
    Ok(is_moment)
}

/// Takes from the list what is not stored any more; how many deliveries. None of `kept` may
/// be among them.
fn forget_lost(stage: &mut Stage<'_>, kept: &[String]) -> Result<u64> {
    let stored = stage.sql("select delivery_id from events")?;
    let stored: HashSet<&str> = stored.lines().collect();
    let is_stored = |line: &String| {
        let delivery_id = line.split(' ').next().unwrap_or_default();
        stored.contains(delivery_id)
    };
    if let Some(line) = kept.iter().find(|line| !is_stored(line)) {
        bail!("the copy had `{line}`, and it is not there any more");
    }
    let file = stage.acked();
    let mut lines = acked_lines(stage)?;
    lines.retain(is_stored);
    let mut text = lines.join("\n");
    text.push('\n');
    let before = acked_count(&file);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let lost = before - acked_count(&file);
    println!("{lost} acknowledged deliveries were stored after the copy had stopped, and are lost");
    stage.forget(lost);
    Ok(lost)
}

fn acked_lines(stage: &Stage<'_>) -> Result<Vec<String>> {
    let file = stage.acked();
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    Ok(whole.lines().map(str::to_owned).collect())
}
