//! The audit log: every change that an operator asked for, with whose token, from where,
//! and how it was answered.
//!
//! A row is written before the change is tried and completed after it, so that nothing
//! is changed without one: a row without a status is a change whose caller hung up, or
//! whose host died, before the answer was known.

use crate::clock::Timestamp;

use super::sql::{Builder, Row, sql};
use super::{Store, StoreError};

/// Names a row of the audit log; grows with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditId(pub i64);

/// A change that is to be tried.
#[derive(Clone, Debug)]
pub struct NewChange {
    /// The token's name.
    pub token: String,
    /// Such as `plugins.pause`.
    pub action: &'static str,
    /// What of.
    pub target: Option<String>,
    /// Who asked.
    pub remote_addr: Option<String>,
    /// The answer, where it is known already: a refusal.
    pub status: Option<u16>,
}

/// A change as it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// Names it.
    pub id: AuditId,
    /// When it was asked for.
    pub at: Timestamp,
    /// The token's name.
    pub token: String,
    /// Such as `plugins.pause`.
    pub action: String,
    /// What of.
    pub target: Option<String>,
    /// Who asked.
    pub remote_addr: Option<String>,
    /// How it was answered; none if that is not known.
    pub status: Option<i64>,
}

/// Which changes are meant.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// With this token.
    pub token: Option<String>,
    /// This action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only those before this one.
    pub before: Option<AuditId>,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Notes a change before it is tried.
    ///
    /// # Errors
    /// [`StoreError`] if it was not noted; it must not be tried then.
    pub async fn begin_change(&self, change: NewChange) -> Result<AuditId, StoreError> {
        self.write(move |tx| {
            let change = change.clone();
            Box::pin(async move {
                let note = sql(
                    "insert into audit (at_ms, token, action, target, remote_addr, status) \
                     values ($1, $2, $3, $4, $5, $6) returning seq",
                );
                let note = note.bind(tx.now).bind(change.token).bind(change.action);
                let note = note.bind(change.target).bind(change.remote_addr);
                let row = tx
                    .fetch_one(note.bind(change.status.map(i64::from)))
                    .await?;
                row.int("seq").map(AuditId)
            })
        })
        .await
    }

    /// Notes how a change was answered, and what of it was, if only the answer tells.
    ///
    /// # Errors
    /// [`StoreError`] if that was not noted.
    pub async fn end_change(
        &self,
        id: AuditId,
        status: u16,
        target: Option<String>,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let end =
                sql("update audit set status = $2, target = coalesce($3, target) where seq = $1");
            let end = end.bind(id.0).bind(i64::from(status)).bind(target.clone());
            Box::pin(async move { tx.execute(end).await.map(drop) })
        })
        .await
    }

    /// One page of the log, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<ChangeRow>, StoreError> {
        let mut query = Builder::new(
            "select seq, at_ms, token, action, target, remote_addr, status from audit \
             where 0 = 0",
        );
        if let Some(token) = filter.token.clone() {
            query.push(" and token = ").bind(token);
        }
        if let Some(action) = filter.action.clone() {
            query.push(" and action = ").bind(action);
        }
        if let Some(since) = filter.since {
            query.push(" and at_ms >= ").bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" and at_ms < ").bind(until);
        }
        if let Some(before) = filter.before {
            query.push(" and seq < ").bind(before.0);
        }
        query.push(" order by seq desc limit ").bind(filter.limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(ChangeRow::read).collect()
    }

    /// Removes what was noted before `bound`, at most `limit` rows; how many went.
    ///
    /// # Errors
    /// [`StoreError`] if none went.
    pub async fn forget_changes(&self, bound: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let forget = sql("delete from audit where seq in \
                 (select seq from audit where at_ms < $1 order by at_ms limit $2)");
            let forget = forget.bind(bound).bind(limit);
            Box::pin(async move { tx.execute(forget).await })
        })
        .await
    }
}

impl ChangeRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: AuditId(row.int("seq")?),
            at: row.time("at_ms")?,
            token: row.text("token")?,
            action: row.text("action")?,
            target: row.text_or_none("target")?,
            remote_addr: row.text_or_none("remote_addr")?,
            status: row.int_or_none("status")?,
        })
    }
}
