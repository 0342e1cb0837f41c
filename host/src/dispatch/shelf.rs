//! Keeps every version that was ever active, by digest, in the data directory.

use std::path::{Path, PathBuf};

use crate::plugin::{Digest, PluginFile};

/// The folder `digests`.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The shelf in a data directory, which need not have one yet.
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("digests"))
    }

    /// Whether a version is here; whether it is whole, only `get` says.
    pub async fn has(&self, digest: Digest) -> bool {
        tokio::fs::try_exists(self.file(digest))
            .await
            .unwrap_or(false)
    }

    /// Keeps a version with its signature, durably: under its name is all of it or
    /// nothing.
    pub(super) async fn put(&self, digest: Digest, content: &PluginFile) -> std::io::Result<()> {
        let kept = self.get(digest).await;
        if kept.is_some_and(|kept| kept.signature.is_some() || content.signature.is_none()) {
            return Ok(());
        }
        let (folder, file, content) = (self.0.clone(), self.file(digest), content.clone());
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            // Nothing without its signature is there for anybody to see.
            if let Some(signature) = &content.signature {
                write(&PluginFile::signature_path(&file), signature)?;
            }
            write(&file, &content.bytes)?;
            // The names, too, are to survive a power cut.
            std::fs::File::open(&folder)?.sync_all()
        });
        written.await?
    }

    /// A version, if it is here and whole.
    pub(super) async fn get(&self, digest: Digest) -> Option<PluginFile> {
        let file = self.file(digest);
        let read = tokio::task::spawn_blocking(move || PluginFile::read(&file)).await;
        let kept = read.ok()?.ok()?;
        (kept.digest == digest).then_some(kept)
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.0.join(format!("{digest}.wasm"))
    }
}

/// Writes a file under another name first.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".tmp");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, bytes)?;
    std::fs::File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, file)
}
