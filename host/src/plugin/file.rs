//! A plugin's file and the one with its signature, as they are on disk.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Digest, FILE_BYTES_MAX};

/// What is put behind a file's name to name its signature.
const SIGNATURE_SUFFIX: &str = ".sig";
/// Longest signature that is read; one needs 89 bytes.
const SIGNATURE_BYTES_MAX: u64 = 1 << 10;

/// What is in a plugin's file, and in the one with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// The component.
    pub bytes: Arc<[u8]>,
    /// What names the component.
    pub digest: Digest,
    /// Its signature's text, if there is any.
    pub signature: Option<Arc<[u8]>>,
}

impl PluginFile {
    fn new(bytes: Vec<u8>, signature: Option<Arc<[u8]>>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            bytes: bytes.into(),
            signature,
        }
    }

    /// Reads a file and the signature beside it; of what is too long to be one of them,
    /// only the start, which no host takes.
    ///
    /// # Errors
    /// The file itself cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        // The signature first: whoever replaces both writes it first.
        let signature = std::fs::File::open(Self::signature_path(path));
        let signature = signature.and_then(|file| {
            let mut text = Vec::new();
            file.take(SIGNATURE_BYTES_MAX).read_to_end(&mut text)?;
            Ok(text.into())
        });
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        // It may grow while it is read.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(Self::new(bytes, signature.ok()))
    }

    /// Where the signature of a plugin's file stands: `NAME.wasm.sig`.
    pub fn signature_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(SIGNATURE_SUFFIX);
        name.into()
    }
}

impl From<Vec<u8>> for PluginFile {
    /// A file without a signature.
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes, None)
    }
}
