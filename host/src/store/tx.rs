//! Transactions that cannot leak, and connections that read.

use sqlx::{Executor as _, SqliteConnection, SqlitePool};
use tokio::time::timeout;

use crate::clock::Timestamp;

use super::StoreError;
use super::postgres::{Lent, Sessions, is_cut_off};
use super::sql::{Dialect, Row, Statement};

/// A connection of either engine.
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Box<Lent>),
}

/// An open transaction. Unless it is committed, its connection is closed when it is
/// dropped, whatever it was in the middle of: it is never used again with a
/// transaction open, not even if the future that had it was dropped.
pub(super) struct Tx {
    /// None only after the end.
    connection: Option<Connection>,
    /// Whether a pooler stands between: a named statement may not be there any
    /// more for the next transaction.
    is_pooled: bool,
    /// Whether each statement commits by itself.
    is_single: bool,
    /// The time that all of it happens at.
    pub(super) now: Timestamp,
}

impl Tx {
    /// Begins on SQLite, as its one writer.
    pub(super) async fn begin_sqlite(
        mut connection: SqliteConnection,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        connection.execute("begin immediate").await?;
        Ok(Self {
            connection: Some(Connection::Sqlite(connection)),
            is_pooled: false,
            is_single: false,
            now,
        })
    }

    /// Begins on Postgres with a statement such as `begin`.
    pub(super) async fn begin_postgres(
        connection: Lent,
        begin: &'static str,
        is_pooled: bool,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut tx = Self {
            connection: Some(Connection::Postgres(Box::new(connection))),
            is_pooled,
            is_single: false,
            now,
        };
        tx.command(begin).await?;
        Ok(tx)
    }

    /// A connection of Postgres for one statement, which commits by itself.
    pub(super) fn single_postgres(connection: Lent, now: Timestamp) -> Self {
        Self {
            connection: Some(Connection::Postgres(Box::new(connection))),
            is_pooled: false,
            is_single: true,
            now,
        }
    }

    /// Commits; a connection of SQLite is given back for the next.
    pub(super) async fn commit(mut self) -> Result<Option<SqliteConnection>, StoreError> {
        if !self.is_single {
            self.command("commit").await?;
        }
        Ok(match self.connection.take() {
            Some(Connection::Sqlite(connection)) => Some(connection),
            Some(Connection::Postgres(lent)) => {
                lent.give_back();
                None
            }
            None => None,
        })
    }

    /// Rolls back, so that the connection can be used again.
    pub(super) async fn roll_back(mut self) {
        let is_cut_off = match &self.connection {
            Some(Connection::Postgres(lent)) => lent.is_cut_off(),
            Some(Connection::Sqlite(_)) | None => false,
        };
        if is_cut_off || !self.is_single && self.command("rollback").await.is_err() {
            return;
        }
        if let Some(Connection::Postgres(lent)) = self.connection.take() {
            lent.give_back();
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.connection {
            Some(Connection::Postgres(_)) => Dialect::Postgres,
            Some(Connection::Sqlite(_)) | None => Dialect::Sqlite,
        }
    }

    /// Commands without parameters, several at once.
    pub(super) async fn command(&mut self, text: &'static str) -> Result<(), StoreError> {
        match self.connection()? {
            Connection::Sqlite(connection) => connection.execute(text).await.map(drop)?,
            Connection::Postgres(lent) => {
                let within = lent.answer_within();
                let done = timeout(within, lent.connection().execute(text)).await;
                lent.noted(done)?;
            }
        }
        Ok(())
    }

    /// Executes; returns how many rows were touched.
    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let is_pooled = self.is_pooled;
        Ok(match self.connection()? {
            Connection::Sqlite(connection) => statement
                .for_sqlite()
                .execute(connection)
                .await?
                .rows_affected(),
            Connection::Postgres(lent) => {
                let (query, within) = (statement.for_postgres(is_pooled), lent.answer_within());
                let done = timeout(within, query.execute(lent.connection())).await;
                lent.noted(done)?.rows_affected()
            }
        })
    }

    pub(super) async fn fetch_all(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let is_pooled = self.is_pooled;
        Ok(match self.connection()? {
            Connection::Sqlite(connection) => {
                let rows = statement.for_sqlite().fetch_all(connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(lent) => {
                let (query, within) = (statement.for_postgres(is_pooled), lent.answer_within());
                let rows = timeout(within, query.fetch_all(lent.connection())).await;
                lent.noted(rows)?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(statement).await?.into_iter().next())
    }

    /// The first row of a statement that always has one.
    pub(super) async fn fetch_one(&mut self, statement: Statement<'_>) -> Result<Row, StoreError> {
        let row = self.fetch_optional(statement).await?;
        row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        self.connection
            .as_mut()
            .ok_or(StoreError::Unavailable("the transaction is over"))
    }
}

/// Connections that read committed data.
#[derive(Clone)]
pub(super) enum Readers {
    Sqlite(SqlitePool),
    Postgres(Sessions),
}

impl Readers {
    pub(super) async fn fetch_all(&self, statement: Statement<'_>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => {
                let rows = statement.for_sqlite().fetch_all(pool).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(sessions) => match read(sessions, statement.clone()).await {
                // One that had been kept while the server went away; asking again does
                // no harm.
                Err(StoreError::Database(error)) if is_cut_off(&error) => {
                    read(sessions, statement).await?
                }
                rows => rows?,
            },
        })
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(statement).await?.into_iter().next())
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(sessions) => sessions.close().await,
        }
    }
}

async fn read(sessions: &Sessions, statement: Statement<'_>) -> Result<Vec<Row>, StoreError> {
    let mut tx = sessions.single().await?;
    let rows = tx.fetch_all(statement).await?;
    tx.commit().await?;
    Ok(rows)
}
