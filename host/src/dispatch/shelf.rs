//! Keeps every version that was ever active, by digest, in the data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plugin::Digest;

/// The folder `digests`.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The shelf in a data directory, which need not have one yet.
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("digests"))
    }

    /// Whether a version is here; whether it is whole, only [`Shelf::get`] says.
    pub async fn has(&self, digest: Digest) -> bool {
        tokio::fs::try_exists(self.file(digest))
            .await
            .unwrap_or(false)
    }

    /// Keeps a version, durably: under its name is all of it or nothing.
    pub(super) async fn put(&self, digest: Digest, bytes: &[u8]) -> std::io::Result<()> {
        if self.get(digest).await.is_some() {
            return Ok(());
        }
        let (folder, file, bytes) = (self.0.clone(), self.file(digest), bytes.to_vec());
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let partial = folder.join(format!(".{digest}.tmp"));
            std::fs::write(&partial, bytes)?;
            std::fs::File::open(&partial)?.sync_all()?;
            std::fs::rename(&partial, file)?;
            // The name, too, is to survive a power cut.
            std::fs::File::open(&folder)?.sync_all()
        });
        written.await?
    }

    /// A version's bytes, if they are here and whole.
    pub(super) async fn get(&self, digest: Digest) -> Option<Arc<[u8]>> {
        let bytes = tokio::fs::read(self.file(digest)).await.ok()?;
        (Digest::of(&bytes) == digest).then(|| bytes.into())
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.0.join(format!("{digest}.wasm"))
    }
}
