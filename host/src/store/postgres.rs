//! Opens Postgres: options, checks, migrations, sessions.
//!
//! Any number of hosts share one database. Nothing here relies on a session: every
//! transaction sets what it needs, so that a pooler in transaction mode may stand
//! between (`pooler = true`).

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _};

use crate::clock::{Clock, HeardClock, Timestamp};
use crate::config::PostgresUrl;

use super::sql::sql;
use super::tx::{Readers, Tx};
use super::writer::Writer;
use super::{Settings, StoreError};

mod ingest;
mod migrate;
mod partitions;
mod wake;

pub(super) use ingest::Statements;
pub use wake::{Wake, WakeListener};

/// The oldest server that is known to work (`server_version_num`).
const VERSION_MIN: i32 = 140_000;
/// Times that a transaction is tried which others got in the way of.
const TRIES: u32 = 5;
/// What every session of ours is like. Plans are pinned to indexes: each statement
/// of the hot path touches few rows of tables that may be huge, and a plan made
/// while they were small must not scan them later. A transaction whose host was
/// frozen is ended by the server, so that its locks hold nobody up.
const SESSION: [(&str, &str); 6] = [
    ("idle_in_transaction_session_timeout", "10s"),
    ("work_mem", "32MB"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// An open database.
pub(super) struct Engine {
    /// For everything that writes.
    pub(super) sessions: Sessions,
    /// Records the ends of runs, many at once.
    pub(super) writer: Writer,
    /// The database's clock, unless a test set one.
    heard: Option<Arc<HeardClock>>,
    url: PostgresUrl,
}

/// Where transactions come from.
#[derive(Clone)]
pub(super) struct Sessions {
    pool: PgPool,
    is_pooled: bool,
    clock: Clock,
}

/// What [`open`] made.
pub(super) struct Opened {
    pub(super) sessions: Sessions,
    pub(super) readers: Readers,
    pub(super) run_readers: Readers,
    pub(super) heard: Option<Arc<HeardClock>>,
    pub(super) clock: Clock,
}

/// Connects, checks the server, and brings the tables up to date.
pub(super) async fn open(
    url: &PostgresUrl,
    settings: &Settings,
    clock: Clock,
) -> Result<Opened, StoreError> {
    let failed = |error: sqlx::Error| StoreError::Open {
        path: url.to_string(),
        reason: error.to_string(),
    };
    let options = options(url, settings.is_pooled).map_err(failed)?;
    let connect = options.connect();
    let mut connection = tokio::time::timeout(settings.pool.acquire_timeout, connect)
        .await
        .map_err(|_| StoreError::Open {
            path: url.to_string(),
            reason: format!("no answer within {:?}", settings.pool.acquire_timeout),
        })?
        .map_err(failed)?;
    check_server(url, settings, &mut connection).await?;
    migrate::run(&mut connection).await?;
    let heard = clock
        .is_system()
        .then(|| Arc::new(HeardClock::new(clock.now())));
    let clock = match &heard {
        Some(heard) => {
            heard.hear(time_of(&mut connection).await?);
            let heard = Arc::clone(heard);
            Clock::from_fn(move || heard.now())
        }
        None => clock,
    };
    partitions::prepare(&mut connection, clock.now()).await?;
    connection.close().await.map_err(failed)?;
    let pool = |connections: u32| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(settings.pool.acquire_timeout)
            .idle_timeout(Duration::from_mins(5))
    };
    let statement_timeout = format!("{}", settings.pool.statement_timeout.as_millis());
    let bounded = |options: PgConnectOptions| {
        if settings.is_pooled {
            options
        } else {
            options.options([("statement_timeout", statement_timeout.as_str())])
        }
    };
    // A third for operators, so that no page of theirs holds runs up.
    let for_operators = (settings.pool.connections / 3).max(1);
    let for_runs = (settings.pool.connections - for_operators).max(1);
    let runs = pool(for_runs).connect_lazy_with(bounded(options.clone()));
    let operators = pool(for_operators).connect_lazy_with(bounded(options));
    let readers = |pool: &PgPool| Readers::Postgres {
        pool: pool.clone(),
        is_pooled: settings.is_pooled,
    };
    Ok(Opened {
        readers: readers(&operators),
        run_readers: readers(&runs),
        sessions: Sessions {
            pool: runs,
            is_pooled: settings.is_pooled,
            clock: clock.clone(),
        },
        heard,
        clock,
    })
}

fn options(url: &PostgresUrl, is_pooled: bool) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url.expose())?
        .application_name("hookbay")
        .disable_statement_logging();
    Ok(if is_pooled {
        // A pooler refuses what it does not know, and has no place for statements
        // with names.
        options.statement_cache_capacity(0)
    } else {
        options.statement_cache_capacity(500).options(SESSION)
    })
}

