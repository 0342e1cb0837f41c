//! Group commit: many small writes share one transaction.
//!
//! On SQLite everything that is written goes through here: a thread owns the only
//! connection which writes. It is a thread of its own, not a task among others:
//! between two statements it must not queue behind requests, because all of them
//! wait for it. On Postgres, which has many writers, only the ends of runs do, in a
//! task.
//!
//! Each cycle takes whatever waits, applies it in one transaction (events first,
//! so that acknowledgements are quick; then finished runs, claims, the rest),
//! commits once, and answers. Under load a cycle carries many operations, alone
//! one; there is no delay to tune. When a cycle fails, each of its operations is
//! tried again on its own, so that one that cannot succeed sinks no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;

use super::claim::{Claim, Claims};
use super::finish::{Finish, Settled};
use super::ingest::{Ingested, NewEvent, Parts};
use super::postgres::Sessions;
use super::quarantine::{Release, Released};
use super::sqlite::{Change, Recent};
use super::tx::Tx;
use super::{Statements, StoreError};

mod cycle;

use cycle::{Applied, Cycle};

/// Operations that may wait; beyond it callers wait for room.
const QUEUE: usize = 1024;
/// Operations of one cycle, so that its transaction stays short.
const CYCLE: usize = 512;

/// A cycle of so many says that there is load.
const BUSY_FROM: usize = 4;
/// Operations that are worth waiting for, and how long.
const GATHERED: usize = 48;
const GATHER: Duration = Duration::from_millis(4);

/// Where an operation's caller waits.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to write.
pub(super) enum Work {
    /// None answers an event that the database refuses although it takes the others.
    Ingest(Vec<NewEvent>, Reply<Vec<Option<Ingested>>>),
    Finish(Box<Finish>, Reply<Settled>),
    Claim(Claim, Reply<Claims>),
    /// On SQLite only.
    Release(Box<Release>, Reply<Released>),
    Other(Box<dyn OtherWork>),
    /// Everything before it is committed; the writer ends.
    Close,
}

/// A rare write, such as a replay: applied within a cycle, answered after it.
pub(super) trait OtherWork: Send {
    fn apply<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>>;
    fn answer(self: Box<Self>, result: Result<(), StoreError>);
}

/// The handle through which everything is written.
pub(super) struct Writer {
    queue: mpsc::Sender<Work>,
    /// Whether the last transaction was committed.
    is_well: Arc<AtomicBool>,
    /// Ends when the thread does.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// [`std::io::Error`] if the machine has no thread for it.
    pub(super) fn start(
        source: Source,
        statements: Arc<Statements>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (alive, ended) = oneshot::channel::<()>();
        let is_well = Arc::new(AtomicBool::new(true));
        let has_thread = matches!(source, Source::Sqlite { .. });
        let write_loop = Loop {
            source,
            statements,
            clock,
            is_well: Arc::clone(&is_well),
        };
        let write = async move {
            write_loop.run(waiting).await;
            // Nobody may be waiting for the end.
            drop(alive);
        };
        if has_thread {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()?;
            std::thread::Builder::new()
                .name("hookbay-writer".into())
                .spawn(move || runtime.block_on(write))?;
        } else {
            tokio::spawn(write);
        }
        Ok(Self {
            queue,
            is_well,
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Whether it takes work and its last transaction was committed.
    pub(super) fn is_well(&self) -> bool {
        !self.queue.is_closed() && self.is_well.load(Ordering::Relaxed)
    }

    /// Hands over work and waits until it is committed.
    pub(super) async fn submit<T>(
        &self,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(work(reply)).await.map_err(|_| CLOSING)?;
        answer.await.map_err(|_| CLOSING)?
    }

    /// The same for a rare write given as a function of the transaction.
    pub(super) async fn write<T, F>(&self, apply: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.submit(|reply| {
            Work::Other(Box::new(ByFunction {
                apply,
                output: None,
                reply,
            }))
        })
        .await
    }

    /// Commits what waits and ends.
    pub(super) async fn close(&self) {
        let ended = self.ended.lock().ok().and_then(|mut ended| ended.take());
        if let Some(ended) = ended
            && self.queue.send(Work::Close).await.is_ok()
        {
            // The sender is only ever dropped, at the end.
            ended.await.unwrap_or(());
        }
    }
}

const CLOSING: StoreError = StoreError::Unavailable("it is closing");

struct ByFunction<T, F> {
    apply: F,
    output: Option<T>,
    reply: Reply<T>,
}

impl<T, F> OtherWork for ByFunction<T, F>
where
    T: Send,
    F: for<'c> FnMut(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send,
{
    fn apply<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.output = Some((self.apply)(tx).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) {
        let output = self.output;
        respond(self.reply, result.and_then(|()| output.ok_or(CLOSING)));
    }
}

/// Answers; a caller that went away is no concern of the writer's.
fn respond<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    drop(reply.send(result));
}

/// Where a writer has its transactions from.
pub(super) enum Source {
    /// The one connection that writes.
    Sqlite {
        options: Box<SqliteConnectOptions>,
        /// None after a failure: a connection that may be in the middle of something
        /// is not used again.
        connection: Option<SqliteConnection>,
        /// The newest deliveries, as of the last commit.
        recent: Recent,
    },
    /// Any connection.
    Postgres(Sessions),
}

impl Source {
    async fn begin(&mut self, clock: &Clock) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite {
                options,
                connection,
                recent,
            } => {
                let connection = match connection.take() {
                    Some(connection) => connection,
                    None => {
                        recent.doubt();
                        options.connect().await?
                    }
                };
                let mut tx = Tx::begin_sqlite(connection, clock.now()).await?;
                recent.catch_up(&mut tx).await?;
                Ok(tx)
            }
            Self::Postgres(sessions) => sessions.begin().await,
        }
    }

