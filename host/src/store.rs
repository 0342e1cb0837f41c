//! The store: events, runs, attempts, deduplication, plugin state, registry.
//!
//! The only place with SQL. One interface of whole operations over two engines: no
//! transaction, connection or row leaves this module. SQLite (`sqlite`) is one file
//! with one writer; Postgres (`postgres`) is shared by any number of hosts. What
//! they have in common is written once, in `sql`'s words; reads see committed data
//! only.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use futures_util::future::BoxFuture;

use crate::clock::{Clock, Timestamp};
use crate::config::Database;
use crate::run::Epoch;

mod alerts;
mod audit;
mod backup;
mod bounds;
mod claim;
mod clock;
mod counts;
mod erasure;
mod events;
mod expiry;
mod filter;
mod finish;
mod forget;
mod history;
mod hosts;
mod ingest;
mod operations;
mod order;
mod pauses;
mod postgres;
mod proofs;
mod quarantine;
mod refusal;
mod registry;
mod request;
mod retention;
mod rollups;
mod rows;
mod runs;
mod seal;
mod search;
mod settings;
mod slices;
mod space;
mod sql;
mod sqlite;
mod state;
mod steer;
mod stream;
mod tokens;
mod tx;
mod upkeep;
mod versions;
mod writer;

pub use alerts::{AlertRow, Condition};
pub use audit::{AuditId, ChangeFilter, ChangeRow, NewChange};
pub use backup::{BackupError, BackupFile, forget_copies};
pub use claim::{ClaimedRuns, Want};
pub use counts::{Cost, Measure, PluginRuns};
pub use erasure::Erased;
pub use events::{EventPage, EventRow, RunCounts};
pub use expiry::Expired;
pub use filter::EventFilter;
pub use finish::{Finished, Settled};
pub use forget::{Forgetting, Forgot};
pub use hosts::{HostRow, Rescued};
pub use ingest::{Ingested, NewEvent};
pub use operations::{
    Begun, Ended, NewOperation, OperationId, OperationRow, OperationState, OwnOperation, Position,
    Request,
};
pub use postgres::{Wake, WakeListener};
pub use proofs::{LearntRow, MatchRow};
pub use quarantine::{
    NewQuarantined, QuarantineBounds, QuarantineFilter, QuarantinedRow, RawRequest, Released,
};
pub use registry::{PluginRow, RegisterPlugin};
pub use request::DamagedRequest;
pub use retention::{EventSlice, Removed};
pub use rollups::{
    PluginMinute, PluginStep, PluginSum, QueueStep, SourceMinute, SourceStep, SourceSum,
};
pub use runs::{AttemptRow, RunFilter, RunRow};
pub use search::{SearchedEvent, Sought, SoughtKinds};
pub use settings::Settings;
pub use slices::{Retriable, RetriablePage};
pub use state::{KvItem, KvValue};
pub use steer::{Cancelled, Retried};
pub use stream::{PositionError, StreamPosition, Streamed};
pub use tokens::{NewToken, Scope, TOKENS_MAX, TokenMade, TokenRow};
pub use versions::VersionRow;

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
        /// The database's file, or its URL without the password.
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
    /// What is stored is encrypted with a key that is not there.
    #[error(
        "a stored request is encrypted with the key `{0}`, which `encryption.keys` does not have"
    )]
    MissingKey(String),
    /// What is stored cannot be read.
    #[error(transparent)]
    Damaged(#[from] DamagedRequest),
    /// An event that a run needs is not to be seen.
    #[error("the event is not there")]
    EventGone,
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
    engine: Engine,
    /// For operators.
    readers: tx::Readers,
    /// For what runs and probes need, so that no page of an operator holds them up.
    run_readers: tx::Readers,
    /// Names this start of this host; every claim carries it.
    epoch: Epoch,
    /// How often it has claimed.
    claims: AtomicI64,
    kept_counts: counts::Kept,
    clock: Clock,
    statements: Arc<Statements>,
    /// What requests are encrypted with.
    keyring: seal::Keyring,
}

/// The database behind it.
enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

/// The statements over many rows, made once.
struct Statements {
    ingest: ingest::Statements,
    dedup: sqlite::Statements,
    claim: claim::Statements,
    finish: finish::Statements,
    history: history::Statements,
    hosts: hosts::Statements,
    order: order::Statements,
    state: state::Statements,
    events: events::Statements,
    counts: counts::Statements,
    retention: retention::Statements,
    rollups: rollups::Statements,
    slices: slices::Statements,
    postgres: postgres::Statements,
    quarantine: quarantine::Statements,
    search: search::Statements,
}

impl Statements {
    const fn new() -> Self {
        Self {
            ingest: ingest::Statements::new(),
            dedup: sqlite::Statements::new(),
            claim: claim::Statements::new(),
            finish: finish::Statements::new(),
            history: history::Statements::new(),
            hosts: hosts::Statements::new(),
            order: order::Statements::new(),
            state: state::Statements::new(),
            events: events::Statements::new(),
            counts: counts::Statements::new(),
            retention: retention::Statements::new(),
            rollups: rollups::Statements::new(),
            slices: slices::Statements::new(),
            postgres: postgres::Statements::new(),
            quarantine: quarantine::Statements::new(),
            search: search::Statements::new(),
        }
    }
}

