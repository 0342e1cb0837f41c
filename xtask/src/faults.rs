//! `cargo xtask faults`: what must hold when everything goes wrong, with real processes.
//!
//! Each scenario has a file of its own below, and plays on a [`Stage`]: hosts on an empty
//! store, loads, and the comparison from outside, which another process makes
//! ([`crate::acked`]). The moment of each fault is found by looking at the hosts, never by
//! the clock, and every wait is bounded. The directory of a scenario that fails stays.

mod component;
mod disconnect;
mod disk;
mod failover;
mod freeze;
mod kill;
mod neighbours;
mod order;
mod replace;
mod restart;
mod stage;

use std::time::Instant;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::faults::stage::{Engine, Size, Stage};
use crate::guests;
use crate::postgres::{Cluster, Durability};
use crate::workspace::{Profile, Workspace};

const BOTH: &[Engine] = &[Engine::Sqlite, Engine::Postgres];
const SCENARIOS: [Scenario; 9] = [
    Scenario::new("kill", BOTH, kill::play),
    Scenario::new("replace", BOTH, replace::play),
    Scenario::new("disconnect", BOTH, disconnect::play),
    Scenario::new("order", BOTH, order::play),
    Scenario::new("disk", BOTH, disk::play),
    Scenario::new("restart", &[Engine::Postgres], restart::play),
    Scenario::new("freeze", &[Engine::Postgres], freeze::play),
    Scenario::new("neighbours", &[Engine::Postgres], neighbours::play),
    Scenario::new("failover", &[Engine::Postgres], failover::play),
];

/// One way in which everything goes wrong.
struct Scenario {
    name: &'static str,
    engines: &'static [Engine],
    play: fn(&mut Stage<'_>) -> Result<()>,
}

impl Scenario {
    const fn new(
        name: &'static str,
        engines: &'static [Engine],
        play: fn(&mut Stage<'_>) -> Result<()>,
    ) -> Self {
        Self {
            name,
            engines,
            play,
        }
    }
}

/// Runs the scenarios: all of them on their engines, or those that were asked for.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let profile = Profile::from_flag(arguments.flag("--release"));
    let size = Size {
        requests: 2_000,
        kills: arguments.number("--kills", 3)?,
    };
    let engines = match (arguments.flag("--sqlite"), arguments.flag("--postgres")) {
        (true, false) => &BOTH[..1],
        (false, true) => &BOTH[1..],
        (true, true) | (false, false) => BOTH,
    };
    let only = arguments.value("--only")?;
    let is_short = arguments.flag("--short");
    arguments.finish_without_extra()?;
    let workspace = Workspace::find()?;
    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;
    guests::build_test_guests(&workspace)?;
    if is_short {
        return run_short(&workspace, Some(Cluster::start(Durability::Fast, &[])?));
    }

    let mut cluster = None;
    for &engine in engines {
        if engine == Engine::Postgres {
            cluster = Some(Cluster::start(Durability::Real, &[])?);
        }
        let asked = |scenario: &&Scenario| {
            scenario.engines.contains(&engine)
                && only.as_deref().is_none_or(|name| name == scenario.name)
        };
        for scenario in SCENARIOS.iter().filter(asked) {
            play(scenario, &workspace, profile, engine, size, &mut cluster)?;
        }
    }
    println!("\nNothing lost, nothing doubled, nothing left behind.");
    Ok(())
}

/// The short form for `cargo xtask test`: three kills on each engine. The cluster may be one
/// that promises nothing, should the machine stop.
pub(crate) fn run_short(workspace: &Workspace, cluster: Option<Cluster>) -> Result<()> {
    workspace.build_host(Profile::Debug)?;
    let size = Size {
        requests: 500,
        kills: 3,
    };
    let mut cluster = cluster;
    let kill = &SCENARIOS[0];
    for &engine in kill.engines {
        if engine == Engine::Postgres && cluster.is_none() {
            println!("skipped: kills on a PostgreSQL. The server that is given is not ours.");
            continue;
        }
        play(kill, workspace, Profile::Debug, engine, size, &mut cluster)?;
    }
    Ok(())
}

fn play(
    scenario: &Scenario,
    workspace: &Workspace,
    profile: Profile,
    engine: Engine,
    size: Size,
    cluster: &mut Option<Cluster>,
) -> Result<()> {
    println!("\n== {} on {engine}", scenario.name);
    let started = Instant::now();
    let cluster = cluster.as_mut().filter(|_| engine == Engine::Postgres);
    let mut stage = Stage::prepare(workspace, profile, scenario.name, size, cluster)?;
    (scenario.play)(&mut stage).with_context(|| {
        format!(
            "{} on {engine} failed; what it left is in {}",
            scenario.name,
            stage.folder().display()
        )
    })?;
    stage.clear()?;
    println!("{:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
