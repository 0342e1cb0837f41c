//! One way to speak SQL to either engine: statements with bound values, rows read by
//! column. [`super::tx`] executes them.
//!
//! Text is shared wherever the dialects agree, which they do nearly everywhere:
//! parameters are `$1`, `$2`, numbers are 64-bit integers, bytes are bytes. Where
//! they do not, an operation asks for the [`Dialect`]. Not `sqlx::Any`: it knows
//! no arrays, without which a batch on Postgres is not one statement.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, ColumnIndex, Postgres, Row as _, SqlSafeStr as _, SqlStr, Sqlite};

use crate::clock::Timestamp;
use crate::event::EventId;

use super::StoreError;

/// Which SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A condition that a column is one of the numbers bound at `parameter`
    /// ([`Value::Ints`]).
    pub(super) fn is_one_of(self, column: &str, parameter: u32) -> String {
        match self {
            Self::Sqlite => format!("{column} in (select value from json_each(${parameter}))"),
            Self::Postgres => format!("{column} = any(${parameter})"),
        }
    }

    /// What locks the rows that a select reads, where rows can be locked.
    pub(super) const fn locking(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for update",
        }
    }
}

/// A bound value.
#[derive(Clone, Debug)]
pub(super) enum Value<'q> {
    Int(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
    /// For [`Dialect::is_one_of`].
    Ints(Vec<i64>),
    /// A column of rows, on Postgres only.
    Column(Column<'q>),
}

/// One column of many rows.
#[derive(Clone, Debug)]
pub(super) enum Column<'q> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'q, str>>>),
    Bytes(Vec<Option<Cow<'q, [u8]>>>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.millis()))
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Bytes(Some(value.into()))
    }
}

impl<'q> From<Option<&'q [u8]>> for Value<'q> {
    fn from(value: Option<&'q [u8]>) -> Self {
        Self::Bytes(value.map(Cow::Borrowed))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value.into()))
    }
}

impl From<Vec<i64>> for Value<'_> {
    fn from(value: Vec<i64>) -> Self {
        Self::Ints(value)
    }
}

/// A statement and what is bound to it. Its text is ours; every value is bound.
#[derive(Clone)]
pub(super) struct Statement<'q> {
    text: SqlStr,
    values: Vec<Value<'q>>,
    /// Whether Postgres plans it each time, for these values.
    is_planned_anew: bool,
}

/// A statement of this text.
pub(super) fn sql<'q>(text: impl Into<Cow<'static, str>>) -> Statement<'q> {
    Statement {
        text: AssertSqlSafe(text.into()).into_sql_str(),
        values: Vec::new(),
        is_planned_anew: false,
    }
}

impl<'q> Statement<'q> {
    /// Binds the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// A statement of a text made before, with all its values.
    pub(super) fn made(text: Arc<str>, values: Vec<Value<'q>>) -> Self {
        Self {
            text: AssertSqlSafe(text).into_sql_str(),
            values,
            is_planned_anew: false,
        }
    }

    pub(super) fn for_sqlite(self) -> Query<'q, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(self.text);
        for value in self.values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value.map(Cow::into_owned)),
                Value::Bytes(value) => query.bind(value.map(Cow::into_owned)),
                Value::Ints(values) => query.bind(super::state::json(&values)),
                // There are no arrays; `rows` makes none for SQLite.
                Value::Column(_) => query.bind(None::<i64>),
            };
        }
        query
    }

    pub(super) fn for_postgres(self, is_pooled: bool) -> Query<'q, Postgres, PgArguments> {
        let mut query = sqlx::query(self.text).persistent(!is_pooled && !self.is_planned_anew);
        for value in self.values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value.map(without_nul)),
                Value::Bytes(value) => query.bind(value.map(Cow::into_owned)),
                Value::Ints(values) => query.bind(values),
                Value::Column(Column::Ints(values)) => query.bind(values),
                Value::Column(Column::Texts(values)) => {
                    let values = values.into_iter().map(|value| value.map(without_nul));
                    query.bind(values.collect::<Vec<_>>())
                }
                Value::Column(Column::Bytes(values)) => {
                    let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
                    query.bind(values)
                }
            };
        }
        query
    }
}

/// A text that Postgres takes: it knows no NUL in texts. One from a guest or a query
/// must not make a statement fail that can never succeed.
fn without_nul(text: Cow<'_, str>) -> String {
    if text.contains('\0') {
        return text.replace('\0', "\u{FFFD}");
    }
    text.into_owned()
}

/// A statement that is put together piece by piece. The pieces are ours; every
/// value is bound.
pub(super) struct Builder {
    text: String,
    values: Vec<Value<'static>>,
}

impl Builder {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Puts a parameter here.
    pub(super) fn bind(&mut self, value: impl Into<Value<'static>>) -> &mut Self {
        self.values.push(value.into());
        // Writing to a string cannot fail.
        write!(self.text, "${}", self.values.len()).unwrap_or_default();
        self
    }

    /// Puts a condition here that a column is one of these numbers.
    pub(super) fn bind_one_of(
        &mut self,
        dialect: Dialect,
        column: &str,
        numbers: Vec<i64>,
    ) -> &mut Self {
        self.values.push(numbers.into());
        let parameter = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.text.push_str(&dialect.is_one_of(column, parameter));
        self
    }

    /// What was put together. Postgres plans it for its values: a plan for all of them, which
    /// it makes of a statement that it is asked again and again, knows nothing of how narrow a
    /// filter is, and reads whole sources where a part of an index would do.
    pub(super) fn build(self) -> Statement<'static> {
        Statement {
            text: AssertSqlSafe(self.text).into_sql_str(),
            values: self.values,
            is_planned_anew: true,
        }
    }
}

/// A row of either engine.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    fn get<'r, T, I>(&'r self, column: I) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, Sqlite>
            + sqlx::Type<Sqlite>
            + sqlx::Decode<'r, Postgres>
            + sqlx::Type<Postgres>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(super) fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(super) fn int_or_none(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    /// A number that is never negative and small.
    pub(super) fn count(&self, column: &str) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.int(column)?).unwrap_or(u32::MAX))
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_millis)
    }

    pub(super) fn event(&self, column: &str) -> Result<EventId, StoreError> {
        EventId::from_bytes(&self.bytes(column)?)
            .ok_or_else(|| super::damaged("an event's id has not sixteen bytes"))
    }

    pub(super) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(super) fn text_or_none(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub(super) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.get(column)
    }

    pub(super) fn bytes_or_none(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(column)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Execute;

    use super::{Builder, Statement, sql};

    #[test]
    fn what_was_put_together_is_planned_for_its_values() {
        let is_kept = |statement: Statement<'static>, is_pooled| {
            Execute::persistent(&statement.for_postgres(is_pooled))
        };
        assert!(is_kept(sql("select 1"), false));
        assert!(!is_kept(sql("select 1"), true));
        assert!(!is_kept(Builder::new("select 1").build(), false));
    }
}