impl Store {
    /// Opens the database, creating or migrating its tables.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Open`] or [`StoreError::Migrate`].
    pub async fn open(settings: &Settings, clock: Clock) -> Result<Self, StoreError> {
        let statements = Arc::new(Statements::new());
        let keyring = seal::Keyring::new(settings.keys.expose());
        let inner = match &settings.database {
            Database::Sqlite(path) => {
                let opened = sqlite::open(path).await?;
                let source = writer::Source::Sqlite {
                    options: Box::new(opened.options),
                    connection: Some(opened.writer),
                    recent: sqlite::Recent::new(settings.deliveries_gathered),
                };
                let started = Arc::clone(&statements);
                let writer = writer::Writer::start(source, started, clock.clone())?;
                Inner {
                    engine: Engine::Sqlite(sqlite::Engine {
                        writer,
                        for_copies: opened.for_copies,
                        log_file: opened.log_file,
                        _lock: opened.lock,
                    }),
                    readers: tx::Readers::Sqlite(opened.readers),
                    run_readers: tx::Readers::Sqlite(opened.run_readers),
                    epoch: Epoch(rand::random::<i64>()),
                    claims: AtomicI64::new(0),
                    kept_counts: counts::Kept::default(),
                    clock,
                    statements,
                    keyring,
                }
            }
            Database::Postgres(url) => {
                let opened = postgres::open(url, settings, clock).await?;
                let source = writer::Source::Postgres(opened.sessions.clone());
                let (started, clock) = (Arc::clone(&statements), opened.clock.clone());
                let writer = writer::Writer::start(source, started, clock)?;
                let engine =
                    postgres::Engine::new(opened.sessions, writer, opened.heard, url.clone());
                Inner {
                    engine: Engine::Postgres(engine),
                    readers: opened.readers,
                    run_readers: opened.run_readers,
                    epoch: Epoch(rand::random::<i64>()),
                    claims: AtomicI64::new(0),
                    kept_counts: counts::Kept::default(),
                    clock: opened.clock,
                    statements,
                    keyring,
                }
            }
        };
        let store = Self(Arc::new(inner));
        if let Engine::Sqlite(_) = &store.0.engine {
            // Nobody else has the file: every other start of a host is over.
            store.end_other_leases().await?;
        }
        Ok(store)
    }

    /// Brings the tables up to date and closes again: `hookbay migrate`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate(settings: &Settings) -> Result<(), StoreError> {
        Self::open(settings, Clock::system()).await?.close().await;
        Ok(())
    }

    /// Whether the database answers, within two seconds.
    pub async fn answers(&self) -> bool {
        // Not on the readers of operators: a long list is no reason not to be ready.
        let probe = self.run_readers().fetch_all(sql::sql("select 1"));
        let answered = tokio::time::timeout(std::time::Duration::from_secs(2), probe).await;
        let can_write = match &self.0.engine {
            // A full disk answers questions all the same.
            Engine::Sqlite(engine) => engine.writer.is_well(),
            Engine::Postgres(_) => true,
        };
        can_write && matches!(answered, Ok(Ok(_)))
    }

    /// Finishes what was begun and closes the database.
    pub async fn close(&self) {
        if let Engine::Postgres(_) = &self.0.engine {
            // The readers' connections are the writer's too.
            self.0.writer().close().await;
        }
        // On SQLite the writer is last: as the only user it moves the log into the file.
        let readers = async {
            self.0.readers.close().await;
            self.0.run_readers.close().await;
        };
        if tokio::time::timeout(READERS_GRACE, readers).await.is_err() {
            tracing::warn!("a query was still running when the database was closed");
        }
        self.0.writer().close().await;
    }

    /// This start of this host.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Whether other hosts may use the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.engine, Engine::Postgres(_))
    }

    /// The clock that the store goes by: on Postgres the database's, so that hosts
    /// whose own clocks differ agree on what is due and whose lease is over.
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Asks a database that has a clock of its own what time it is.
    async fn hear_clock(&self) -> Result<(), StoreError> {
        match &self.0.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.hear_clock().await,
        }
    }

    /// Listens for what other hosts say; none where there can be no others, or no way
    /// to hear them.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn listen(&self) -> Result<Option<WakeListener>, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(engine) => engine.listen().await,
        }
    }

    /// Applies a function in a transaction and commits it. It may be applied more
    /// than once, each time after all before it was undone.
    async fn write<T, F>(&self, apply: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut tx::Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.writer.write(apply).await,
            Engine::Postgres(engine) => {
                let written = engine.sessions.write(apply).await;
                // It may have given runs back, or let some of an ordering key go.
                engine.floors().all_stale();
                written
            }
        }
    }

    fn readers(&self) -> &tx::Readers {
        &self.0.readers
    }

    fn run_readers(&self) -> &tx::Readers {
        &self.0.run_readers
    }
}

impl Inner {
    fn writer(&self) -> &writer::Writer {
        match &self.engine {
            Engine::Sqlite(engine) => &engine.writer,
            Engine::Postgres(engine) => &engine.writer,
        }
    }
}

/// What is stored is not what was ever written.
fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged(DamagedRequest::new(what))
}