    /// What only the writer of SQLite has to know.
    fn recent(&self) -> Option<&Recent> {
        match self {
            Self::Sqlite { recent, .. } => Some(recent),
            Self::Postgres(_) => None,
        }
    }

    /// Goes on with the connection of a transaction that was committed.
    fn committed(&mut self, connection: Option<SqliteConnection>, change: Option<Change>) {
        if let Self::Sqlite {
            connection: place,
            recent,
            ..
        } = self
        {
            *place = connection;
            if let Some(change) = change {
                recent.accept(change);
            }
        }
    }
}

/// The writer's side of the queue.
struct Loop {
    source: Source,
    statements: Arc<Statements>,
    clock: Clock,
    is_well: Arc<AtomicBool>,
}

impl Loop {
    async fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        let mut batch = Vec::with_capacity(CYCLE);
        let mut is_busy = false;
        while waiting.recv_many(&mut batch, CYCLE).await > 0 {
            if is_busy {
                self.gather(&mut waiting, &mut batch).await;
            }
            is_busy = batch.len() >= BUSY_FROM;
            let mut cycle = Cycle::default();
            for work in batch.drain(..) {
                cycle.add(work);
            }
            let is_last = cycle.is_last;
            match self.commit(&mut cycle).await {
                Ok(applied) => cycle.answer(applied),
                Err(error) if cycle.len() == 1 => self.refuse(cycle, error).await,
                Err(error) => {
                    let operations = cycle.len();
                    tracing::warn!(%error, operations, "a transaction failed; its operations are tried one by one");
                    for mut alone in cycle.one_by_one() {
                        match self.commit(&mut alone).await {
                            Ok(applied) => alone.answer(applied),
                            Err(error) => self.refuse(alone, error).await,
                        }
                    }
                }
            }
            if is_last {
                break;
            }
        }
        waiting.close();
        if let Source::Sqlite {
            connection: Some(connection),
            ..
        } = self.source
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }

    /// Answers the one operation of a cycle that failed. Of a batch of events in which
    /// the database refuses a row, the others are stored.
    async fn refuse(&mut self, mut cycle: Cycle, error: StoreError) {
        match cycle.take_batch() {
            Some((batch, reply)) if error.is_refused_row() => {
                respond(reply, self.ingest_in_parts(&batch).await);
            }
            Some((_, reply)) => respond(reply, Err(error)),
            None => cycle.refuse(error),
        }
    }

    async fn ingest_in_parts(
        &mut self,
        batch: &[NewEvent],
    ) -> Result<Vec<Option<Ingested>>, StoreError> {
        let mut parts = Parts::of(batch);
        while let Some(part) = parts.next() {
            let stored = self.ingest_part(part).await;
            parts.tried(part, stored.map(|all| all.into_iter().map(Some).collect()))?;
        }
        Ok(parts.answers())
    }

    async fn ingest_part(&mut self, part: &[NewEvent]) -> Result<Vec<Ingested>, StoreError> {
        let mut tx = self.source.begin(&self.clock).await?;
        let Some(recent) = self.source.recent() else {
            return Err(StoreError::Unavailable(
                "events are not stored by its writer",
            ));
        };
        let (mut stored, change) = self
            .statements
            .ingest_sqlite(&mut tx, &[part], recent)
            .await?;
        let committed = tx.commit().await?;
        self.source.committed(committed, change);
        Ok(stored.pop().unwrap_or_default())
    }

    /// On Postgres each statement is a way to the server and back, whatever it carries:
    /// under load, a moment's wait for more of it is time gained.
    async fn gather(&self, waiting: &mut mpsc::Receiver<Work>, batch: &mut Vec<Work>) {
        if !matches!(self.source, Source::Postgres(_)) {
            return;
        }
        let more = async {
            while batch.len() < GATHERED {
                let room = CYCLE - batch.len();
                if waiting.recv_many(batch, room).await == 0 {
                    break;
                }
            }
        };
        // What came by then is in the batch.
        tokio::time::timeout(GATHER, more).await.unwrap_or(());
    }

    /// Commits a cycle; a connection on which that failed is replaced by a new
    /// one, since what state it is in cannot be known.
    async fn commit(&mut self, cycle: &mut Cycle) -> Result<Applied, StoreError> {
        let mut committed = self.try_commit(cycle).await;
        if let (Err(error), Source::Postgres(sessions)) = (&committed, &self.source)
            && sessions.is_worth_another(error).await
        {
            committed = self.try_commit(cycle).await;
        }
        self.is_well.store(committed.is_ok(), Ordering::Relaxed);
        committed
    }

    async fn try_commit(&mut self, cycle: &mut Cycle) -> Result<Applied, StoreError> {
        let mut tx = self.source.begin(&self.clock).await?;
        let recent = self.source.recent();
        let (applied, change) = cycle.apply(&mut tx, &self.statements, recent).await?;
        let committed = tx.commit().await?;
        self.source.committed(committed, change);
        Ok(applied)
    }
}
