//! Whether others on this machine can read what they should not: the files that hold
//! secrets, and the data directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::Config;

/// Permissions of others, and the group's to write: nobody but the owner and a group that
/// reads should have more.
const TOO_OPEN_FILE: u32 = 0o027;
/// The same of a directory.
const TOO_OPEN_DIRECTORY: u32 = 0o027;

/// One line for each file or directory that is open to too many.
pub(crate) fn too_open(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for file in &config.secret_files {
        let what = "holds a secret, and others may read or change it";
        note(file, TOO_OPEN_FILE, what, "600", &mut found);
    }
    let what = "holds what senders sent and the admin token, and others may enter or change it";
    note(
        &config.data_dir,
        TOO_OPEN_DIRECTORY,
        what,
        "700",
        &mut found,
    );
    found
}

fn note(path: &Path, too_open: u32, what: &str, better: &str, found: &mut Vec<String>) {
    // What cannot be looked at is told by whoever needs it.
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & too_open != 0 {
        let path = path.display();
        found.push(format!(
            "`{path}` {what} (mode {mode:03o}): chmod {better} {path}"
        ));
    }
}
