//! `cargo xtask test`: builds what the tests need and runs everything.
//!
//! A step that fails ends the command; each says how long it took.

use std::time::Instant;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::guests;
use crate::workspace::{self, Workspace};

/// Runs every step. Words after `--` go to the first `cargo test`.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let extra = arguments.finish()?;
    let workspace = Workspace::find()?;
    let started = Instant::now();

    step("compile target", guests::add_target)?;
    step("plugins", || guests::build_plugins(&workspace))?;
    step("test guests", || guests::build_test_guests(&workspace))?;
    step("tests of host, SDK and tasks", || {
        let mut command = workspace.cargo();
        command
            .arg("test")
            .args(&extra)
            .env("HOOKBAY_TEST_PLUGINS", workspace.plugin_files())
            .env("HOOKBAY_TEST_GUESTS", workspace.test_guest_files());
        workspace::run(&mut command)
    })?;
    step("plugins' own tests", || test_plugins(&workspace))?;

    println!("\nAll passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

fn test_plugins(workspace: &Workspace) -> Result<()> {
    if workspace.plugins.is_empty() {
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.arg("test");
    for name in &workspace.plugins {
        command.args(["-p", name]);
    }
    workspace::run(&mut command)
}

fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {title}");
    let started = Instant::now();
    action()?;
    println!("== {title}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
