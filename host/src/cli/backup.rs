//! `hookbay backup`: a copy of a running host's database in a file.
//!
//! The file gets its name only when it is whole and on the disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::client::{AdminArgs, AdminClient};
use super::progress::Progress;
use super::table::{print, print_json};
use super::{CommandError, folder_of, text};
use crate::config::units::readable_size;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A file under a temporary name; removed unless it is kept.
struct Draft {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    let failed = |error: io::Error| {
        let file = args.file.display();
        CommandError::Failed(format!("cannot write `{file}`: {error}"))
    };
    if !args.force && args.file.symlink_metadata().is_ok() {
        return Err(failed(there_already()));
    }
    // Before the host makes a copy that cannot be written here.
    let mut draft = Draft::beside(&args.file).map_err(failed)?;
    let client = AdminClient::new(config_path, &args.admin)?;
    let mut answer = client.post_for_bytes(&["backup"]).await?;
    let expected = answer
        .headers()
        .get(crate::admin::BACKUP_SHA256)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut progress = Progress::begin("backup", answer.content_length());
    let mut hasher = Sha256::new();
    let mut length = 0;
    while let Some(piece) = client.next_chunk(&mut answer).await? {
        let piece = piece.as_ref();
        hasher.update(piece);
        length += piece.len() as u64;
        progress.add(piece.len());
        draft.file.write_all(piece).map_err(failed)?;
    }
    drop(progress);
    let sum = hex::encode(hasher.finalize());
    if expected.as_deref() != Some(sum.as_str()) {
        let problem = "what the host sent did not arrive whole; nothing was written";
        return Err(CommandError::Failed(problem.to_owned()));
    }
    draft.keep_as(&args.file, args.force).map_err(failed)?;
    if args.admin.json {
        print_json(&json!({ "file": args.file, "size_bytes": length, "sha256": sum }))?;
        return Ok(());
    }
    let (file, size) = (args.file.display().to_string(), readable_size(length));
    let file = text::harmless(&file);
    print(&format!("{file}: {size}, sha256 {sum}\n"))?;
    Ok(())
}

fn there_already() -> io::Error {
    let problem = "it is there already; --force replaces it";
    io::Error::new(io::ErrorKind::AlreadyExists, problem)
}

impl Draft {
    fn beside(file: &Path) -> io::Result<Self> {
        let name = file.file_name().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "this is not the name of a file",
            )
        })?;
        let suffix = rand::random::<u32>();
        let name = format!(".{}.{suffix:08x}.tmp", name.to_string_lossy());
        let path = folder_of(file).join(name);
        // It holds bodies and headers of strangers.
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            is_kept: false,
        })
    }

    /// Gives it its name, when all of it is on the disk.
    fn keep_as(mut self, file: &Path, replaces: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replaces {
            std::fs::rename(&self.path, file)?;
            self.is_kept = true;
        } else {
            // Unlike a rename it replaces nothing, not even what came meanwhile.
            std::fs::hard_link(&self.path, file).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => there_already(),
                _ => error,
            })?;
        }
        File::open(folder_of(file))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nobody can do more about it than who sees it there.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
