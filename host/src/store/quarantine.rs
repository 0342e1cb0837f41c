//! Requests that were refused and set aside, within bounds of bytes.
//!
//! What is over a bound is not kept: nothing that came before makes room for it (`room`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{EventId, Headers};

use super::request::{KeptRequest, keep, read};
use super::sql::{Builder, Row, Value, sql};
use super::{Store, StoreError};

mod release;
mod room;

pub(super) use release::Release;
pub use release::Released;
pub(super) use room::Statements;

use room::hold_usage;

const COLUMNS: &str = "id, source, received_ms, code, message, hint, remote_addr, size_bytes";
/// What a row takes beside its request, with its places in indexes, about.
const ROW_BYTES: i64 = 600;
/// Rows looked at, and at most removed, by one slice.
const SLICE: u32 = 250;
/// Bytes that one slice removes, unless its first row has more.
const SLICE_BYTES: i64 = 8 << 20;

/// A refused request that has not been set aside, in the form in which it will be.
#[derive(Clone, Debug)]
pub struct NewQuarantined {
    about: QuarantinedRow,
    method: String,
    target: String,
    request: KeptRequest,
    is_proven: bool,
}

/// What stands about a request that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// The id that its sender was told.
    pub id: EventId,
    /// The source's name.
    pub source: String,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Why it was refused, as a code.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// What has probably happened.
    pub hint: Option<String>,
    /// Who sent it.
    pub remote_addr: Option<String>,
    /// Length of the body.
    pub size_bytes: i64,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All headers, credentials among them: never to be shown as they are.
    pub headers: Headers,
    /// The exact bytes of the body.
    pub body: Bytes,
}

/// Which requests to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Refused for this reason.
    pub reason: Option<String>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Older than this one: where the page before ended.
    pub before: Option<EventId>,
    /// At most so many.
    pub limit: u32,
}

/// How much may be kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineBounds {
    /// Of all sources.
    pub all: u64,
    /// Of one.
    pub source: u64,
    /// How much of each is for what was proven alone: a forger must not leave it no room.
    pub for_proven: u64,
}

impl NewQuarantined {
    /// Compresses, so that the writer need not.
    pub fn new(about: QuarantinedRow, request: &RawRequest) -> Self {
        Self {
            request: keep(&request.headers, &request.body),
            method: request.method.clone(),
            target: request.target.clone(),
            about,
            is_proven: false,
        }
    }

    /// The same, of a sender who has proven it.
    #[must_use]
    pub fn proven(self) -> Self {
        Self {
            is_proven: true,
            ..self
        }
    }

    /// What it counts against the bounds, in bytes.
    pub fn weight(&self) -> i64 {
        let texts = self.target.len() + self.about.message.len();
        let bytes = self.request.bytes.len() + texts;
        i64::try_from(bytes)
            .unwrap_or(i64::MAX)
            .saturating_add(ROW_BYTES)
    }

    fn row(&self) -> [Value<'_>; 14] {
        let about = &self.about;
        [
            about.id.as_bytes().into(),
            about.source.as_str().into(),
            about.received_at.into(),
            about.code.as_str().into(),
            about.message.as_str().into(),
            about.hint.as_deref().into(),
            about.remote_addr.as_deref().into(),
            about.size_bytes.into(),
            self.weight().into(),
            self.method.as_str().into(),
            self.target.as_str().into(),
            self.request.encoding.into(),
            self.request.header_bytes.into(),
            self.request.bytes.as_slice().into(),
        ]
    }
}

impl Store {
    /// Sets refused requests aside, as far as the bounds have room; how many were, by
    /// source.
    ///
    /// # Errors
    /// [`StoreError`] if none was set aside.
    pub async fn quarantine(
        &self,
        batch: Vec<NewQuarantined>,
        bounds: QuarantineBounds,
    ) -> Result<HashMap<String, u64>, StoreError> {
        let statements = Arc::clone(&self.0.statements);
        let sealed = |mut new: NewQuarantined| {
            let keyring = &self.0.keyring;
            keyring.seal(new.about.id.as_bytes(), &mut new.request);
            new
        };
        let batch: Arc<Vec<NewQuarantined>> = Arc::new(batch.into_iter().map(sealed).collect());
        self.write(move |tx| {
            let (statements, batch) = (Arc::clone(&statements), Arc::clone(&batch));
            Box::pin(async move { statements.quarantine.keep(tx, &batch, bounds).await })
        })
        .await
    }

