//! Signs as senders do, without the host's own code.
//!
//! The constants in `ingest.rs` were computed by other programs; this is for everything else.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 in hexadecimal.
pub(crate) fn hmac_sha256(secret: &str, message: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message);
    hex::encode(mac.finalize().into_bytes())
}

/// Names and values of headers.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// The headers that GitHub adds to a delivery.
pub(crate) fn github_headers(secret: &str, kind: &str, delivery: &str, body: &[u8]) -> Headers {
    vec![
        ("content-type", "application/json".to_owned()),
        ("x-github-event", kind.to_owned()),
        ("x-github-delivery", delivery.to_owned()),
        (
            "x-hub-signature-256",
            format!("sha256={}", hmac_sha256(secret, body)),
        ),
    ]
}

/// The headers with one of another value.
pub(crate) fn with(headers: Headers, name: &'static str, value: &str) -> Headers {
    let mut headers = without(headers, name);
    headers.push((name, value.to_owned()));
    headers
}

/// The headers without one.
pub(crate) fn without(mut headers: Headers, name: &str) -> Headers {
    headers.retain(|(header, _)| *header != name);
    headers
}

/// Headers as a request takes them.
pub(crate) fn borrowed(headers: &Headers) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
