//! Reads bodies: each within its source's limit, all within one budget.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// A body must arrive within this time.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read and thrown away, so that its
/// sender gets to see the answer.
const DISCARD_MAX: u64 = 32 << 20;
/// Bodies that are inflated at once, each within its source's limit.
const INFLATED_AT_ONCE: usize = 4;
/// What is taken of the budget before anything has arrived, at most.
const FIRST: u64 = 64 << 10;
/// The grain of the budget.
const GRAIN: u64 = 16 << 10;

/// Memory for bodies that are being received or wait for their commit.
#[derive(Clone)]
pub struct Budget {
    /// Grains that are free.
    grains: Arc<Semaphore>,
    /// Turns to inflate a body, which may then take its source's limit once more.
    inflating: Arc<Semaphore>,
}

/// A body and its part of the budget.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    /// Goes with the bytes for as long as they are in memory.
    pub(super) part: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let grains = usize::try_from(bytes / GRAIN).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            grains: Arc::new(Semaphore::new(grains)),
            inflating: Arc::new(Semaphore::new(INFLATED_AT_ONCE)),
        }
    }

    /// Waits for the turn to inflate a body.
    pub(super) async fn turn_to_inflate(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inflating).acquire_owned().await.ok()
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(
        &self,
        body: Body,
        headers: &HeaderMap,
        limit: u64,
    ) -> Result<ReadBody, Refusal> {
        match tokio::time::timeout(READ_WITHIN, self.read_all(body, headers, limit)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::SlowBody(READ_WITHIN)),
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
