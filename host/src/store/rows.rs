//! Statements over many rows, such as `insert … <rows> …`.
//!
//! What costs is less the row than the way to the database and back, so many rows
//! go in one statement. On Postgres the rows are arrays, one per column, any number
//! of them in one text. On SQLite they are `values (…), (…), …`; each size's text
//! is made when it is first needed, and prepared once.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use super::StoreError;
use super::sql::{Column, Dialect, Row, Statement, Value};
use super::tx::Tx;

/// Most rows of one statement on SQLite; with the widest rows well under its bound
/// of 32,766 values.
const SQLITE_ROWS_MAX: usize = 128;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

/// A statement that takes a varying number of rows.
pub(super) struct ManyRows {
    head: &'static str,
    columns: &'static [Kind],
    tail: &'static str,
    /// What Postgres adds, to lock the rows that it reads.
    locking: &'static str,
    /// SQLite's text for one row, for two, and so on.
    texts: [OnceLock<Arc<str>>; SQLITE_ROWS_MAX],
    postgres: OnceLock<Arc<str>>,
}

/// A statement with its rows.
pub(super) struct Filled<'s, 'q> {
    statement: &'s ManyRows,
    values: Vec<Value<'q>>,
}

impl ManyRows {
    /// A statement of `head`, rows of `columns`, and `tail`.
    pub(super) const fn new(
        head: &'static str,
        columns: &'static [Kind],
        tail: &'static str,
    ) -> Self {
        Self {
            head,
            columns,
            tail,
            locking: "",
            texts: [const { OnceLock::new() }; SQLITE_ROWS_MAX],
            postgres: OnceLock::new(),
        }
    }

    /// The same, which locks rows where rows can be locked.
    pub(super) const fn locking(mut self, locking: &'static str) -> Self {
        self.locking = locking;
        self
    }

    /// The statement with these rows.
    pub(super) fn with<'q, const WIDTH: usize>(
        &self,
        rows: impl IntoIterator<Item = [Value<'q>; WIDTH]>,
    ) -> Filled<'_, 'q> {
        Filled {
            statement: self,
            values: rows.into_iter().flatten().collect(),
        }
    }

    fn sqlite_text(&self, rows: usize) -> Arc<str> {
        let make = || {
            let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
            let rows = vec![row.as_str(); rows].join(", ");
            format!("{} values {rows} {}", self.head, self.tail).into()
        };
        Arc::clone(self.texts[rows - 1].get_or_init(make))
    }

    fn postgres_text(&self) -> Arc<str> {
        let make = || {
            let mut arrays = String::new();
            for (position, kind) in self.columns.iter().enumerate() {
                let kind = match kind {
                    Kind::Int => "bigint",
                    Kind::Text => "text",
                    Kind::Bytes => "bytea",
                };
                let comma = if position == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                write!(arrays, "{comma}${}::{kind}[]", position + 1).unwrap_or_default();
            }
            // SQLite's planner is told to begin with the rows; this one knows.
            let tail = self.tail.replace("cross join", "join");
            let (head, locking) = (self.head, self.locking);
            format!("{head} select * from unnest({arrays}) {tail}{locking}").into()
        };
        Arc::clone(self.postgres.get_or_init(make))
    }
}

impl<'q> Filled<'_, 'q> {
    /// Executes; returns how many rows were touched.
    pub(super) async fn execute(self, tx: &mut Tx) -> Result<u64, StoreError> {
        let mut touched = 0;
        for statement in self.statements(tx.dialect()) {
            touched += tx.execute(statement).await?;
        }
        Ok(touched)
    }

    pub(super) async fn fetch_all(self, tx: &mut Tx) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for statement in self.statements(tx.dialect()) {
            rows.extend(tx.fetch_all(statement).await?);
        }
        Ok(rows)
    }

    /// The statements that this is: none without rows.
    pub(super) fn statements(self, dialect: Dialect) -> Vec<Statement<'q>> {
        let width = self.statement.columns.len();
        if self.values.is_empty() {
            return Vec::new();
        }
        if dialect == Dialect::Postgres {
            let columns = columns(self.statement.columns, self.values);
            return vec![Statement::made(self.statement.postgres_text(), columns)];
        }
        let mut values = self.values.into_iter().peekable();
        let mut statements = Vec::new();
        while values.peek().is_some() {
            let piece: Vec<Value<'q>> = values.by_ref().take(SQLITE_ROWS_MAX * width).collect();
            let text = self.statement.sqlite_text(piece.len() / width);
            statements.push(Statement::made(text, piece));
        }
        statements
    }
}

/// Rows as columns.
pub(super) fn columns<'q>(kinds: &[Kind], values: Vec<Value<'q>>) -> Vec<Value<'q>> {
    let rows = values.len() / kinds.len();
    let mut columns: Vec<Column<'q>> = kinds
        .iter()
        .map(|kind| match kind {
            Kind::Int => Column::Ints(Vec::with_capacity(rows)),
            Kind::Text => Column::Texts(Vec::with_capacity(rows)),
            Kind::Bytes => Column::Bytes(Vec::with_capacity(rows)),
        })
        .collect();
    for (position, value) in values.into_iter().enumerate() {
        let place = position % kinds.len();
        match (&mut columns[place], value) {
            (Column::Ints(column), Value::Int(value)) => column.push(value),
            (Column::Texts(column), Value::Text(value)) => column.push(value),
            (Column::Bytes(column), Value::Bytes(value)) => column.push(value),
            // A value of another kind than its column's: the tests of every
            // statement would meet it.
            (Column::Ints(column), _) => column.push(None),
            (Column::Texts(column), _) => column.push(None),
            (Column::Bytes(column), _) => column.push(None),
        }
    }
    columns.into_iter().map(Value::Column).collect()
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Kind, ManyRows};

    #[test]
    fn any_number_of_rows_splits() {
        let statement = ManyRows::new("insert into t", &[Kind::Int, Kind::Text], "returning a");
        for (count, sqlite, postgres) in [(0, 0, 0), (1, 1, 1), (128, 1, 1), (300, 3, 1)] {
            let rows = || (0..count).map(|n| [i64::from(n).into(), "x".into()]);
            assert_eq!(
                statement.with(rows()).statements(Dialect::Sqlite).len(),
                sqlite
            );
            let one = statement.with(rows()).statements(Dialect::Postgres);
            assert_eq!(one.len(), postgres);
        }
    }

    #[test]
    fn each_engine_has_its_text() {
        let statement = ManyRows::new("insert into t", &[Kind::Int, Kind::Text], "returning a");
        assert_eq!(
            &*statement.sqlite_text(2),
            "insert into t values (?, ?), (?, ?) returning a"
        );
        assert_eq!(
            &*statement.postgres_text(),
            "insert into t select * from unnest($1::bigint[], $2::text[]) returning a"
        );
    }
}
