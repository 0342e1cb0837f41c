//! The stream: events in an order in which nothing ever comes before what was read.
//!
//! Ids do not have it: they are given at receipt, and a later one may be committed
//! first. On SQLite it is the order of commits of the one writer, on Postgres the order
//! of transactions, up to the oldest that is still open. A transaction that writes for
//! long, anywhere on the server, therefore holds the stream up; it never makes it skip.

use std::fmt;
use std::str::FromStr;

use crate::config::units;
use crate::event::EventId;

use super::events::{COLUMNS, EventRow};
use super::sql::{Dialect, Row, sql};
use super::{Store, StoreError};

/// A place in the stream, behind some event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamPosition {
    number: i64,
    /// Behind this event of the number; behind all of them without it.
    id: Option<EventId>,
}

/// The text is no place in a stream.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no position in the stream of events")]
pub struct PositionError(String);

/// An event, and the place behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// Where to go on after it.
    pub position: StreamPosition,
    /// The event.
    pub event: EventRow,
}

impl Store {
    /// The end of the stream: what is not behind it yet comes later.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn stream_end(&self) -> Result<StreamPosition, StoreError> {
        let end = match self.readers().dialect() {
            Dialect::Sqlite => {
                "select max(coalesce((select max(seq) from events), 0), seq) as number from stream_mark"
            }
            Dialect::Postgres => {
                "select base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 as number \
                 from stream_base"
            }
        };
        let row = self.readers().fetch_optional(sql(end)).await?;
        let row = row.ok_or_else(|| super::damaged("the stream has no end"))?;
        Ok(StreamPosition {
            number: row.int("number")?,
            id: None,
        })
    }

    /// The next events of the stream, in its order.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn stream_from(
        &self,
        after: StreamPosition,
        limit: u32,
    ) -> Result<Vec<Streamed>, StoreError> {
        let dialect = self.readers().dialect();
        let next = match dialect {
            Dialect::Sqlite => sql(format!(
                "select seq as position, {COLUMNS} from events where seq > $1 order by seq limit $2"
            ))
            .bind(after.number),
            Dialect::Postgres => {
                let next = sql(format!(
                    "select position, {COLUMNS} from events where (position, id) > ($1, $2) and position < \
                     (select base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint from stream_base) \
                     order by position, id limit $3"
                ));
                let id = after.id.map_or(vec![0xff; 16], |id| id.as_bytes().to_vec());
                next.bind(after.number).bind(id)
            }
        };
        let rows = self.readers().fetch_all(next.bind(limit)).await?;
        rows.iter()
            .map(|row| Streamed::read(row, dialect))
            .collect()
    }
}

impl StreamPosition {
    /// Whether the stream that ends at `end` has never come here.
    pub fn is_beyond(self, end: Self) -> bool {
        self.number > end.number
    }
}

impl Streamed {
    fn read(row: &Row, dialect: Dialect) -> Result<Self, StoreError> {
        let event = EventRow::read(row)?;
        let position = StreamPosition {
            number: row.int("position")?,
            id: (dialect == Dialect::Postgres).then_some(event.id),
        };
        Ok(Self { position, event })
    }
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        match self.id {
            Some(id) => write!(f, ".{id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for StreamPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let wrong = || PositionError(text.to_owned());
        let (number, id) = match text.split_once('.') {
            Some((number, id)) => (number, Some(id)),
            None => (text, None),
        };
        let number = units::place(number).ok_or_else(wrong)?;
        let id = id.map(|id| id.parse().map_err(|_| wrong())).transpose()?;
        Ok(Self { number, id })
    }
}

#[cfg(test)]
mod tests {
    use super::StreamPosition;

    #[test]
    fn positions_read_back() {
        for text in ["0", "17", "17.01890000-0000-7000-8000-000000000000"] {
            assert_eq!(text.parse::<StreamPosition>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "-1",
            "x",
            "17.",
            "17.x",
            ".01890000-0000-7000-8000-000000000000",
        ] {
            assert!(text.parse::<StreamPosition>().is_err(), "{text}");
        }
    }
}
