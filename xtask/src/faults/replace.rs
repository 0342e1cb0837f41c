//! The plugin's file is replaced under load, by other versions and by files that are no
//! component; every second time a broken one is there when the host is killed and started.

use std::time::Duration;

use anyhow::Result;

use super::component::{Component, Variant};
use super::kill::kill_under_load;
use super::stage::{Demands, PLUGIN, Stage};
use crate::host::Host;

/// Slow enough that the ten replacements fall into the load.
const RATE: u32 = 400;
const REPLACEMENTS: u32 = 10;
const REPLACEMENT_PAUSE: Duration = Duration::from_millis(400);

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.bare_host()?;
    let component = Component::read(PLUGIN, &stage.plugin_files(), host.plugin_folder())?;
    let mut digests = Vec::new();
    digests.extend(component.install(Variant::Renumbered(0))?);
    host.start()?;
    let mut round = 0;
    stage.repeat(|stage| {
        round += 1;
        digests.extend(replace_under_load(stage, &host, &component, round)?);
        kill_under_load(stage, &mut host)
    })?;
    let demands = Demands {
        digests: &digests,
        ..Demands::default()
    };
    stage.compare(&host, &demands)?;
    host.kill()
}

/// Gives the digests that may have run. An even round ends on a broken file, so that the
/// start after the kill finds it.
fn replace_under_load(
    stage: &mut Stage<'_>,
    host: &Host,
    component: &Component,
    round: u32,
) -> Result<Vec<String>> {
    let load = stage.load(host, stage.size.requests, RATE)?;
    let mut digests = Vec::new();
    for n in 1..=REPLACEMENTS {
        std::thread::sleep(REPLACEMENT_PAUSE);
        let variant = match n {
            4 => Variant::Truncated,
            7 => Variant::Executable,
            REPLACEMENTS if round.is_multiple_of(2) => Variant::Truncated,
            _ => Variant::Renumbered(round * REPLACEMENTS + n),
        };
        digests.extend(component.install(variant)?);
    }
    stage.finish(vec![load])?;
    println!("{REPLACEMENTS} replacements");
    Ok(digests)
}
