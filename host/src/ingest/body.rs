//! Reads bodies: each within its source's limit, all within one budget.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// How much of a body that is too large is read and thrown away, so that its
/// sender gets to see the answer.
const DISCARD_MAX: u64 = 32 << 20;
/// Memory for what becomes of bodies that are inflated or read as a whole. One that may take
/// more than all of it is alone with it.
const LOOKED_AT_BYTES: u64 = 256 << 20;
/// The same for those of which nothing is proven.
const UNPROVEN_LOOKED_AT_BYTES: u64 = 64 << 20;
/// How much larger a body may become before anything of it is proven.
const UNPROVEN_RATIO: u64 = 64;
/// What an unproven body may become in any case.
const UNPROVEN_BYTES: u64 = 1 << 20;
/// How much larger than its text a JSON document is in memory, at most: a number and its comma
/// become a value.
const DOCUMENT_RATIO: u64 = 16;
/// What is taken of the budget before anything has arrived, at most.
const FIRST: u64 = 64 << 10;
/// The grain of the budget.
const GRAIN: u64 = 16 << 10;

/// Memory for bodies that are being received or wait for their commit.
#[derive(Clone)]
pub struct Budget {
    /// Grains that are free.
    grains: Arc<Semaphore>,
    /// A body must arrive within this time.
    within: Duration,
    /// Grains of the memory for what becomes of bodies.
    looked_at: Arc<Semaphore>,
    /// The same for those of which nothing is proven.
    unproven: Arc<Semaphore>,
}

/// A body and its part of the budget.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    /// Goes with the bytes for as long as they are in memory.
    pub(super) part: OwnedSemaphorePermit,
}

/// What becomes of a body that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// What it may be before it is read: as it was sent, or its source's limit where it is
    /// compressed.
    pub(super) plain_bytes: u64,
    /// Whether all of it is read into a document.
    pub(super) is_document: bool,
}

impl Reading {
    fn bytes(self) -> u64 {
        match self.is_document {
            true => self.plain_bytes.saturating_mul(DOCUMENT_RATIO),
            false => self.plain_bytes,
        }
    }
}

/// What a compressed body of so many bytes may become before anything of it is proven.
pub(super) fn unproven_max(bytes: u64) -> u64 {
    UNPROVEN_BYTES.max(bytes.saturating_mul(UNPROVEN_RATIO))
}

async fn turn(memory: &Arc<Semaphore>, bytes: u64) -> Option<OwnedSemaphorePermit> {
    let grains = u32::try_from(grains_of(bytes)).ok()?;
    Arc::clone(memory).acquire_many_owned(grains).await.ok()
}

fn grains_of(bytes: u64) -> usize {
    usize::try_from(bytes / GRAIN).unwrap_or(Semaphore::MAX_PERMITS)
}

impl Budget {
    /// A budget of so many bytes, for bodies that each arrive within a time.
    pub fn new(bytes: u64, within: Duration) -> Self {
        Self {
            grains: Arc::new(Semaphore::new(grains_of(bytes))),
            within,
            looked_at: Arc::new(Semaphore::new(grains_of(LOOKED_AT_BYTES))),
            unproven: Arc::new(Semaphore::new(grains_of(UNPROVEN_LOOKED_AT_BYTES))),
        }
    }

    /// Waits for the turn to look at a proven body that becomes larger than it came.
    pub(super) async fn turn(&self, reading: Reading) -> Option<OwnedSemaphorePermit> {
        turn(&self.looked_at, reading.bytes().min(LOOKED_AT_BYTES)).await
    }

    /// Waits for the turn to look at a body of which nothing is proven, and which may be so
    /// large for it.
    pub(super) async fn turn_of_a_stranger(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        turn(&self.unproven, bytes.min(UNPROVEN_LOOKED_AT_BYTES)).await
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(
        &self,
        body: Body,
        headers: &HeaderMap,
        limit: u64,
    ) -> Result<ReadBody, Refusal> {
        match tokio::time::timeout(self.within, self.read_all(body, headers, limit)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::SlowBody(self.within)),
        }
    }

    async fn read_all(
        &self,
        mut body: Body,
        headers: &HeaderMap,
        limit: u64,
    ) -> Result<ReadBody, Refusal> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let too_large = Refusal::TooLarge { announced, limit };
        if announced.is_some_and(|bytes| bytes > limit) {
            discard(body, headers, announced).await;
            return Err(too_large);
        }
        // What is announced is not there yet: only what arrives takes its part.
        let first = announced.unwrap_or(0).min(FIRST);
        let mut part = self.part(first)?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(first).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Disconnected)?.into_data() else {
                continue;
            };
            let sum = (bytes.len() + data.len()) as u64;
            if sum > limit {
                discard(body, headers, None).await;
                return Err(too_large);
            }
            if sum > part.num_permits() as u64 * GRAIN {
                part.merge(self.part(data.len() as u64)?);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(ReadBody {
            bytes: bytes.freeze(),
            part,
        })
    }

    fn part(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        let grains = u32::try_from(bytes / GRAIN + 1).unwrap_or(u32::MAX);
        Arc::clone(&self.grains)
            .try_acquire_many_owned(grains)
            .map_err(|_| Refusal::Overloaded("no memory left for bodies"))
    }
}

/// Reads on without keeping anything. A sender that waits for our leave to send
/// (`Expect`) is not given it.
async fn discard(mut body: Body, headers: &HeaderMap, announced: Option<u64>) {
    if headers.contains_key(header::EXPECT) || announced.is_some_and(|bytes| bytes > DISCARD_MAX) {
        return;
    }
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
        if discarded > DISCARD_MAX {
            return;
        }
    }
}
