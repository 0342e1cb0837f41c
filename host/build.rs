//! What is read at compile time from files that nobody names: migrations, which
//! `sqlx::migrate!` reads, and the provider catalogue, one entry for each file of
//! `providers/`. And the commit that a release is built from.

#![allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folders in the environment"
)]

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=providers");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("catalogue.rs"), catalogue()?)?;
    println!("cargo:rustc-env=HOOKBAY_VERSION={}", version()?);
    Ok(())
}

/// `0.1.0 (1a2b3c4d5e6f)`. Of a release only: a debug build would be made again after each
/// commit. `HOOKBAY_COMMIT` says it where there is no git, as in a container.
fn version() -> Result<String, Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=HOOKBAY_COMMIT");
    let version = env::var("CARGO_PKG_VERSION")?;
    let told = env::var("HOOKBAY_COMMIT").ok();
    let told = told.filter(|commit| !commit.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match told {
        None if is_release => commit(),
        told => told,
    };
    Ok(match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    })
}

/// The commit that is checked out, if git knows; this is run again when that changes.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| said.trim().to_owned())
    };
    // Written at each commit, checkout and reset.
    println!(
        "cargo:rerun-if-changed={}",
        git(&["rev-parse", "--git-path", "logs/HEAD"])?
    );
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// An array of each provider's slug and file, in alphabetical order. The files are named
/// from where the crate is when it is compiled, so that a checkout can be moved.
fn catalogue() -> Result<String, Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("providers");
    let mut slugs = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let slug = path.file_stem().and_then(|stem| stem.to_str());
            slugs.push(slug.ok_or("a provider's name is text")?.to_owned());
        }
    }
    slugs.sort();
    let mut array = "[\n".to_owned();
    for slug in slugs {
        let file = format!("/providers/{slug}.toml");
        let file = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {file:?})");
        writeln!(array, "    ({slug:?}, include_str!({file})),")?;
    }
    array.push_str("]\n");
    Ok(array)
}
