//! What a store is opened with.

use std::time::Duration;

use crate::config::{Config, Database, EncryptionKeys, PoolConfig};

/// With a million deliveries known, a dozen of these go into each page that is written.
const DELIVERIES_GATHERED: usize = 1 << 17;

/// Hosts that run hold a table no longer than this, but by a transaction that hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// Which database, and how to use it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database.
    pub database: Database,
    /// Connections and timeouts, on Postgres.
    pub pool: PoolConfig,
    /// Whether a pooler in transaction mode stands before Postgres.
    pub is_pooled: bool,
    /// Whether a server that does not write to disk is good enough.
    pub allow_unsafe: bool,
    /// What stored requests are encrypted with.
    pub keys: EncryptionKeys,
    /// How long bringing the tables up to date waits for each lock, on Postgres.
    pub lock_patience: Duration,
    /// How many of the newest deliveries are gathered, on SQLite, before their keys are
    /// put in order: about 30 bytes of memory each, and the time of a start to read them.
    pub deliveries_gathered: usize,
}

impl Settings {
    /// A database with everything else as by default.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            pool: PoolConfig::default(),
            is_pooled: false,
            allow_unsafe: false,
            keys: EncryptionKeys::default(),
            lock_patience: LOCK_PATIENCE,
            deliveries_gathered: DELIVERIES_GATHERED,
        }
    }

    /// What the configuration says.
    pub fn of(config: &Config) -> Self {
        Self {
            database: config.database.clone(),
            pool: config.pool,
            is_pooled: config.pooler,
            allow_unsafe: config.allow_unsafe_database,
            keys: config.encryption.clone(),
            lock_patience: LOCK_PATIENCE,
            deliveries_gathered: DELIVERIES_GATHERED,
        }
    }
}