    /// One page of what was set aside, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn quarantined(
        &self,
        filter: &QuarantineFilter,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        let mut query = Builder::new(&format!("select {COLUMNS} from quarantine where true"));
        filter.add_to(&mut query);
        if let Some(before) = filter.before {
            query.push(" and id < ").bind(before.as_bytes().to_vec());
        }
        query.push(" order by id desc limit ").bind(filter.limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(QuarantinedRow::read).collect()
    }

    /// The next ones that fit a filter, behind one and up to another, oldest first; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn quarantined_between(
        &self,
        filter: &QuarantineFilter,
        after: Option<EventId>,
        until: EventId,
        limit: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        let mut query = Builder::new(&format!("select {COLUMNS} from quarantine where true"));
        filter.add_to(&mut query);
        if let Some(after) = after {
            query.push(" and id > ").bind(after.as_bytes().to_vec());
        }
        query.push(" and id <= ").bind(until.as_bytes().to_vec());
        query.push(" order by id limit ").bind(limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(QuarantinedRow::read).collect()
    }

    /// One of them with its request.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer or the request is damaged.
    pub async fn quarantined_request(
        &self,
        id: EventId,
    ) -> Result<Option<(QuarantinedRow, RawRequest)>, StoreError> {
        let one = sql(format!(
            "select {COLUMNS}, method, target, encoding, header_bytes, request from quarantine where id = $1"
        ));
        let row = self.readers().fetch_optional(one.bind(id.as_bytes()));
        let Some(row) = row.await? else {
            return Ok(None);
        };
        let kept = KeptRequest {
            encoding: row.int("encoding")?,
            header_bytes: row.int("header_bytes")?,
            bytes: row.bytes("request")?,
        };
        let (headers, body) = read(self.0.keyring.open(id.as_bytes(), kept)?)?;
        let request = RawRequest {
            method: row.text("method")?,
            target: row.text("target")?,
            headers,
            body,
        };
        Ok(Some((QuarantinedRow::read(&row)?, request)))
    }

    /// Removes a slice of what was received before a time: call again while there is any.
    ///
    /// # Errors
    /// [`StoreError`] if none was removed.
    pub async fn remove_quarantine_before(&self, before: Timestamp) -> Result<u64, StoreError> {
        let bound = EventId::lower_bound(before);
        let old = sql("select id, weight from quarantine where id < $1 order by id limit $2");
        let old = old.bind(bound.as_bytes()).bind(SLICE);
        let (mut ids, mut bytes) = (Vec::new(), 0);
        for row in self.run_readers().fetch_all(old).await? {
            bytes += row.int("weight")?;
            if !ids.is_empty() && bytes > SLICE_BYTES {
                break;
            }
            ids.push(row.event("id")?);
        }
        self.remove_quarantine_of(ids).await
    }

    async fn remove_quarantine_of(&self, ids: Vec<EventId>) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let statements = Arc::clone(&self.0.statements);
        self.write(move |tx| {
            let (statements, ids) = (Arc::clone(&statements), ids.clone());
            Box::pin(async move {
                hold_usage(tx).await?;
                statements.quarantine.remove(tx, &ids).await
            })
        })
        .await
    }
}

impl QuarantineFilter {
    fn add_to(&self, query: &mut Builder) {
        if let Some(source) = &self.source {
            query.push(" and source = ").bind(source.clone());
        }
        if let Some(reason) = &self.reason {
            query.push(" and code = ").bind(reason.clone());
        }
        let received = |at: Timestamp| EventId::lower_bound(at).as_bytes().to_vec();
        if let Some(since) = self.since {
            query.push(" and id >= ").bind(received(since));
        }
        if let Some(until) = self.until {
            query.push(" and id < ").bind(received(until));
        }
    }
}

impl QuarantinedRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.event("id")?,
            source: row.text("source")?,
            received_at: row.time("received_ms")?,
            code: row.text("code")?,
            message: row.text("message")?,
            hint: row.text_or_none("hint")?,
            remote_addr: row.text_or_none("remote_addr")?,
            size_bytes: row.int("size_bytes")?,
        })
    }
}
