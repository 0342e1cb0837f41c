//! An event before it is stored, with what door or operator say of it beside.

use std::time::Duration;

use crate::event::{DedupKey, EventId, body_sha256};

use super::NewEvent;

impl NewEvent {
    /// The same, found by these values.
    #[must_use]
    pub fn indexed(self, values: Vec<String>) -> Self {
        let indexed = (!values.is_empty()).then(|| serde_json::json!(values).to_string());
        Self { indexed, ..self }
    }

    /// The same, released from a request that was set aside: one event however often, as
    /// long as that is kept. `is_forced` says that nothing proves it.
    pub fn released_from(self, request: EventId, kept: Duration, is_forced: bool) -> Self {
        Self {
            release_key: Some(DedupKey::of_release(request)),
            // A key that is forgotten before the request would let it be released again.
            window: self.window.max(kept),
            is_forced,
            ..self
        }
    }

    /// The same, its body compressed: what tells it from others is the body as it reads,
    /// which a sender need not compress to the same bytes twice.
    #[must_use]
    pub fn reading_as(self, plain: &[u8]) -> Self {
        if self.delivery_key.is_none() && self.body_key.is_none() {
            return self;
        }
        let body_sha256 = body_sha256(plain);
        Self {
            body_key: self.body_key.map(|_| DedupKey::of_body(&body_sha256)),
            body_sha256,
            ..self
        }
    }

    /// The same without runs: its source's filter does not take it.
    #[must_use]
    pub fn filtered(self) -> Self {
        Self {
            runs: Vec::new(),
            no_run_reason: Some("filtered"),
            ..self
        }
    }
}
