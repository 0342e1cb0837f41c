//! An event before it is stored, with what door or operator say of it beside.

use crate::event::{DedupKey, body_sha256};

use super::NewEvent;

impl NewEvent {
    /// The same, found by these values.
    #[must_use]
    pub fn indexed(self, values: Vec<String>) -> Self {
        let indexed = (!values.is_empty()).then(|| serde_json::json!(values).to_string());
        Self { indexed, ..self }
    }

    /// The same, released from quarantine although nothing proves it.
    #[must_use]
    pub fn forced(self) -> Self {
        Self {
            is_forced: true,
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
