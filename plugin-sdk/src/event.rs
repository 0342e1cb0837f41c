//! What a plugin is given: one [`Event`], and the [`Run`] that it is handled in.

use serde::de::DeserializeOwned;

use crate::Failure;

/// Of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const FNV_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// One verified, stored webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The host's id of the event.
    pub id: String,
    /// Name of the source that received it, as the operator configured it.
    pub source: String,
    /// Name of the source's provider, such as `github`.
    pub provider: String,
    /// What happened, such as `push` or `invoice.paid`.
    pub kind: String,
    /// The provider's own id of the delivery.
    pub delivery_id: Option<String>,
    /// When the host received it, in milliseconds since 1970-01-01T00:00:00Z.
    pub received_at_ms: u64,
    /// The media type that the sender stated.
    pub content_type: Option<String>,
    /// The request's headers as they came; see [`Event::header`].
    pub headers: Vec<Header>,
    /// The exact bytes that were received; see [`Event::json`].
    pub body: Vec<u8>,
}

/// One header of an event or of a [`Response`](crate::http::Response). In an event,
/// one that carries the sender's own credential has the value `[verified]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as it came; compare it without regard to case.
    pub name: String,
    /// The value as it came: usually, but not always, text.
    pub value: Vec<u8>,
}

/// One event for one plugin, and which attempt this is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// The host's id of the run.
    pub id: String,
    /// 1 on the first attempt.
    pub attempt: u32,
    /// The attempt after which the host gives up.
    pub max_attempts: u32,
    /// The same for every attempt and every replay of this event by this plugin.
    pub idempotency_key: String,
}

impl Event {
    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`Failure::Permanent`], as the same body never becomes another one, with
    /// what serde says: what is wrong, on which line, in which column.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::permanent(format!("body of the {} event: {error}", self.kind))
        })
    }

    /// The first header of this name, whatever its case, if it is UTF-8 text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        Header::find(&self.headers, name)
    }
}

impl Run {
    /// A UUID (RFC 9562, version 8) for one of the run's requests, such as `page`: the
    /// same in every attempt and every replay, another one for each name. For receivers
    /// whose idempotency keys are UUIDs, or short.
    #[must_use]
    pub fn uuid(&self, request: &str) -> String {
        // FNV-1a: no cryptography, as the key comes from the host and guards nothing.
        let bytes = self.idempotency_key.bytes().chain([0]);
        let hash = bytes.chain(request.bytes()).fold(FNV_BASIS, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
        });
        let versioned = (hash & !((0xf << 76) | (0x3 << 62))) | (0x8 << 76) | (0x2 << 62);
        let hex = format!("{versioned:032x}");
        let (a, b, c, d, e) = (
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        );
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

impl Header {
    pub(crate) fn find<'a>(headers: &'a [Self], name: &str) -> Option<&'a str> {
        let header = headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(&header.value).ok()
    }
}