/// Refuses servers that would lose what was acknowledged, or are too old.
async fn check_server(
    url: &PostgresUrl,
    settings: &Settings,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let refuse = |reason: String| StoreError::Open {
        path: url.to_string(),
        reason,
    };
    let shown = sqlx::raw_sql(
        "select current_setting('server_version_num')::int as version, current_setting('fsync') as fsync, \
         current_setting('full_page_writes') as pages, current_setting('synchronous_commit') as synchronous, \
         has_schema_privilege(current_schema(), 'create') as may_create, pg_is_in_recovery() as is_replica",
    )
    .fetch_one(connection)
    .await?;
    let version: i32 = shown.try_get("version")?;
    if version < VERSION_MIN {
        return Err(refuse(format!(
            "PostgreSQL {} is too old; {} or newer is needed",
            version / 10_000,
            VERSION_MIN / 10_000
        )));
    }
    if shown.try_get::<bool, _>("is_replica")? {
        return Err(refuse("the server is a read-only replica".to_owned()));
    }
    if shown.try_get::<Option<bool>, _>("may_create")? != Some(true) {
        return Err(refuse(
            "the user may not create tables: `grant create on schema public to …` is missing"
                .to_owned(),
        ));
    }
    for (setting, column) in [
        ("fsync", "fsync"),
        ("full_page_writes", "pages"),
        ("synchronous_commit", "synchronous"),
    ] {
        let value: String = shown.try_get(column)?;
        if value == "off" && !settings.allow_unsafe {
            return Err(refuse(format!(
                "the server has `{setting} = off`, so a crash of it loses webhooks that were acknowledged; \
                 turn it on, or set `allow_unsafe_database = true`"
            )));
        }
    }
    Ok(())
}

async fn time_of(connection: &mut PgConnection) -> Result<Timestamp, StoreError> {
    let row =
        sqlx::raw_sql("select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms")
            .fetch_one(connection)
            .await?;
    Ok(Timestamp::from_millis(row.try_get("now_ms")?))
}

impl Engine {
    pub(super) fn new(
        sessions: Sessions,
        writer: Writer,
        heard: Option<Arc<HeardClock>>,
        url: PostgresUrl,
    ) -> Self {
        Self {
            sessions,
            writer,
            heard,
            url,
        }
    }

    /// Asks the database for its time.
    pub(super) async fn hear_clock(&self) -> Result<(), StoreError> {
        let Some(heard) = &self.heard else {
            return Ok(());
        };
        let mut tx = self.sessions.single().await?;
        let now =
            sql("select cast(extract(epoch from clock_timestamp()) * 1000 as bigint) as now_ms");
        let now = tx.fetch_one(now).await?.time("now_ms")?;
        tx.commit().await?;
        heard.hear(now);
        Ok(())
    }

    /// Listens for what other hosts say; none behind a pooler, which has no sessions
    /// to listen in.
    pub(super) async fn listen(&self) -> Result<Option<WakeListener>, StoreError> {
        if self.sessions.is_pooled {
            return Ok(None);
        }
        WakeListener::connect(&self.url).await.map(Some)
    }
}

impl Sessions {
    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let begin = if self.is_pooled {
            "begin; set local idle_in_transaction_session_timeout = '10s'"
        } else {
            "begin"
        };
        let connection = self.pool.acquire().await?;
        Tx::begin_postgres(connection, begin, self.is_pooled, self.clock.now()).await
    }

    /// A connection for one statement, which commits by itself.
    pub(super) async fn single(&self) -> Result<Tx, StoreError> {
        if self.is_pooled {
            return self.begin().await;
        }
        let connection = self.pool.acquire().await?;
        Ok(Tx::single_postgres(connection, self.clock.now()))
    }

    /// Applies a function in a transaction of its own, again where others got in
    /// its way.
    pub(super) async fn write<T, F>(&self, mut apply: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        let mut tried = 1;
        loop {
            let mut tx = self.begin().await?;
            let applied = match apply(&mut tx).await {
                Ok(output) => tx.commit().await.map(|_| output),
                Err(error) => {
                    tx.roll_back().await;
                    Err(error)
                }
            };
            match applied {
                Err(error) if tried < TRIES && self.is_worth_another(&error).await => tried += 1,
                applied => return applied,
            }
        }
    }

    /// Whether a failed transaction may succeed the next time; makes it so where a
    /// partition was missing.
    pub(super) async fn is_worth_another(&self, error: &StoreError) -> bool {
        let StoreError::Database(sqlx::Error::Database(error)) = error else {
            return false;
        };
        match error.code().as_deref() {
            // serialization_failure, deadlock_detected
            Some("40001" | "40P01") => true,
            // check_violation: no partition for a row.
            Some("23514") => match self.pool.acquire().await {
                Ok(mut connection) => {
                    let now = self.clock.now();
                    partitions::prepare(&mut connection, now).await.is_ok()
                }
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// Makes the partitions of the days to come.
    pub(super) async fn prepare_partitions(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        partitions::prepare(&mut connection, self.clock.now()).await
    }
}
