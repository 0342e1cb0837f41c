//! Operations: work over many events or runs, kept so that any host can go on with it.
//!
//! An operation has an owner, a host whose lease holds, and a position. A slice of it
//! is one transaction that does some items and moves the position, if owner and
//! position are still what the host thinks ([`advance`]): so no item is done twice,
//! whoever dies when. What a slice does is in [`super::slices`].

use std::fmt;
use std::time::Duration;

use crate::run::Epoch;

use super::sql::{Builder, sql};
use super::tx::Tx;
use super::{Store, StoreError};

mod request;
mod row;

pub use request::Request;
pub use row::{OperationRow, OwnOperation, Position};

use request::{KeptRequest, first_position};
use row::state_of;

/// How long a finished operation is remembered, and with it its idempotency key.
const REMEMBERED: Duration = Duration::from_hours(24 * 30);
/// Operations that one host works on in turn; others wait.
const AT_ONCE: u32 = 16;
const COLUMNS: &str = "operation_id, what, state, done, total, created_ms, finished_ms, error, request, \
     is_dry_run, created_by, position, owner";

/// Names an operation; grows in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub i64);

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// Some items are to be done.
    Running,
    /// All items were done.
    Succeeded,
    /// An operator ended it.
    Cancelled,
    /// It cannot go on.
    Failed,
}

/// An operation that is to begin.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// What it does.
    pub request: Request,
    /// Whether it only counts.
    pub is_dry_run: bool,
    /// The token that it is begun with; none if the host itself begins it.
    pub created_by: Option<String>,
    /// Under which it is begun once.
    pub idempotency_key: Option<String>,
}

/// What became of a request to begin an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has begun.
    New(OperationId),
    /// It had begun before, under the same key.
    Known(OperationId),
    /// The key stands for another one.
    KeyTaken(OperationId),
}

/// What became of a request to end an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is over; what it has done stays.
    Done,
    /// There is no such operation.
    Unknown,
    /// It was over; or it is running and has to go on.
    NotNow(OperationState),
}

impl Store {
    /// Begins an operation, or finds the one that was begun under the same key.
    ///
    /// # Errors
    /// [`StoreError`] if none was begun.
    pub async fn begin_operation(&self, new: NewOperation) -> Result<Begun, StoreError> {
        self.write(move |tx| {
            let new = new.clone();
            Box::pin(async move { begin(tx, &new).await })
        })
        .await
    }

    /// One page of operations, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn operations(
        &self,
        before: Option<OperationId>,
        limit: u32,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let mut query = Builder::new(&format!("select {COLUMNS} from operations"));
        if let Some(before) = before {
            query.push(" where operation_id < ").bind(before.0);
        }
        query.push(" order by operation_id desc limit ").bind(limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(OperationRow::read).collect()
    }

