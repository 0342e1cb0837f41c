//! `hookbay events export`: stored events with their bodies, a line each.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::ExportArgs;
use crate::cli::CommandError;
use crate::cli::client::AdminClient;
use crate::cli::progress::Progress;
use crate::cli::table::{Reader, Screen, write_bytes};

pub(super) async fn run(config_path: Option<&Path>, args: &ExportArgs) -> Result<(), CommandError> {
    let client = AdminClient::new(config_path, &args.admin)?;
    let screen = Screen::current();
    let (since, until) = (args.period.since(&screen), args.period.until(&screen));
    let parameters = [
        ("source", args.which.source.as_deref()),
        ("kind", args.which.kind.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
    ];
    let path = ["events", "export"];
    let mut answer = client.open_stream(&path, &parameters, None).await?;
    let mut file = args.out.as_deref().map(create).transpose()?;
    let mut progress = Progress::begin("export", None);
    while let Some(piece) = client.next_chunk(&mut answer).await? {
        let piece = piece.as_ref();
        match (&mut file, &args.out) {
            (Some(file), Some(path)) => {
                file.write_all(piece)
                    .map_err(|error| failed(path, &error))?;
                progress.add(piece.len());
            }
            _ => {
                if write_bytes(piece)? == Reader::Gone {
                    return Ok(());
                }
            }
        }
    }
    if let (Some(file), Some(path)) = (&file, &args.out) {
        file.sync_all().map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

/// A file of its owner's alone: it holds bodies of strangers. One that is there is kept.
fn create(path: &Path) -> Result<File, CommandError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Failed(format!("cannot write `{}`: {error}", path.display()))
}
