//! The components that tests run, and variants of them that no compiler would make.

use std::fs;
use std::path::{Path, PathBuf};

use hookbay::config::Environment;
use sha2::{Digest, Sha256};

/// The bytes of a file that is, or claims to be, a plugin.
#[derive(Clone)]
pub(crate) struct Component(pub(crate) Vec<u8>);

/// The plugin or test guest of this name, as `cargo xtask test` has built it.
pub(crate) fn named(name: &str) -> Component {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let environment = Environment::of_process();
    let folder = |variable: &str, fallback: &str| {
        environment
            .get(variable)
            .map_or_else(|| target.join(fallback), PathBuf::from)
    };
    let folders = [
        folder("HOOKBAY_TEST_PLUGINS", "plugins"),
        folder("HOOKBAY_TEST_GUESTS", "test-guests"),
    ];
    let read = |folder: &PathBuf| fs::read(folder.join(format!("{name}.wasm"))).ok();
    match folders.iter().find_map(read) {
        Some(bytes) => Component(bytes),
        None => panic!("{name}.wasm is in none of {folders:?}: run `cargo xtask test`"),
    }
}

/// The names of all plugins of the repository that were built.
pub(crate) fn plugins() -> Vec<String> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let environment = Environment::of_process();
    let folder = environment
        .get("HOOKBAY_TEST_PLUGINS")
        .map_or(target, PathBuf::from);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        names.extend(file.strip_suffix(".wasm").map(str::to_owned));
    }
    names.sort();
    names
}

/// Lets all hosts share what was compiled, so that each component is compiled once.
pub(crate) fn share_compiled(data_dir: &Path) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    fs::create_dir_all(&shared).unwrap();
    std::os::unix::fs::symlink(shared, data_dir.join("cache")).unwrap();
}

impl Component {
    /// The same code under another digest: a custom section more, which is id 0, its size, a
    /// name with its length, and data. Sizes below 128 are one byte of LEB128.
    /// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
    pub(crate) fn numbered(&self, number: u8) -> Self {
        Self([&self.0, &[0, 6, 4][..], b"test", &[number]].concat())
    }

    /// A copy that was interrupted.
    pub(crate) fn truncated(&self) -> Self {
        Self(self.0[..self.0.len() / 2].to_vec())
    }

    /// The same with each `from` replaced by `to`, which is of equal length, as sections that
    /// hold texts have their length written before them.
    pub(crate) fn patched(&self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let mut bytes = self.0.clone();
        let mut n_replaced = 0;
        for at in 0..bytes.len().saturating_sub(from.len()) {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                n_replaced += 1;
            }
        }
        assert!(n_replaced > 0, "`{from}` is not in the component");
        Self(bytes)
    }

    /// Its sha256 in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }

    /// Puts it under a name by a rename, so that it is never seen half written.
    pub(crate) fn place(&self, folder: &Path, file: &str) {
        let partial = folder.join(format!(".{file}.tmp"));
        fs::write(&partial, &self.0).unwrap();
        fs::rename(partial, folder.join(file)).unwrap();
    }

    /// Writes it over what stands under a name, as a copy does.
    pub(crate) fn write_over(&self, folder: &Path, file: &str) {
        fs::write(folder.join(file), &self.0).unwrap();
    }
}