    /// One operation.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn operation(&self, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
        let one = sql(format!(
            "select {COLUMNS} from operations where operation_id = $1"
        ));
        let row = self.readers().fetch_optional(one.bind(id.0)).await?;
        row.map(|row| OperationRow::read(&row)).transpose()
    }

    /// Ends an operation; a slice under way is done or is not. The end of a forgotten
    /// plugin has to go on: nobody else would end its runs.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn cancel_operation(&self, id: OperationId) -> Result<Ended, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let end = sql(
                    "update operations set state = 'cancelled', finished_ms = $2 \
                     where operation_id = $1 and state = 'running' and what <> 'forget'",
                );
                if tx.execute(end.bind(id.0).bind(tx.now)).await? > 0 {
                    return Ok(Ended::Done);
                }
                let state = sql("select state from operations where operation_id = $1");
                let row = tx.fetch_optional(state.bind(id.0)).await?;
                row.map_or(Ok(Ended::Unknown), |row| Ok(Ended::NotNow(state_of(&row)?)))
            })
        })
        .await
    }

    /// The operations that this host is to work on; those of hosts that are gone
    /// become its own by this.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn own_operations(&self) -> Result<Vec<OwnOperation>, StoreError> {
        let epoch = self.epoch().0;
        let open = sql(format!(
            "select {COLUMNS} from operations o where state = 'running' and (owner is null or owner = $1 \
             or not exists (select 1 from hosts h where h.epoch = o.owner and h.lease_ms > $2)) \
             order by operation_id limit $3"
        ));
        let open = open.bind(epoch).bind(self.now()).bind(AT_ONCE);
        let mut own = Vec::new();
        for row in self.run_readers().fetch_all(open).await? {
            let (id, owner) = (row.int("operation_id")?, row.int_or_none("owner")?);
            if owner == Some(epoch) || self.take_operation(id, owner).await? {
                own.push(OwnOperation::read(&row)?);
            }
        }
        Ok(own)
    }

    /// Takes an operation over, unless another host was first.
    async fn take_operation(&self, id: i64, from: Option<i64>) -> Result<bool, StoreError> {
        let epoch = self.epoch().0;
        self.write(move |tx| {
            Box::pin(async move {
                let take = sql(
                    "update operations set owner = $1 where operation_id = $2 and state = 'running' \
                     and owner is not distinct from $3",
                );
                Ok(tx.execute(take.bind(epoch).bind(id).bind(from)).await? > 0)
            })
        })
        .await
    }

    /// Notes how many items an operation has; one that only counts is done with that.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn set_total(&self, of: &OwnOperation, total: i64) -> Result<(), StoreError> {
        let (epoch, id, is_over) = (self.epoch().0, of.row.id, of.row.is_dry_run);
        self.write(move |tx| {
            Box::pin(async move {
                let set = sql(
                    "update operations set total = $2, state = case when $3 = 1 then 'succeeded' else state end, \
                     finished_ms = case when $3 = 1 then $4 else null end \
                     where operation_id = $1 and state = 'running' and owner = $5",
                );
                let set = set.bind(id.0).bind(total).bind(is_over).bind(tx.now);
                tx.execute(set.bind(epoch)).await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends an operation that cannot go on.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn fail_operation(&self, id: OperationId, error: &str) -> Result<(), StoreError> {
        let (epoch, error) = (self.epoch().0, error.to_owned());
        self.write(move |tx| {
            let error = error.clone();
            Box::pin(async move {
                let fail = sql(
                    "update operations set state = 'failed', finished_ms = $2, error = $3 \
                     where operation_id = $1 and state = 'running' and owner = $4",
                );
                let fail = fail.bind(id.0).bind(tx.now).bind(error).bind(epoch);
                tx.execute(fail).await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets operations that ended 30 days ago, with their idempotency keys.
    ///
    /// # Errors
    /// [`StoreError`] if none was forgotten.
    pub async fn forget_operations(&self) -> Result<u64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let forget =
                    sql("delete from operations where state <> 'running' and finished_ms < $1");
                tx.execute(forget.bind(tx.now.minus(REMEMBERED))).await
            })
        })
        .await
    }
}

/// Begins an operation within a transaction that may do more.
pub(super) async fn begin(tx: &mut Tx, new: &NewOperation) -> Result<Begun, StoreError> {
    let request = super::state::json(&KeptRequest::of(&new.request));
    let position = first_position(tx, &new.request).await?;
    let begin = sql(
        "insert into operations (idempotency_key, what, request, is_dry_run, created_by, state, position, created_ms) \
         values ($1, $2, $3, $4, $5, 'running', $6, $7) \
         on conflict (idempotency_key) do nothing returning operation_id",
    );
    let what = new.request.what();
    let begin = begin.bind(new.idempotency_key.clone()).bind(what);
    let begin = begin.bind(request.clone()).bind(new.is_dry_run);
    let begin = begin.bind(new.created_by.clone());
    let begin = begin.bind(position.to_string()).bind(tx.now);
    if let Some(row) = tx.fetch_optional(begin).await? {
        return Ok(Begun::New(OperationId(row.int("operation_id")?)));
    }
    let known = sql(
        "select operation_id, what, request, is_dry_run from operations \
         where idempotency_key = $1",
    );
    let known = known.bind(new.idempotency_key.clone());
    let row = tx.fetch_one(known).await?;
    let id = OperationId(row.int("operation_id")?);
    let is_same = row.text("what")? == what
        && row.text("request")? == request
        && row.flag("is_dry_run")? == new.is_dry_run;
    Ok(if is_same {
        Begun::Known(id)
    } else {
        Begun::KeyTaken(id)
    })
}

/// Moves an operation on within the transaction that does the items between; false if
/// it is not this host's any more, was ended, or stands elsewhere: then nothing is to
/// be done. Without `to` it has succeeded.
pub(super) async fn advance(
    tx: &mut Tx,
    owner: Epoch,
    of: &OwnOperation,
    to: Option<&Position>,
    done: usize,
) -> Result<bool, StoreError> {
    let advance = sql("update operations set position = $2, done = done + $3, \
         state = case when $4 = 1 then 'succeeded' else state end, \
         finished_ms = case when $4 = 1 then $5 else null end \
         where operation_id = $1 and state = 'running' and owner = $6 and position = $7");
    let from = of.position.to_string();
    let advance = advance
        .bind(of.row.id.0)
        .bind(to.map_or_else(|| from.clone(), Position::to_string));
    let advance = advance.bind(i64::try_from(done).unwrap_or(i64::MAX));
    let advance = advance.bind(to.is_none()).bind(tx.now);
    Ok(tx.execute(advance.bind(owner.0).bind(from)).await? > 0)
}

impl OperationState {
    /// The word for it, in the store and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
