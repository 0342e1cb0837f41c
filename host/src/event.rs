//! An event: one verified, stored webhook.
//!
//! Pure data. How a request becomes one is `ingest`'s business, how it is kept
//! the store's.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::clock::Timestamp;
use crate::name::{PluginName, SourceName};

/// What a header's value reads as where it would show the sender's credential.
pub const VERIFIED: &str = "[verified]";

/// Headers that carry a credential by definition (RFC 9110 section 11, RFC 6265).
const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Names an event: a version 7 UUID, so that ids sort by time of receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

/// A request's headers as they came: order, repetitions and raw bytes kept,
/// names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// One webhook that was proven genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// The address it came in through.
    pub source: SourceName,
    /// The sender's convention.
    pub provider: String,
    /// What happened, such as `pull_request.opened`; `unknown` without a kind.
    pub kind: String,
    /// The provider's own id of this delivery.
    pub delivery_id: Option<String>,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// All headers.
    pub headers: Headers,
    /// The exact bytes of the body.
    pub body: Bytes,
    /// A signed ping or handshake: matches no trigger.
    pub is_handshake: bool,
}

/// The provider of events that plugins emit.
const HOOKBAY: &str = "hookbay";
/// The header of an emitted event that says how many events led to it.
const DEPTH: &str = "hookbay-depth";
/// The header of an emitted event that names the event whose run emitted it.
const PARENT: &str = "hookbay-event";

impl Event {
    /// The event that a plugin emits in a run of this one.
    pub fn emits(&self, plugin: &PluginName, kind: String, body: Bytes, now: Timestamp) -> Self {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        let content_type = if is_json {
            "application/json"
        } else {
            "application/octet-stream"
        };
        let depth = self.depth().saturating_add(1).to_string();
        Self {
            id: EventId::new(now),
            source: SourceName::of_plugin(plugin),
            provider: HOOKBAY.to_owned(),
            kind,
            delivery_id: None,
            received_at: now,
            content_type: Some(content_type.to_owned()),
            headers: Headers::new(vec![
                ("content-type".to_owned(), content_type.into()),
                (PARENT.to_owned(), self.id.to_string().into_bytes()),
                (DEPTH.to_owned(), depth.into_bytes()),
            ]),
            body,
            is_handshake: false,
        }
    }

    /// How many events led to this one: 0 of a webhook from outside, whatever its
    /// headers say.
    pub fn depth(&self) -> u32 {
        if self.provider != HOOKBAY {
            return 0;
        }
        let depth = self.headers.text(DEPTH);
        depth.and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
    }
}

/// What makes two deliveries the same one, within their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey([u8; 16]);

impl EventId {
    /// A new id at `now`; random enough that hosts never collide.
    pub fn new(now: Timestamp) -> Self {
        let ms = u64::try_from(now.millis()).unwrap_or(0);
        let (seconds, nanos) = (ms / 1000, (ms % 1000) * 1_000_000);
        let nanos = u32::try_from(nanos).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            nanos,
        )))
    }

    /// The id from the sixteen bytes the store keeps.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// The sixteen bytes the store keeps.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The smallest id an event received at `at` or later can have.
    pub fn lower_bound(at: Timestamp) -> Self {
        let mut bytes = [0u8; 16];
        let ms = u64::try_from(at.millis()).unwrap_or(0).to_be_bytes();
        bytes[..6].copy_from_slice(&ms[2..]);
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        // As it is shown; not without its dashes, nor in braces.
        text.parse::<Hyphenated>().map(|id| Self(id.into_uuid()))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Headers {
    /// Headers from pairs of name and value.
    pub fn new(pairs: Vec<(String, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    /// The first value under `name` (lower case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The first value under `name`, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Every header in the order it came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Every header in the order it came, as pairs of name and value.
    pub fn pairs(&self) -> &[(String, Vec<u8>)] {
        &self.0
    }

    /// Puts [`VERIFIED`] for the values of headers that carry a credential by their
    /// provider's convention, so that these are not even stored.
    pub fn hide(&mut self, names: &[String]) {
        for (name, value) in &mut self.0 {
            if names.contains(name) {
                VERIFIED.as_bytes().clone_into(value);
            }
        }
    }

    /// Every header, with [`VERIFIED`] for each value that is the sender's own
    /// credential: what guests and the API may see (promise 5).
    pub fn visible(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter().map(|(name, value)| {
            let shown = if CREDENTIAL_HEADERS.contains(&name) {
                VERIFIED.as_bytes()
            } else {
                value
            };
            (name, shown)
        })
    }
}

impl DedupKey {
    /// The key for a delivery id that the provider or the sender gave.
    pub fn of_delivery(delivery_id: &str) -> Self {
        Self::digest(b"delivery:", delivery_id.as_bytes())
    }

    /// The key that treats equal bodies as the same delivery.
    pub fn of_body(body_sha256: &[u8; 32]) -> Self {
        Self::digest(b"body:", body_sha256)
    }

    /// The key from the sixteen bytes the store keeps.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The sixteen bytes the store keeps.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn digest(domain: &[u8], value: &[u8]) -> Self {
        let full = Sha256::new()
            .chain_update(domain)
            .chain_update(value)
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&full[..16]);
        Self(key)
    }
}

/// The digest that tells two bodies apart.
pub fn body_sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::{DedupKey, EventId, Headers, Timestamp};

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = EventId::new(Timestamp::from_millis(1_000_000));
        let late = EventId::new(Timestamp::from_millis(1_000_001));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.to_string().to_uppercase().parse(), Ok(early));
        let undashed = early.to_string().replace('-', "");
        for other in [&undashed, &format!("{{{early}}}"), ""] {
            assert!(other.parse::<EventId>().is_err(), "{other}");
        }
        assert_eq!(EventId::from_bytes(early.as_bytes()), Some(early));
        let bound = EventId::lower_bound(Timestamp::from_millis(1_000_001));
        assert!(early < bound && bound < late);
    }

    #[test]
    fn credentials_are_not_visible() {
        let headers = Headers::new(vec![
            ("authorization".into(), b"Bearer secret".to_vec()),
            ("x-event".into(), b"push".to_vec()),
        ]);
        let shown: Vec<_> = headers.visible().collect();
        assert_eq!(shown[0], ("authorization", b"[verified]".as_slice()));
        assert_eq!(shown[1], ("x-event", b"push".as_slice()));
        assert_eq!(
            headers.get("authorization"),
            Some(b"Bearer secret".as_slice())
        );
    }

    #[test]
    fn keys_of_different_sorts_never_meet() {
        let body = super::body_sha256(b"{}");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_ne!(DedupKey::of_body(&body), DedupKey::of_delivery(&text));
        assert_eq!(DedupKey::of_delivery("a"), DedupKey::of_delivery("a"));
    }
}
