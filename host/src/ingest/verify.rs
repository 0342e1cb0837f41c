//! Proves who sent a request: pure, over the raw bytes, in constant time.
//!
//! The one comparison of signatures in the host is in [`verify`].

use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::event::Headers;

use super::scheme::{HmacScheme, Proof, TimestampRule};

/// Longest signature header that is looked at; real ones have under 400 bytes.
const SIGNATURE_BYTES_MAX: usize = 4096;

/// A request that was proven genuine, and by which secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Position of the secret that matched, from 0; none without secrets.
    pub secret: Option<usize>,
}

/// Why a request is not genuine. The text is for the operator: it names what
/// was looked at, never a signature or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no signature.
    #[error("header `{0}` is missing")]
    MissingSignature(String),
    /// There are several signatures where the scheme has one.
    #[error("header `{0}` is there more than once")]
    RepeatedSignature(String),
    /// The signature cannot be one.
    #[error("header `{0}` does not hold a signature of this scheme")]
    MalformedSignature(String),
    /// No secret gives this signature.
    #[error("the signature in `{0}` does not match the body with any of the source's secrets")]
    WrongSignature(String),
    /// There is no time of signing.
    #[error("header `{0}` is missing")]
    MissingTimestamp(String),
    /// The time of signing is not a number of seconds.
    #[error("header `{0}` does not hold Unix seconds")]
    MalformedTimestamp(String),
    /// Signed too long ago.
    #[error("signed {age_s} s ago, the source allows {tolerance_s} s")]
    Stale {
        /// How long ago.
        age_s: i64,
        /// How long ago it may be.
        tolerance_s: u64,
    },
    /// Signed too far ahead of our clock.
    #[error("signed {ahead_s} s in the future, the source allows {tolerance_s} s")]
    Future {
        /// How far ahead.
        ahead_s: i64,
        /// How far ahead it may be.
        tolerance_s: u64,
    },
}

impl Rejection {
    /// A stable code, also the label of the metric.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingSignature(_) => "missing_signature",
            Self::RepeatedSignature(_) => "repeated_signature",
            Self::MalformedSignature(_) => "malformed_signature",
            Self::WrongSignature(_) => "wrong_signature",
            Self::MissingTimestamp(_) => "missing_timestamp",
            Self::MalformedTimestamp(_) => "malformed_timestamp",
            Self::Stale { .. } => "stale_timestamp",
            Self::Future { .. } => "future_timestamp",
        }
    }
}

/// Checks a request's proof at its time of receipt, `now`.
///
/// # Errors
/// The first [`Rejection`] found: signature header, time, then the signature.
pub fn verify(
    proof: &Proof,
    secrets: &[Secret],
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, Rejection> {
    match proof {
        Proof::None => Ok(Verified { secret: None }),
        Proof::Hmac(scheme) => verify_hmac(scheme, secrets, headers, body, now),
    }
}

fn verify_hmac(
    scheme: &HmacScheme,
    secrets: &[Secret],
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let name = &scheme.signature_header;
    let mut given = headers
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value);
    let signature = given
        .next()
        .ok_or_else(|| Rejection::MissingSignature(name.clone()))?;
    if given.next().is_some() {
        return Err(Rejection::RepeatedSignature(name.clone()));
    }
    if signature.len() > SIGNATURE_BYTES_MAX || !signature.starts_with(scheme.prefix.as_bytes()) {
        return Err(Rejection::MalformedSignature(name.clone()));
    }
    let timestamp = match &scheme.timestamp {
        Some(rule) => checked_timestamp(rule, headers, now)?,
        None => "",
    };
    // Every secret is tried, so that the time taken does not tell which matched.
    let mut matched = None;
    for (position, secret) in secrets.iter().enumerate() {
        let expected = scheme.signature(secret, timestamp, body);
        if bool::from(expected.as_bytes().ct_eq(signature)) {
            matched = Some(position);
        }
    }
    match matched {
        Some(position) => Ok(Verified {
            secret: Some(position),
        }),
        None => Err(Rejection::WrongSignature(name.clone())),
    }
}

/// The text of the signed time, if it is near enough to `now`.
fn checked_timestamp<'h>(
    rule: &TimestampRule,
    headers: &'h Headers,
    now: Timestamp,
) -> Result<&'h str, Rejection> {
    let name = &rule.header;
    headers
        .get(name)
        .ok_or_else(|| Rejection::MissingTimestamp(name.clone()))?;
    let text = headers
        .text(name)
        .ok_or_else(|| Rejection::MalformedTimestamp(name.clone()))?;
    let seconds: i64 = text
        .parse()
        .map_err(|_| Rejection::MalformedTimestamp(name.clone()))?;
    let tolerance_s = rule.tolerance.as_secs();
    let allowed = i64::try_from(tolerance_s).unwrap_or(i64::MAX);
    let age_s = now.seconds().saturating_sub(seconds);
    if age_s > allowed {
        return Err(Rejection::Stale { age_s, tolerance_s });
    }
    if age_s < allowed.saturating_neg() {
        return Err(Rejection::Future {
            ahead_s: age_s.saturating_neg(),
            tolerance_s,
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
