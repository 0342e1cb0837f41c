//! Opens Postgres: options, checks, migrations, sessions.
//!
//! Any number of hosts share one database. Nothing here relies on a session: every
//! transaction sets what it needs, so that a pooler in transaction mode may stand
//! between (`pooler = true`).

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

use crate::clock::{Clock, HeardClock, Timestamp};
use crate::config::PostgresUrl;

use super::claim::Floors;
use super::refusal::refused;
use super::sql::sql;
use super::tx::Readers;
use super::writer::Writer;
use super::{Settings, StoreError};

mod ingest;
mod migrate;
mod moved;
pub(super) mod partitions;
mod release;
mod sessions;
mod wake;

pub(super) use ingest::Statements;
pub(super) use sessions::{Lent, Sessions, is_cut_off};
pub use wake::{Wake, WakeListener};

/// The oldest server that is known to work (`server_version_num`).
const VERSION_MIN: i32 = 140_000;
/// How much longer than the server lets a statement take its answer is waited for.
const SERVER_FIRST: Duration = Duration::from_secs(5);
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
    /// Where this host's claims begin.
    pub(super) floors: Mutex<Floors>,
    /// The database's clock, unless a test set one.
    heard: Option<Arc<HeardClock>>,
    url: PostgresUrl,
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
    let refuse = |error: StoreError| refused(url, error, &migrate::MIGRATOR);
    let failed = |error: sqlx::Error| refuse(error.into());
    let options = options(url, settings.is_pooled).map_err(failed)?;
    let connect = options.connect();
    let mut connection = tokio::time::timeout(settings.pool.acquire_timeout, connect)
        .await
        .map_err(|_| StoreError::Open {
            path: url.to_string(),
            reason: format!(
                "no answer within {:?}; check host and port",
                settings.pool.acquire_timeout
            ),
        })?
        .map_err(failed)?;
    check_server(url, settings, &mut connection)
        .await
        .map_err(refuse)?;
    migrate::run(&mut connection, settings.lock_patience)
        .await
        .map_err(refuse)?;
    let heard = clock
        .is_of_machine()
        .then(|| Arc::new(HeardClock::new(clock.now())));
    let clock = match &heard {
        Some(heard) => {
            heard.hear(time_of(&mut connection).await.map_err(refuse)?);
            let heard = Arc::clone(heard);
            Clock::from_fn(move || heard.now())
        }
        None => clock,
    };
    partitions::prepare(&mut connection, clock.now())
        .await
        .map_err(refuse)?;
    moved::go_on(&mut connection, settings.lock_patience)
        .await
        .map_err(refuse)?;
    connection.close().await.map_err(failed)?;
    let statement_timeout = settings.pool.statement_timeout.as_millis().to_string();
    let bounded = if settings.is_pooled {
        options
    } else {
        options.options([("statement_timeout", statement_timeout)])
    };
    let sessions = |connections: u32| {
        let patience = settings.pool.acquire_timeout;
        Sessions::new(
            bounded.clone(),
            connections.max(1),
            patience,
            settings.pool.statement_timeout + SERVER_FIRST,
            settings.is_pooled,
            clock.clone(),
        )
    };
    // A third for operators, so that no page of theirs holds runs up.
    let for_operators = settings.pool.connections / 3;
    let for_runs = sessions(settings.pool.connections - for_operators);
    Ok(Opened {
        readers: Readers::Postgres(sessions(for_operators)),
        run_readers: Readers::Postgres(for_runs.clone()),
        sessions: for_runs,
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
         has_schema_privilege(current_schema(), 'create') as may_create, pg_is_in_recovery() as is_replica, \
         current_user::text as who",
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
        return Err(refuse(format!(
            "user `{0}` may not create tables; as the database's owner: `grant create, usage on schema public to {0}`",
            shown.try_get::<String, _>("who")?
        )));
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
            floors: Mutex::default(),
            heard,
            url,
        }
    }

    /// Where this host's claims begin.
    pub(super) fn floors(&self) -> MutexGuard<'_, Floors> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.sessions.is_pooled() {
            return Ok(None);
        }
        WakeListener::connect(&self.url).await.map(Some)
    }
}
