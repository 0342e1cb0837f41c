//! Keeps every version that was ever active, by digest, in the data directory.

use std::path::PathBuf;
use std::sync::Arc;

use crate::plugin::Digest;

/// The folder `digests`.
pub(super) struct Shelf(PathBuf);

impl Shelf {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Keeps a version, durably: under its name is all of it or nothing.
    pub(super) async fn put(&self, digest: Digest, bytes: &[u8]) -> std::io::Result<()> {
        if self.get(digest).await.is_some() {
            return Ok(());
        }
        let (folder, bytes) = (self.0.clone(), bytes.to_vec());
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let partial = folder.join(format!(".{digest}.tmp"));
            std::fs::write(&partial, bytes)?;
            std::fs::File::open(&partial)?.sync_all()?;
            std::fs::rename(&partial, folder.join(format!("{digest}.wasm")))?;
            // The name, too, is to survive a power cut.
            std::fs::File::open(&folder)?.sync_all()
        });
        written.await?
    }

    /// A version's bytes, if they are here and whole.
    pub(super) async fn get(&self, digest: Digest) -> Option<Arc<[u8]>> {
        let bytes = tokio::fs::read(self.0.join(format!("{digest}.wasm")))
            .await
            .ok()?;
        (Digest::of(&bytes) == digest).then(|| bytes.into())
    }
}
