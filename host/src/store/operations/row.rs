//! An operation as it is read, and how far it is.

use std::fmt;

use crate::clock::Timestamp;

use super::super::StoreError;
use super::super::sql::Row;
use super::request::{KeptRequest, Request};
use super::{OperationId, OperationState};

/// An operation as it stands.
#[derive(Clone, Debug)]
pub struct OperationRow {
    /// Its name.
    pub id: OperationId,
    /// `replay`, `retry`, `release`, `catch_up` or `forget`.
    pub what: String,
    /// What it does, to what; none if this version cannot read it.
    pub request: Option<Request>,
    /// Whether it only counts.
    pub is_dry_run: bool,
    /// How it stands.
    pub state: OperationState,
    /// Items done.
    pub done: i64,
    /// Items in all, once they are counted.
    pub total: Option<i64>,
    /// The token that it was begun with; none if the host itself began it, or nobody noted it.
    pub created_by: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An operation that this host works on.
#[derive(Clone, Debug)]
pub struct OwnOperation {
    /// How it stands.
    pub row: OperationRow,
    /// How far it is.
    pub position: Position,
}

/// How far an operation is: behind what, and up to what it goes. Ids of events or of
/// runs, as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last item looked at; empty before the first.
    pub after: String,
    /// The last one that counts; empty while that is not known.
    pub until: String,
}

pub(super) fn state_of(row: &Row) -> Result<OperationState, StoreError> {
    Ok(match row.text("state")?.as_str() {
        "running" => OperationState::Running,
        "succeeded" => OperationState::Succeeded,
        "cancelled" => OperationState::Cancelled,
        "failed" => OperationState::Failed,
        _ => return Err(super::super::damaged("an operation's state is not one")),
    })
}

impl OperationRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let finished_at = row.int_or_none("finished_ms")?;
        Ok(Self {
            id: OperationId(row.int("operation_id")?),
            what: row.text("what")?,
            request: KeptRequest::read(&row.text("request")?),
            is_dry_run: row.flag("is_dry_run")?,
            state: state_of(row)?,
            done: row.int("done")?,
            total: row.int_or_none("total")?,
            created_by: row.text_or_none("created_by")?,
            created_at: row.time("created_ms")?,
            finished_at: finished_at.map(Timestamp::from_millis),
            error: row.text_or_none("error")?,
        })
    }
}

impl OwnOperation {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let position = row.text_or_none("position")?.unwrap_or_default();
        let (after, until) = position.split_once('/').unwrap_or_default();
        Ok(Self {
            row: OperationRow::read(row)?,
            position: Position {
                after: after.to_owned(),
                until: until.to_owned(),
            },
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.after, self.until)
    }
}
