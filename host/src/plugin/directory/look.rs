//! How files look from outside: what a scan compares.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::plugin::PluginFile;

/// What a file looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) bytes: u64,
    modified_ns: i128,
    inode: u64,
    /// When its signature was written, and as which file.
    signature: Option<(i128, u64)>,
}

impl Look {
    /// What no file looks like.
    pub(super) const NONE: Self = Self {
        bytes: 0,
        modified_ns: i128::MIN,
        inode: 0,
        signature: None,
    };
}

/// What is in the directory now; nothing, while it does not exist.
pub(super) async fn looks(
    directory: &Path,
    has_signatures: bool,
) -> std::io::Result<BTreeMap<String, Look>> {
    let directory = directory.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries?,
        };
        let mut looks = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| is_plugin_file(name))
            else {
                continue;
            };
            // That it cannot be read either is found out by whoever tries.
            let look = look_at(&entry.path(), has_signatures).unwrap_or(Some(Look::NONE));
            looks.extend(look.map(|look| (name, look)));
        }
        Ok(looks)
    });
    read.await?
}

/// What a file looks like now; nothing, if none is there.
pub(super) fn look_at(path: &Path, has_signatures: bool) -> std::io::Result<Option<Look>> {
    // Follows links: a link to a file is a file.
    let about = match std::fs::metadata(path) {
        Ok(about) if about.is_file() => about,
        Ok(_) => return Ok(None),
        // Gone since it was listed, or a link to nothing.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (modified_ns, inode) = modified(&about);
    let signature = || std::fs::metadata(PluginFile::signature_path(path)).ok();
    let signature = has_signatures.then(signature).flatten();
    Ok(Some(Look {
        bytes: about.len(),
        modified_ns,
        inode,
        signature: signature.as_ref().map(modified),
    }))
}

/// When a file was written, in nanoseconds since 1970, and its number.
fn modified(about: &Metadata) -> (i128, u64) {
    let seconds = i128::from(about.mtime()) * 1_000_000_000;
    (seconds + i128::from(about.mtime_nsec()), about.ino())
}

/// `*.wasm`, but nothing hidden. `*.tmp`, `*.part` and `*~` do not end so.
pub(super) fn is_plugin_file(name: &str) -> bool {
    name.ends_with(".wasm") && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_plugins_count() {
        for (name, expected) in [
            ("github-push.wasm", true),
            (".github-push.wasm", false),
            ("github-push.wasm.tmp", false),
            ("github-push.wasm.part", false),
            ("github-push.wasm~", false),
            ("github-push.cwasm", false),
            ("readme.md", false),
        ] {
            assert_eq!(super::is_plugin_file(name), expected, "{name}");
        }
    }
}
