//! `cargo xtask bench store`: what the store does on each engine, beside what the machine
//! could do at most. Every figure is of hosts on a new store, with fsync.
//!
//! - [`limit`]: bare batch inserts, without a host
//! - [`load`]: pushes to a commit, and to a finished run
//! - [`queue`]: claims and finishes with nothing else there, a long backlog, a long history
//! - [`pair`]: two hosts on one Postgres

mod ground;
mod limit;
pub(super) mod lists;
mod load;
mod pair;
mod queue;

use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::bench::machine;
use crate::bench::store::ground::Ground;
use crate::guests;
use crate::workspace::{Profile, Workspace};

/// How much to measure.
#[derive(Clone, Copy)]
struct Size {
    requests: u64,
    /// Ready runs to claim and finish.
    ready: u64,
    backlog: u64,
    history: u64,
    window: Duration,
}

const WHOLE: Size = Size {
    requests: 60_000,
    ready: 400_000,
    backlog: 1_000_000,
    history: 5_000_000,
    window: Duration::from_secs(15),
};
const QUICK: Size = Size {
    requests: 5_000,
    ready: 30_000,
    backlog: 100_000,
    history: 200_000,
    window: Duration::from_secs(3),
};

/// Builds everything, then measures the engines that were asked for.
pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let mut size = if arguments.flag("--quick") {
        QUICK
    } else {
        WHOLE
    };
    size.requests = arguments.number("--requests", size.requests)?;
    let profile = Profile::from_flag(!arguments.flag("--debug"));
    let engines = engines(&mut arguments);
    let part = arguments.value("--only")?;
    arguments.finish_without_extra()?;
    let is_asked = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let workspace = Workspace::find()?;
    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;
    machine::print(&workspace)?;
    for is_on_postgres in engines {
        let mut ground = Ground::prepare(&workspace, profile, is_on_postgres)?;
        if is_asked("limit") {
            limit::measure(&mut ground, size)?;
        }
        if is_asked("load") {
            load::measure(&mut ground, size)?;
        }
        if is_asked("queue") {
            queue::measure(&mut ground, size)?;
        }
        if is_asked("pair") && is_on_postgres {
            pair::measure(&mut ground, size)?;
        }
    }
    Ok(())
}

/// Whether to measure on Postgres, for each engine that is asked for: both, if none is named.
fn engines(arguments: &mut Arguments) -> Vec<bool> {
    match (arguments.flag("--sqlite"), arguments.flag("--postgres")) {
        (true, false) => vec![false],
        (false, true) => vec![true],
        (true, true) | (false, false) => vec![false, true],
    }
}
