//! `cargo xtask test --browser`: the dashboard in headless Chromium, over a real host.
//!
//! The scripts are in `xtask/browser/`. They are copied below the target directory and run
//! there, beside playwright-core and axe-core at the versions of their `package.json`. Their
//! screenshots are left in `target/browser/screenshots`, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::guests;
use crate::test::step;
use crate::workspace::{self, Profile, Workspace};

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Builds what the scripts need, and runs them.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::find()?;
    let started = Instant::now();
    step("Node.js", look_for_node)?;
    let mut chromium = PathBuf::new();
    step("Chromium", || {
        chromium = find_chromium()?;
        Ok(())
    })?;
    step("compile target", guests::add_target)?;
    step("plugins", || guests::build_plugins(&workspace))?;
    step("test guests", || guests::build_test_guests(&workspace))?;
    step("host", || workspace.build_host(Profile::Debug))?;
    let folder = workspace.target.join("browser");
    step("playwright-core and axe-core", || {
        install(&workspace, &folder)
    })?;
    step("the dashboard in a browser", || {
        let mut command = Command::new("node");
        command
            .arg("run.mjs")
            .current_dir(&folder)
            .env("CHROMIUM", &chromium)
            .env("HOOKBAY", workspace.binary(Profile::Debug, "hookbay"))
            .env("PLUGINS", workspace.plugin_files())
            .env("GUESTS", workspace.test_guest_files());
        workspace::run(&mut command)
    })?;
    println!(
        "\nAll passed in {:.0} s. Screenshots are in {}.",
        started.elapsed().as_secs_f64(),
        folder.join("screenshots").display()
    );
    Ok(())
}

fn look_for_node() -> Result<()> {
    for (program, what) in [
        ("node", "Node.js 20 or newer"),
        ("npm", "npm, which comes with Node.js"),
    ] {
        let mut command = Command::new(program);
        command.arg("--version");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            bail!("this test needs `{program}`, which is not here: install {what}");
        }
    }
    Ok(())
}

fn find_chromium() -> Result<PathBuf> {
    let find = || {
        let debian = Path::new(CHROMIUM);
        let debian = debian.exists().then(|| debian.to_owned());
        debian.or_else(|| debian::in_path("chromium"))
    };
    if let Some(program) = find() {
        return Ok(program);
    }
    if !debian::can_install()? {
        bail!("Chromium is not installed: install `chromium` with your package manager");
    }
    debian::install("chromium")?;
    find().context("`apt-get install chromium` brought no chromium")
}

fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let from = workspace.root.join("xtask/browser");
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to = folder.join(entry.file_name());
        fs::copy(entry.path(), &to).with_context(|| format!("cannot copy to {}", to.display()))?;
    }
    let words = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    workspace::run(Command::new("npm").args(words).current_dir(folder))
}
