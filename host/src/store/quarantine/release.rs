//! Requests that leave quarantine as events: either the request is there or all of its
//! events are, whoever dies when, and however many ask for it at once.

use crate::event::EventId;
use crate::run::Epoch;

use super::super::ingest::{Ingested, NewEvent};
use super::super::sql::sql;
use super::super::tx::Tx;
use super::super::writer::Work;
use super::super::{Engine, OwnOperation, Position, Store, StoreError, operations};
use super::Statements;
use super::room::hold_usage;

/// A request and the events that it becomes.
pub(in super::super) struct Release {
    request: EventId,
    events: Vec<NewEvent>,
    slice: Option<Slice>,
}

/// An operation, which stands behind this request once it is released.
struct Slice {
    owner: Epoch,
    operation: OwnOperation,
    to: Position,
}

/// What became of a request that was to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is these events now.
    Events(Vec<Ingested>),
    /// It is not there any more: it was released before, or was too old.
    Gone,
    /// The operation is not this host's to go on with, or was ended.
    NotOurs,
}

impl Store {
    /// Makes a request its events: it is removed and they are stored in one transaction,
    /// which also moves an operation on if it is a part of one.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed, or, where the commit was cut off, nobody knows;
    /// to release it again is harmless.
    pub async fn release_quarantined(
        &self,
        request: EventId,
        events: Vec<NewEvent>,
        of: Option<(&OwnOperation, Position)>,
    ) -> Result<Released, StoreError> {
        let release = Release {
            request,
            events: events.into_iter().map(|new| self.sealed(new)).collect(),
            slice: of.map(|(operation, to)| Slice {
                owner: self.epoch(),
                operation: operation.clone(),
                to,
            }),
        };
        match &self.0.engine {
            Engine::Sqlite(engine) => {
                let submit = |reply| Work::Release(Box::new(release), reply);
                engine.writer.submit(submit).await
            }
            Engine::Postgres(engine) => {
                let statements = &self.0.statements;
                statements
                    .release_postgres(&engine.sessions, &release)
                    .await
            }
        }
    }

    /// Moves an operation over requests on, behind those that it has looked at.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn pass_quarantined(
        &self,
        of: &OwnOperation,
        to: Option<Position>,
    ) -> Result<bool, StoreError> {
        let (owner, of) = (self.epoch(), of.clone());
        self.write(move |tx| {
            let (of, to) = (of.clone(), to.clone());
            Box::pin(async move { operations::advance(tx, owner, &of, to.as_ref(), 0).await })
        })
        .await
    }
}

impl Release {
    pub(in super::super) fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

impl Statements {
    /// Removes a request for its events to be stored in the same transaction, and moves the
    /// operation on; says why it is not to be, and has changed nothing then.
    pub(in super::super) async fn take(
        &self,
        tx: &mut Tx,
        release: &Release,
    ) -> Result<Option<Released>, StoreError> {
        // Nobody else removes any until the end of the transaction.
        hold_usage(tx).await?;
        let is_there = sql("select id from quarantine where id = $1");
        let is_there = is_there.bind(release.request.as_bytes());
        if tx.fetch_optional(is_there).await?.is_none() {
            return Ok(Some(Released::Gone));
        }
        if let Some(slice) = &release.slice {
            let (operation, to) = (&slice.operation, Some(&slice.to));
            if !operations::advance(tx, slice.owner, operation, to, 1).await? {
                return Ok(Some(Released::NotOurs));
            }
        }
        self.remove(tx, &[release.request]).await?;
        Ok(None)
    }
}
