//! Variants of a component file: same code under another digest, and files that are none.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::guests;

const SECTION_NAME: &[u8] = b"hookbay-faults";

/// A whole component, and the file that a host watches.
pub(crate) struct Component {
    original: Vec<u8>,
    folder: PathBuf,
    file_name: String,
}

/// What to put into the watched file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The same code, with another number in a custom section and so another digest.
    Renumbered(u32),
    /// The first half.
    Truncated,
    /// An executable of this system.
    Executable,
}

impl Component {
    /// Reads `plugin`'s component from `from`; the watched folder is `to`.
    pub(crate) fn read(plugin: &str, from: &Path, to: PathBuf) -> Result<Self> {
        let file_name = format!("{plugin}.wasm");
        let path = from.join(&file_name);
        let original =
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            original,
            folder: to,
            file_name,
        })
    }

    /// Puts `variant` into the watched file: whole by a rename, broken ones by writing over
    /// the file in place, as an interrupted copy does. Gives the digest of one that may run.
    pub(crate) fn install(&self, variant: Variant) -> Result<Option<String>> {
        match variant {
            Variant::Renumbered(number) => {
                let bytes = with_custom_section(&self.original, &number.to_le_bytes());
                guests::place(&self.folder, &self.file_name, &bytes)?;
                Ok(Some(hex::encode(Sha256::digest(&bytes))))
            }
            Variant::Truncated => self.write_over(&self.original[..self.original.len() / 2]),
            Variant::Executable => {
                self.write_over(&fs::read("/bin/true").context("cannot read /bin/true")?)
            }
        }
    }

    fn write_over(&self, bytes: &[u8]) -> Result<Option<String>> {
        let path = self.folder.join(&self.file_name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(bytes));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(None)
    }
}

/// The component format's custom section: id 0, size, name with its length, data. Sizes are
/// LEB128; both here stay below 128, which is one byte.
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
fn with_custom_section(component: &[u8], data: &[u8; 4]) -> Vec<u8> {
    const NAME_BYTES: u8 = 14;
    const SECTION_BYTES: u8 = 1 + NAME_BYTES + 4;
    const {
        assert!(
            SECTION_NAME.len() == NAME_BYTES as usize,
            "the length is written above"
        )
    };
    let mut bytes = component.to_vec();
    bytes.extend_from_slice(&[0, SECTION_BYTES, NAME_BYTES]);
    bytes.extend_from_slice(SECTION_NAME);
    bytes.extend_from_slice(data);
    bytes
}
