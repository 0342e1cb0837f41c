//! The store: events, runs, attempts, deduplication, plugin state, registry.
//!
//! The only place with SQL. One interface of whole operations: no transaction,
//! connection or row leaves this module, so that a second engine fits behind it.
//! Writes go to one writer thread (`writer`) which commits many at once; reads go
//! to connections of their own and see committed data only.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Database;
use crate::run::Epoch;

mod claim;
mod events;
mod finish;
mod ingest;
mod registry;
mod request;
mod rollups;
mod rows;
mod runs;
mod sqlite;
mod state;
mod upkeep;
mod writer;

pub use claim::{ClaimedRuns, Want};
pub use events::{EventFilter, EventRow, RunCounts};
pub use finish::{Finished, Settled};
pub use ingest::{Ingested, NewEvent};
pub use registry::{PluginRow, PluginRuns, RegisterPlugin};
pub use request::DamagedRequest;
pub use rollups::{PluginMinute, SourceMinute};
pub use runs::{AttemptRow, Retried, RunFilter, RunRow};
pub use state::{KvItem, KvValue};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database.
    #[error("database `{path}` is in use by another hookbay (it holds `{path}.lock`)")]
    InUse {
        /// The database's file.
        path: String,
    },
    /// The database cannot be opened.
    #[error("cannot open database `{path}`: {reason}")]
    Open {
        /// The database's file.
        path: String,
        /// What stands in the way.
        reason: String,
    },
    /// The machine has no thread for the writer.
    #[error("cannot start the database's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The tables cannot be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement failed; it was rolled back.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// What is stored cannot be read.
    #[error(transparent)]
    Damaged(#[from] DamagedRequest),
    /// The store is closing, or its queue is full.
    #[error("the store takes no more work: {0}")]
    Unavailable(&'static str),
}

/// How long a stop waits for queries of operators.
const READERS_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// A handle to the store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: writer::Writer,
    /// For operators and probes.
    readers: sqlx::SqlitePool,
    /// For what runs need, so that no page of an operator holds them up.
    run_readers: sqlx::SqlitePool,
    /// Names this start of this host; every claim carries it.
    epoch: Epoch,
    clock: Clock,
    statements: Arc<Statements>,
    /// Held as long as the store is: another process cannot open the database.
    _lock: sqlite::DatabaseLock,
}

/// The statements over many rows, made once.
struct Statements {
    ingest: ingest::Statements,
    finish: finish::Statements,
    state: state::Statements,
    events: events::Statements,
}

impl Store {
    /// Opens the database, creating or migrating it, and makes every run that a
    /// dead host left `running` due at once (`host_lost`).
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Open`] or [`StoreError::Migrate`].
    pub async fn open(database: &Database, clock: Clock) -> Result<Self, StoreError> {
        let path = file_of(database)?;
        let opened = sqlite::open(path).await?;
        let statements = Arc::new(Statements {
            ingest: ingest::Statements::new(),
            finish: finish::Statements::new(),
            state: state::Statements::new(),
            events: events::Statements::new(),
        });
        let store = Self(Arc::new(Inner {
            writer: writer::Writer::start(
                opened.options,
                opened.writer,
                Arc::clone(&statements),
                clock.clone(),
            )?,
            readers: opened.readers,
            run_readers: opened.run_readers,
            epoch: Epoch(rand::random::<i64>()),
            clock,
            statements,
            _lock: opened.lock,
        }));
        store.rescue().await?;
        Ok(store)
    }

    /// Brings the tables up to date and closes again: `hookbay migrate`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate(database: &Database) -> Result<(), StoreError> {
        let path = file_of(database)?;
        let opened = sqlite::open(path).await?;
        opened.readers.close().await;
        opened.run_readers.close().await;
        sqlx::Connection::close(opened.writer).await?;
        Ok(())
    }

    /// Whether the database answers, within two seconds.
    pub async fn answers(&self) -> bool {
        // Not on the readers of operators: a long list is no reason not to be ready.
        let probe = sqlx::query("select 1").execute(&self.0.run_readers);
        let answered = tokio::time::timeout(std::time::Duration::from_secs(2), probe).await;
        matches!(answered, Ok(Ok(_))) && self.0.writer.is_well()
    }

    /// Finishes what was begun and closes the database.
    pub async fn close(&self) {
        // The writer is last: as the only user it moves the log into the file.
        let readers = async {
            self.0.readers.close().await;
            self.0.run_readers.close().await;
        };
        if tokio::time::timeout(READERS_GRACE, readers).await.is_err() {
            tracing::warn!("a query was still running; the log stays beside the database");
        }
        self.0.writer.close().await;
    }

    /// This start of this host.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    fn now_ms(&self) -> i64 {
        self.0.clock.now().millis()
    }

    fn readers(&self) -> &sqlx::SqlitePool {
        &self.0.readers
    }

    fn run_readers(&self) -> &sqlx::SqlitePool {
        &self.0.run_readers
    }

    fn statements(&self) -> &Statements {
        &self.0.statements
    }
}

/// The file of a database that is one.
fn file_of(database: &Database) -> Result<&std::path::Path, StoreError> {
    match database {
        Database::Sqlite(path) => Ok(path),
        Database::Postgres(url) => Err(StoreError::Open {
            path: url.to_string(),
            reason: "Postgres is not supported by this version of Hookbay".to_owned(),
        }),
    }
}
