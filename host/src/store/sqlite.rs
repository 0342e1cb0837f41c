//! Opens the SQLite file: sole ownership, pragmas, migrations, connections.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use super::StoreError;
use super::refusal::refused;
use super::writer::Writer;

mod dedup;
mod ingest;

pub(super) use dedup::{Change, Recent, Statements};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// First version without the WAL-reset corruption (sqlite.org, release 3.51.3).
const VERSION_MIN: [u32; 3] = [3, 51, 3];
/// Pages of log before they are moved into the file. Measured: 1,500 pages make the
/// slowest acknowledgements a third quicker and all of them 6 % fewer.
const CHECKPOINT_PAGES: &str = "4096";
/// Bytes of log that are kept for the next once they are moved into the file: what more
/// there was, because somebody read for long meanwhile, goes back to the disk.
const LOG_KEPT: &str = "67108864";
/// Pages that each connection keeps, in KiB (negative by SQLite's convention). Not
/// more: a commit in which pages of a tree changed places looks through all of them
/// (`sqlite3PcacheTruncate` after `balance_nonroot`). What is not kept, the operating
/// system has. Measured: 64 MiB cost the writer a seventh of its time.
const CACHE_KIB: &str = "-16384";
const READERS: u32 = 4;
/// Prepared statements that a connection keeps: those over many rows have one for
/// each number of rows.
const STATEMENTS: usize = 1500;

/// Keeps other processes out; the operating system drops it with the process.
pub(super) struct DatabaseLock(#[allow(dead_code, reason = "held, not read")] File);

/// An open database.
pub(super) struct Engine {
    /// Everything that is written.
    pub(super) writer: Writer,
    /// For connections that copy it.
    pub(super) for_copies: Box<SqliteConnectOptions>,
    /// What is written before it is moved into the database's file.
    pub(super) log_file: PathBuf,
    /// Held as long as the store is: another process cannot open the database.
    pub(super) _lock: DatabaseLock,
}

/// What [`open`] made.
pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) options: SqliteConnectOptions,
    pub(super) for_copies: Box<SqliteConnectOptions>,
    pub(super) log_file: PathBuf,
    pub(super) readers: SqlitePool,
    pub(super) run_readers: SqlitePool,
    pub(super) lock: DatabaseLock,
}

/// Opens the file at `path` as its only user.
pub(super) async fn open(path: &Path) -> Result<Opened, StoreError> {
    let path = &same_for_all(path)?;
    let lock = lock(path)?;
    let refuse = |error: StoreError| refused(&path.display(), error, &MIGRATOR);
    let failed = |error: sqlx::Error| refuse(error.into());
    let options = SqliteConnectOptions::from_str("sqlite://")
        .map_err(failed)?
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL would lose acknowledged commits when the power goes.
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "1")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_KEPT)
        .pragma("cache_size", CACHE_KIB)
        .pragma("temp_store", "memory")
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    let mut writer = options
        .clone()
        .create_if_missing(true)
        .connect()
        .await
        .map_err(failed)?;
    check_version(path, &mut writer).await.map_err(refuse)?;
    let migrated = MIGRATOR.run_direct(None, &mut writer, false).await;
    migrated.map_err(|error| refuse(error.into()))?;
    let pool = || {
        SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(10))
            // A file does not hang up.
            .test_before_acquire(false)
            .connect_with(options.clone().read_only(true))
    };
    let mut log_file = path.as_os_str().to_owned();
    log_file.push("-wal");
    Ok(Opened {
        log_file: log_file.into(),
        readers: pool().await.map_err(failed)?,
        run_readers: pool().await.map_err(failed)?,
        writer,
        for_copies: Box::new(options.clone().read_only(true)),
        options,
        lock,
    })
}

/// The file's one true path: through two links to it, two hosts would find two
/// locks.
fn same_for_all(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error: std::io::Error| StoreError::Open {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // It holds bodies and headers of strangers: a new one is for its owner only.
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    path.canonicalize().map_err(failed)
}

/// Takes the lock beside the file, or says who has the database.
fn lock(path: &Path) -> Result<DatabaseLock, StoreError> {
    let failed = |reason: String| StoreError::Open {
        path: path.display().to_string(),
        reason,
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| failed(format!("cannot open `{}`: {error}", name.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(DatabaseLock(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.display().to_string(),
        }),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(failed(format!("cannot lock `{}`: {error}", name.display())))
        }
    }
}

async fn check_version(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(connection)
        .await?;
    let parts: Vec<u32> = version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    if parts.as_slice() >= VERSION_MIN.as_slice() {
        return Ok(());
    }
    let reason = format!("SQLite {version} can corrupt its log; 3.51.3 or newer is needed");
    Err(StoreError::Open {
        path: path.display().to_string(),
        reason,
    })
}
