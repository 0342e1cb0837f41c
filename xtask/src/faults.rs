//! `cargo xtask faults`: what must hold when everything goes wrong, with real processes.
//!
//! Each round loads a host with pushes while the plugin file is replaced ten times, by other
//! versions and by files that are no component; then loads it as fast as it answers and kills
//! it with SIGKILL while acknowledged runs are unfinished; then starts it again, lets the
//! load and the runs end, and compares from outside ([`crate::acked`]). Every wait is bounded.

mod component;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::acked::Comparison;
use crate::arguments::Arguments;
use crate::config::Database;
use crate::faults::component::{Component, Variant};
use crate::guests;
use crate::host::{Host, Load, acked_count};
use crate::workspace::{Profile, Workspace};

const PLUGIN: &str = "github-push";
const CONCURRENCY: usize = 32;
const REQUESTS: u64 = 2_000;
/// Slow enough that the ten replacements fall into the load.
const RATE: u32 = 400;
const REPLACEMENTS: u32 = 10;
const REPLACEMENT_PAUSE: Duration = Duration::from_millis(400);
/// As many loads are tried for a moment at which acknowledged runs are unfinished.
const KILL_TRIES: u32 = 5;
/// More than the runs that can end between the look and the kill.
const UNFINISHED_MIN: u64 = 10;
/// So many of the load are acknowledged before the kill, so that it comes in its middle.
const UNDER_WAY: u64 = 200;
const WITHIN: Duration = Duration::from_secs(300);

/// Runs the rounds; the directory stays when one fails.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let profile = Profile::from_flag(arguments.flag("--release"));
    let kills: u32 = arguments.number("--kills", 3)?;
    arguments.finish_without_extra()?;
    let workspace = Workspace::find()?;
    guests::add_target()?;
    workspace.build_host(profile)?;
    guests::build_plugins(&workspace)?;

    let mut campaign = Campaign::start(&workspace, profile)?;
    let folder = campaign.host.folder().display().to_string();
    for round in 1..=kills {
        println!("\n== round {round} of {kills}");
        campaign
            .play(round)
            .with_context(|| format!("round {round} failed; the host's directory is {folder}"))?;
    }
    campaign.host.kill()?;
    campaign.host.remove()?;
    println!(
        "\n{kills} rounds, {} deliveries, nothing lost and nothing doubled.",
        campaign.sent
    );
    Ok(())
}

struct Campaign {
    host: Host,
    component: Component,
    acked: PathBuf,
    /// Of the variants that may run.
    digests: Vec<String>,
    sent: u64,
}

impl Campaign {
    fn start(workspace: &Workspace, profile: Profile) -> Result<Self> {
        let mut host = Host::prepare(workspace, profile, "faults", &Database::sqlite())?;
        let component = Component::read(PLUGIN, &workspace.plugin_files(), host.plugin_folder())?;
        let mut digests = Vec::new();
        digests.extend(component.install(Variant::Renumbered(0))?);
        host.start()?;
        let acked = host.folder().join("acked");
        Ok(Self {
            host,
            component,
            acked,
            digests,
            sent: 0,
        })
    }

    fn play(&mut self, round: u32) -> Result<()> {
        self.replace_under_load(round)?;
        self.kill_under_load()?;
        let states = self
            .host
            .wait_until_drained(PLUGIN, acked_count(&self.acked), WITHIN)?;
        println!("runs: {states}");
        Comparison {
            acked: self.acked.clone(),
            admin: self.host.addresses().admin,
            token_file: self.host.token_file(),
            plugin: PLUGIN.to_owned(),
            digests: self.digests.clone(),
        }
        .make()
    }

    /// An even round ends on a broken file, so that the restart after the kill finds it.
    fn replace_under_load(&mut self, round: u32) -> Result<()> {
        let load = self.load(REQUESTS, RATE)?;
        for n in 1..=REPLACEMENTS {
            std::thread::sleep(REPLACEMENT_PAUSE);
            let variant = match n {
                4 => Variant::Truncated,
                7 => Variant::Executable,
                REPLACEMENTS if round.is_multiple_of(2) => Variant::Truncated,
                _ => Variant::Renumbered(round * REPLACEMENTS + n),
            };
            self.digests.extend(self.component.install(variant)?);
        }
        let summary = load.finish(WITHIN)?;
        println!(
            "{} acknowledged during {REPLACEMENTS} replacements",
            summary.acked
        );
        if summary.acked < REQUESTS {
            bail!(
                "{} of {REQUESTS} deliveries were never acknowledged",
                REQUESTS - summary.acked
            );
        }
        Ok(())
    }

    fn kill_under_load(&mut self) -> Result<()> {
        for attempt in 1..=KILL_TRIES {
            let load = self.load(REQUESTS, 0)?;
            let is_killed = self.kill_at_unfinished()?;
            if is_killed {
                self.host.start()?;
            }
            let summary = load.finish(WITHIN)?;
            if summary.acked < REQUESTS {
                bail!(
                    "{} of {REQUESTS} deliveries were never acknowledged",
                    REQUESTS - summary.acked
                );
            }
            if is_killed {
                println!(
                    "restarted; the load saw {} connection errors",
                    summary.connection_errors
                );
                return Ok(());
            }
            println!(
                "load {attempt} ended with no {UNFINISHED_MIN} acknowledged runs unfinished at any look"
            );
        }
        bail!("no moment with unfinished acknowledged runs in {KILL_TRIES} loads");
    }

    /// False when the load ended, or nearly, without such a moment.
    ///
    /// The acknowledged are counted before the succeeded: every run that is missing in the
    /// second number belongs to a delivery that was acknowledged and is unfinished.
    fn kill_at_unfinished(&mut self) -> Result<bool> {
        let mut admin = self.host.admin()?;
        let under_way = self.sent - REQUESTS + UNDER_WAY;
        let started = Instant::now();
        while started.elapsed() < WITHIN {
            let acked = acked_count(&self.acked);
            let states = admin.run_states(PLUGIN)?;
            let unfinished = acked.saturating_sub(states.of("succeeded"));
            if acked >= under_way && unfinished >= UNFINISHED_MIN && states.unfinished() > 0 {
                self.host.kill()?;
                println!(
                    "killed with {unfinished} of {acked} acknowledged runs unfinished ({states})"
                );
                return Ok(true);
            }
            if acked >= self.sent {
                return Ok(false);
            }
        }
        bail!("the load did not end within {} s", WITHIN.as_secs());
    }

    fn load(&mut self, requests: u64, rate: u32) -> Result<crate::host::RunningLoad> {
        self.sent += requests;
        self.host.start_load(&Load {
            requests,
            concurrency: CONCURRENCY,
            rate,
            acked: Some(&self.acked),
        })
    }
}
