//! Where `listen` is: a file that one process has at a time, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::folder_of;

/// The file, held against others.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    /// Behind what was acknowledged.
    position: Option<String>,
    _lock: File,
}

impl Cursor {
    /// Takes the file; it need not be there yet.
    ///
    /// # Errors
    /// Another process has it, it cannot be read or written, or it says nothing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder_of(path))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let problem = "another `hookbay listen` goes on from it now";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let position = match fs::read_to_string(path) {
            // To begin anew would leave out whatever came since.
            Ok(text) if text.trim().is_empty() => {
                let problem = "it is empty, so that it does not say where to go on; write the place \
                               into it, `0` for everything that is stored, or remove it to begin \
                               with what comes from now on";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            position,
            _lock: lock,
        })
    }

    /// Where to go on.
    pub(super) fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Notes that all before this is done with.
    ///
    /// # Errors
    /// It cannot be written; what was there stays.
    pub(super) fn advance(&mut self, position: String) -> io::Result<()> {
        let draft = beside(&self.path, ".tmp");
        let mut file = File::create(&draft)?;
        writeln!(file, "{position}")?;
        // What has its name is on the disk: a machine that stops leaves the old or the new.
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        File::open(folder_of(&self.path))?.sync_all()?;
        self.position = Some(position);
        Ok(())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
