//! `hookbay events export`: stored events with their bodies, a line each.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Deserialize;

use super::ExportArgs;
use crate::cli::client::AdminClient;
use crate::cli::progress::Progress;
use crate::cli::table::{Reader, Screen, write_bytes};
use crate::cli::{CommandError, complain, text};

/// How the line of an event begins whose request cannot be read.
const DAMAGED: &[u8] = b"{\"damaged\":";
/// Such a line is short.
const LINE_BYTES_MAX: usize = 64 << 10;

/// An event whose request cannot be read, and why.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Damaged {
    id: String,
    damaged: String,
}

/// Lines that go by, in pieces of any size; of a line it keeps no more than it needs.
#[derive(Default)]
struct Lines(Vec<u8>);

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
    let (mut lines, mut n_unreadable) = (Lines::default(), 0);
    while let Some(piece) = client.next_chunk(&mut answer).await? {
        let piece = piece.as_ref();
        for event in lines.damaged(piece) {
            n_unreadable += 1;
            progress.hide();
            let (id, why) = (text::harmless(&event.id), text::harmless(&event.damaged));
            complain(&format!(
                "event {id} is exported without headers and body: {why}"
            ));
        }
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
    drop(progress);
    match n_unreadable {
        0 => Ok(()),
        n => Err(CommandError::Failed(format!(
            "{n} of the events cannot be read; all others were exported whole"
        ))),
    }
}

impl Lines {
    /// The events that cannot be read, by the lines that end in this piece.
    fn damaged(&mut self, piece: &[u8]) -> Vec<Damaged> {
        let mut found = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let is_open = self.0.len() < DAMAGED.len() || self.0.starts_with(DAMAGED);
            if is_open {
                let room = LINE_BYTES_MAX.saturating_sub(self.0.len());
                self.0.extend_from_slice(&part[..part.len().min(room)]);
            }
            if part.ends_with(b"\n") {
                if self.0.starts_with(DAMAGED) {
                    found.extend(serde_json::from_slice::<Damaged>(&self.0));
                }
                self.0.clear();
            }
        }
        found
    }
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

#[cfg(test)]
mod tests {
    use super::{Damaged, Lines};

    #[test]
    fn damaged_events_are_seen_however_their_lines_arrive() {
        let long = "x".repeat(5000);
        let text = format!(
            "{{\"id\":\"1\",\"body\":\"{{\\\"damaged\\\":{long}\"}}\n\
             {{\"damaged\":\"cut\",\"id\":\"2\",\"headers\":[]}}\n\
             \n{{\"id\":\"3\"}}\n{{\"damaged\":\"it has no end\",\"id\":\"4\""
        );
        let expected = [Damaged {
            id: "2".to_owned(),
            damaged: "cut".to_owned(),
        }];
        for size in [1, 2, 3, 11, 12, 13, 100, 10_000] {
            let mut lines = Lines::default();
            let pieces = text.as_bytes().chunks(size);
            let found: Vec<Damaged> = pieces.flat_map(|piece| lines.damaged(piece)).collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }
}
