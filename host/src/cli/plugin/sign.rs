//! `hookbay plugin keygen` and `sign`: signatures as a host with `trusted_keys` checks them,
//! made by the same code.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::unreadable;
use crate::cli::CommandError;
use crate::cli::table::print;
use crate::plugin::{PluginFile, SigningKey};

#[derive(Debug, clap::Args)]
pub(super) struct KeygenArgs {
    /// Where the key goes, which nobody else may see
    #[arg(long, value_name = "FILE", default_value = "hookbay-signing.key")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The key, as `plugin keygen` makes it
    #[arg(long, value_name = "FILE", default_value = "hookbay-signing.key")]
    key: PathBuf,
}

pub(super) fn keygen(args: &KeygenArgs) -> Result<(), CommandError> {
    let key = SigningKey::of(rand::random());
    let file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out);
    file.and_then(|mut file| {
        file.write_all(key.text().as_bytes())?;
        file.sync_all()
    })
    .map_err(|error| unwritable(&args.out, &error))?;
    let out = args.out.display();
    print(&format!(
        "the key is in {out}: keep it where plugins are signed, not where they run\n\
         trusted_keys = [\"{}\"]\n",
        key.public()
    ))?;
    Ok(())
}

pub(super) fn sign(args: &SignArgs) -> Result<(), CommandError> {
    let text = fs::read(&args.key).map_err(|error| unreadable(&args.key, &error))?;
    let key = SigningKey::read(&text)
        .map_err(|error| CommandError::Failed(format!("{} {error}", args.key.display())))?;
    let bytes = fs::read(&args.file).map_err(|error| unreadable(&args.file, &error))?;
    let path = PluginFile::signature_path(&args.file);
    fs::write(&path, key.sign(&bytes)).map_err(|error| unwritable(&path, &error))?;
    let line = format!("{} signs {}", path.display(), args.file.display());
    print(&format!("{line}, by {}\n", key.public()))?;
    Ok(())
}

fn unwritable(file: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot write {}: {error}", file.display()))
}
