//! What is read at compile time from files that nobody names: migrations, which
//! `sqlx::migrate!` reads, and the provider catalogue, one entry for each file of
//! `providers/`.

#![allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its folders in the environment"
)]

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=providers");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("catalogue.rs"), catalogue()?)?;
    Ok(())
}

/// An array of each provider's slug and file, in alphabetical order.
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
        let file = folder.join(format!("{slug}.toml"));
        writeln!(array, "    ({slug:?}, include_str!({file:?})),")?;
    }
    array.push_str("]\n");
    Ok(array)
}
