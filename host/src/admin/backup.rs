//! `backup`: a copy of the database, while it goes on.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::http::Problem;
use crate::store::{BackupError, StoreError};

use super::{Admin, AdminError};

/// The copy's sha256 in hex, so that whoever gets it knows that it is whole.
pub(crate) const SHA256_HEADER: &str = "hookbay-sha256";
/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// `POST backup`: the database as it is now, as one SQLite file.
#[utoipa::path(
    post, path = "/api/v1/backup", tag = "access", summary = "Copies the database, on SQLite",
    responses((status = 200, description = "The copy, its sha256 in the header `hookbay-sha256`", body = Vec<u8>, content_type = "application/vnd.sqlite3"), (status = 409, description = "The database is not SQLite, or another copy is being made", body = Problem, content_type = "application/problem+json"), (status = 500, description = "The copy failed", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn make(State(admin): State<Arc<Admin>>) -> Result<Response<Body>, AdminError> {
    // One at a time: each takes as much room as the database.
    let turn = Arc::clone(&admin.backup_turn).try_lock_owned();
    let Ok(turn) = turn else {
        let busy = "another backup is being made; wait until it is over".to_owned();
        return Err(AdminError::NotNow(busy));
    };
    let copy = admin.store.back_up(&admin.data_dir).await?.into_file();
    let summed = tokio::task::spawn_blocking(move || sum(copy)).await;
    let (copy, length, sum) = summed
        .map_err(|_| StoreError::Unavailable("the host is stopping"))?
        .map_err(|error| BackupError::File {
            folder: admin.data_dir.display().to_string(),
            error,
        })?;
    let pieces = futures_util::stream::unfold((copy, turn), |(copy, turn)| async move {
        let read = tokio::task::spawn_blocking(move || read_piece(copy)).await;
        match read {
            Ok(Ok((piece, _))) if piece.is_empty() => None,
            Ok(Ok((piece, copy))) => Some((Ok(piece), (Some(copy), turn))),
            Ok(Err(error)) => Some((Err(error), (None, turn))),
            Err(error) => Some((Err(io::Error::other(error)), (None, turn))),
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    let sqlite = HeaderValue::from_static("application/vnd.sqlite3");
    headers.insert(header::CONTENT_TYPE, sqlite);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let sum = HeaderValue::from_str(&sum).expect("hex is the value of a header");
    headers.insert(SHA256_HEADER, sum);
    Ok(response)
}

/// The copy, from its start again, with its length and sha256.
fn sum(mut copy: File) -> io::Result<(Option<File>, u64, String)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        let read = copy.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        length += read as u64;
    }
    copy.rewind()?;
    Ok((Some(copy), length, hex::encode(hasher.finalize())))
}

/// The next bytes; none at the end, or after an error.
fn read_piece(copy: Option<File>) -> io::Result<(Bytes, File)> {
    let mut copy = copy.ok_or_else(|| io::Error::other("it could not be read"))?;
    let mut piece = vec![0; PIECE];
    let read = copy.read(&mut piece)?;
    piece.truncate(read);
    Ok((piece.into(), copy))
}

impl From<BackupError> for AdminError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NotHere => Self::NotNow(error.to_string()),
            BackupError::File { .. } => Self::Failed(error.to_string()),
            BackupError::Store(error) => Self::Failed(format!("the copy failed: {error}")),
        }
    }
}
