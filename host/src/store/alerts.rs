//! What is wrong now, so that it is told once however many hosts see it.
//!
//! A row is there while some host sees what it says. Whoever tells of it claims it
//! first: of two that try, one does.

use std::time::Duration;

use crate::clock::Timestamp;

use super::sql::{Row, sql};
use super::{Store, StoreError};

/// Most rows that are looked at in one pass.
const ROWS_MAX: u32 = 1000;

/// Something that a host sees to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Such as `plugin.tripped`.
    pub kind: &'static str,
    /// The plugin or source.
    pub subject: String,
    /// What it is, for people.
    pub message: String,
}

/// Something that is wrong, or was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// Names it.
    pub key: String,
    /// Such as `plugin.tripped`.
    pub kind: String,
    /// The plugin or source.
    pub subject: String,
    /// What it is, for people.
    pub message: String,
    /// When it was first seen.
    pub raised_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// When somebody was told.
    pub told_at: Option<Timestamp>,
}

impl Store {
    /// Notes what this host sees.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was noted.
    pub async fn see_alerts(&self, seen: Vec<Condition>) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            let seen = seen.clone();
            Box::pin(async move {
                for condition in seen {
                    let note = sql(
                        "insert into alerts (key, kind, subject, message, raised_ms, seen_ms) \
                         values ($1, $2, $3, $4, $5, $5) on conflict (key) do update \
                         set seen_ms = excluded.seen_ms, message = excluded.message",
                    );
                    let key = format!("{} {}", condition.kind, condition.subject);
                    let note = note.bind(key).bind(condition.kind).bind(condition.subject);
                    tx.execute(note.bind(condition.message).bind(tx.now))
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// All that is wrong, or was a moment ago, from what was seen first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn alerts(&self) -> Result<Vec<AlertRow>, StoreError> {
        let all = sql(
            "select key, kind, subject, message, raised_ms, seen_ms, told_ms from alerts \
             order by raised_ms, key limit $1",
        );
        let rows = self.run_readers().fetch_all(all.bind(ROWS_MAX)).await?;
        rows.iter().map(AlertRow::read).collect()
    }

    /// Whether this host is to tell of it now: nobody has tried within `lately`.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn claim_alert(&self, key: &str, lately: Duration) -> Result<bool, StoreError> {
        let key = key.to_owned();
        self.write(move |tx| {
            let claim = sql("update alerts set claimed_ms = $2 \
                 where key = $1 and (claimed_ms is null or claimed_ms <= $3)");
            let claim = claim
                .bind(key.clone())
                .bind(tx.now)
                .bind(tx.now.minus(lately));
            Box::pin(async move { Ok(tx.execute(claim).await? > 0) })
        })
        .await
    }

    /// Notes that somebody was told; that it is over may be told at once.
    ///
    /// # Errors
    /// [`StoreError`] if that was not noted.
    pub async fn alert_told(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |tx| {
            let told = sql("update alerts set told_ms = $2, claimed_ms = null where key = $1");
            let told = told.bind(key.clone()).bind(tx.now);
            Box::pin(async move { tx.execute(told).await.map(drop) })
        })
        .await
    }

    /// Forgets what was last seen at `seen_at`; not, if it was seen again since.
    ///
    /// # Errors
    /// [`StoreError`] if it was not forgotten.
    pub async fn forget_alert(&self, key: &str, seen_at: Timestamp) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |tx| {
            let forget = sql("delete from alerts where key = $1 and seen_ms = $2");
            let forget = forget.bind(key.clone()).bind(seen_at);
            Box::pin(async move { tx.execute(forget).await.map(drop) })
        })
        .await
    }
}

impl AlertRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: row.text("key")?,
            kind: row.text("kind")?,
            subject: row.text("subject")?,
            message: row.text("message")?,
            raised_at: row.time("raised_ms")?,
            seen_at: row.time("seen_ms")?,
            told_at: row.int_or_none("told_ms")?.map(Timestamp::from_millis),
        })
    }
}
