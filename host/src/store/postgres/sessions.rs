//! Connections to Postgres: bounded in number, kept between uses, replaced when the
//! server was away.
//!
//! Not sqlx's pool: that asks the server at each return whether it is still there,
//! which doubles the way of every small statement. Here a connection is trusted until
//! it fails; then all that wait unused are dropped with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::clock::Clock;

use super::super::StoreError;
use super::super::tx::Tx;
use super::partitions;

/// Times that a transaction is tried which others got in the way of.
const TRIES: u32 = 5;
/// An unused connection is closed after this: a firewall may have forgotten it.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// How many times longer than a statement work on days and their files may take.
const LONG: u32 = 10;
/// What is said of a server that says nothing.
const SILENT: &str = "the database was silent for too long";

/// Where transactions come from.
#[derive(Clone)]
pub(in super::super) struct Sessions(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    /// One for each connection there may be.
    permits: Arc<Semaphore>,
    connections: u32,
    idle: Mutex<VecDeque<(PgConnection, Instant)>>,
    patience: Duration,
    /// How long a statement may go without an answer.
    answer_within: Duration,
    is_pooled: bool,
    clock: Clock,
}

/// A connection in use. It goes back only from [`Lent::give_back`]; dropped, it is
/// closed, whatever it was in the middle of.
pub(in super::super) struct Lent {
    connection: PgConnection,
    sessions: Sessions,
    /// Nothing more can be asked of it.
    is_cut_off: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    pub(in super::super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Keeps the connection for the next: it is in the middle of nothing.
    pub(in super::super) fn give_back(self) {
        let Self {
            connection,
            sessions,
            is_cut_off,
            _permit,
        } = self;
        if !is_cut_off {
            sessions.idle().push_back((connection, Instant::now()));
        }
    }

    /// How long a statement may go without an answer: a server that is there ends it by
    /// itself before that, and a way that has gone silent never says so.
    pub(in super::super) fn answer_within(&self) -> Duration {
        self.sessions.0.answer_within
    }

    /// Whether nothing more can be asked of it.
    pub(in super::super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Takes note of what a statement failed with, if it did, or that nothing was heard in
    /// time.
    pub(in super::super) fn noted<T>(
        &mut self,
        done: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, sqlx::Error> {
        let done = done.unwrap_or_else(|_| {
            let silent = format!("nothing was heard for {:?}", self.answer_within());
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, silent);
            Err(sqlx::Error::Io(error))
        });
        if done.as_ref().is_err_and(is_cut_off) {
            self.is_cut_off = true;
            // What happened to this connection has happened to the others.
            self.sessions.idle().clear();
        }
        done
    }
}

/// Whether the server, or the way to it, was lost; what became of the statement is
/// not known then.
pub(in super::super) fn is_cut_off(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // admin_shutdown, crash_shutdown, cannot_connect_now
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

impl Sessions {
    /// At most so many connections, made when they are needed; one is waited for as long as
    /// `patience`, an answer `answer_within`.
    pub(super) fn new(
        options: PgConnectOptions,
        connections: u32,
        patience: Duration,
        answer_within: Duration,
        is_pooled: bool,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            options,
            permits: Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(1))),
            connections,
            idle: Mutex::default(),
            patience,
            answer_within,
            is_pooled,
            clock,
        }))
    }

    /// Whether a pooler stands between.
    pub(in super::super) fn is_pooled(&self) -> bool {
        self.0.is_pooled
    }

    /// Begins a transaction.
    pub(in super::super) async fn begin(&self) -> Result<Tx, StoreError> {
        let begin = if self.0.is_pooled {
            // Sessions are not ours to set.
            "begin; set local idle_in_transaction_session_timeout = '10s'"
        } else {
            "begin"
        };
        let first = self.lend().await?;
        match Tx::begin_postgres(first, begin, self.0.is_pooled, self.0.clock.now()).await {
            // One that had been kept while the server went away: nothing was done yet.
            Err(StoreError::Database(error)) if is_cut_off(&error) => {
                let next = self.lend().await?;
                Tx::begin_postgres(next, begin, self.0.is_pooled, self.0.clock.now()).await
            }
            begun => begun,
        }
    }

    /// A connection for statements that each commit by themselves.
    pub(in super::super) async fn single(&self) -> Result<Tx, StoreError> {
        if self.0.is_pooled {
            // A statement without a name lives from parse to execute only within a
            // transaction: outside, the pooler may part the two.
            return self.begin().await;
        }
        let lent = self.lend().await?;
        Ok(Tx::single_postgres(lent, self.0.clock.now()))
    }

    /// Applies a function in a transaction of its own, again where others got in
    /// its way.
    pub(in super::super) async fn write<T, F>(&self, mut apply: F) -> Result<T, StoreError>
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
    pub(in super::super) async fn is_worth_another(&self, error: &StoreError) -> bool {
        let StoreError::Database(sqlx::Error::Database(error)) = error else {
            return false;
        };
        match error.code().as_deref() {
            // serialization_failure, deadlock_detected
            Some("40001" | "40P01") => true,
            // check_violation: no partition for a row.
            Some("23514") => self.prepare_partitions().await.is_ok(),
            _ => false,
        }
    }

    /// Makes the partitions of the days to come.
    pub(in super::super) async fn prepare_partitions(&self) -> Result<(), StoreError> {
        let mut lent = self.lend().await?;
        let (within, now) = (lent.answer_within(), self.0.clock.now());
        let prepared = timeout(within, partitions::prepare(lent.connection(), now)).await;
        prepared.map_err(|_| StoreError::Unavailable(SILENT))??;
        lent.give_back();
        Ok(())
    }

    /// A connection of its own, whose settings may be changed: it is closed after use.
    pub(in super::super) async fn own_connection(&self) -> Result<PgConnection, StoreError> {
        Ok(self.0.options.connect().await?)
    }

    /// Waits for long work on such a connection, unless nothing is heard of its end for very
    /// long: what it was doing is then for the next time.
    pub(in super::super) async fn long<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = timeout(self.0.answer_within * LONG, work).await;
        done.map_err(|_| StoreError::Unavailable(SILENT))?
    }

    /// A connection, kept or new.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let lend = async {
            let permits = Arc::clone(&self.0.permits);
            let permit = permits.acquire_owned().await;
            let permit = permit.map_err(|_| StoreError::Unavailable("it is closing"))?;
            let kept = self.idle().pop_back();
            let connection = match kept {
                Some((connection, since)) if since.elapsed() < IDLE_MAX => connection,
                // The others wait even longer.
                Some(_) => {
                    self.idle().clear();
                    self.0.options.connect().await?
                }
                None => self.0.options.connect().await?,
            };
            Ok(Lent {
                connection,
                sessions: self.clone(),
                is_cut_off: false,
                _permit: permit,
            })
        };
        timeout(self.0.patience, lend).await.map_err(|_| {
            StoreError::Unavailable("no connection to the database was free in time")
        })?
    }

    /// Waits until every connection is back and closes them.
    pub(in super::super) async fn close(&self) {
        // Nobody has one any more who could give it back.
        let all = self.0.permits.acquire_many(self.0.connections).await;
        self.0.permits.close();
        drop(all);
        let kept = std::mem::take(&mut *self.idle());
        for (connection, _) in kept {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection did not close cleanly");
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(PgConnection, Instant)>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
