//! A copy of the database while it goes on: SQLite's alone. Postgres has `pg_dump`.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{ConnectOptions as _, Connection as _};

use super::{Engine, Store, StoreError};

/// A copy that is a file without a name: it is gone when nobody has it open.
#[derive(Debug)]
pub struct BackupFile(File);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is not one that this can copy.
    #[error("Hookbay copies SQLite databases only; this one is on Postgres: use `pg_dump`")]
    NotHere,
    /// Its file cannot be made.
    #[error("cannot write a copy in `{folder}`: {error}")]
    File {
        /// Where it was to be.
        folder: String,
        /// What stands in the way.
        error: io::Error,
    },
    /// The copy could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a file when it is dropped.
struct Unnamed(PathBuf);

/// Stops the copy when it is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl BackupFile {
    /// The copy, from its start.
    pub fn into_file(self) -> File {
        self.0
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "a temporary copy stays");
        }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Store {
    /// Copies the database as it is at this moment; what is written meanwhile is not
    /// held up and not in the copy. The copy is made in `folder`, which needs room for
    /// it; dropping the future stops it, and leaves nothing there.
    ///
    /// # Errors
    /// [`BackupError`], with nothing left in the folder.
    pub async fn back_up(&self, folder: &Path) -> Result<BackupFile, BackupError> {
        let Engine::Sqlite(engine) = &self.0.engine else {
            return Err(BackupError::NotHere);
        };
        let failed = |error: io::Error| BackupError::File {
            folder: folder.display().to_string(),
            error,
        };
        let path = folder.join(format!("backup-{:016x}.tmp", rand::random::<u64>()));
        // SQLite writes into an empty file that is there, and so into one that only
        // its owner can read.
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let copy = Unnamed(path);
        let name = copy.0.to_str().ok_or_else(|| {
            failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name is not text",
            ))
        })?;
        let copied = async {
            let mut connection = engine.for_copies.connect().await?;
            let stop = StopOnDrop(Arc::default());
            let is_stopped = Arc::clone(&stop.0);
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(10_000, move || !is_stopped.load(Ordering::Relaxed));
            drop(handle);
            let vacuum = sqlx::query("vacuum into $1").bind(name);
            vacuum.execute(&mut connection).await?;
            drop(stop);
            connection.close().await
        };
        copied.await.map_err(StoreError::from)?;
        Ok(BackupFile(file))
    }
}

/// Removes copies that a crash has left.
///
/// # Errors
/// [`io::Error`] if the folder cannot be read.
pub fn forget_copies(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_copy = name.starts_with("backup-") && name.contains(".tmp");
        if is_copy && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
