//! The data directory: this host's alone while it runs, with the admin token and the
//! name of its last start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::config::{Config, Secret, TOKEN_FILE};
use crate::run::Epoch;

use super::StartError;

/// Held while the host runs.
const LOCK_FILE: &str = "host.lock";
/// The epoch of the last start.
const EPOCH_FILE: &str = "host.epoch";

/// The directory, locked.
pub(super) struct DataDir {
    folder: PathBuf,
    /// What operators must show.
    pub(super) token: Secret,
    /// Dropped with the process, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory, locks it, and finds the admin token: from the environment,
    /// else from its file, which is made at first start.
    ///
    /// # Errors
    /// [`StartError::DataDir`], also if another host has the directory.
    pub(super) fn prepare(config: &Config) -> Result<Self, StartError> {
        let folder = config.data_dir.clone();
        private_folder(&folder).map_err(failed(&folder))?;
        let lock = lock(&folder.join(LOCK_FILE)).map_err(failed(&folder))?;
        let token = match &config.admin_token {
            Some(token) => token.clone(),
            None => {
                let path = folder.join(TOKEN_FILE);
                kept_token(&path).map_err(failed(&path))?
            }
        };
        Ok(Self {
            folder,
            token,
            _lock: lock,
        })
    }

    /// Notes this start; the one before it, which is over since it no longer holds the
    /// directory.
    ///
    /// # Errors
    /// [`StartError::DataDir`] if it cannot be noted.
    pub(super) fn replace_epoch(&self, epoch: Epoch) -> Result<Option<Epoch>, StartError> {
        let path = self.folder.join(EPOCH_FILE);
        // What cannot be read says nothing; its lease ends by itself.
        let before = fs::read_to_string(&path).ok();
        let before = before.and_then(|text| text.trim().parse().ok());
        let partial = self.folder.join(format!("{EPOCH_FILE}.tmp"));
        fs::write(&partial, format!("{}\n", epoch.0))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(failed(&path))?;
        Ok(before.map(Epoch))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> StartError {
    let path = path.display().to_string();
    move |error| StartError::DataDir {
        path: path.clone(),
        error,
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::other(
            "another hookbay uses it; each host needs its own",
        )),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn kept_token(path: &Path) -> io::Result<Secret> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => make_token(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_token(path),
        Err(error) => Err(error),
    }
}

/// A folder that only its owner can enter, if it is new.
fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// A new token in a file that only its owner can read.
fn make_token(path: &Path) -> io::Result<Secret> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let token = hex::encode(rand::random::<[u8; 32]>());
    let mut file = fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    // A file that was there already keeps its mode otherwise.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(Secret::new(token))
}
