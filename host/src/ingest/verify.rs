//! Proves who sent a request: pure, over the raw bytes, in constant time.
//!
//! [`verify`] picks the scheme's own check. Each tries every key, compares only through
//! [`is_same`](crate::hash::is_same), looks at the time of signing last, and takes
//! nothing twice that must be there once: two readers must not see two requests.
//! Why a request failed, in words that help, is `diagnosis`'s to say.

use crate::clock::Timestamp;
use crate::json::NotJson;

use super::scheme::key::Keyring;
use super::scheme::{self, Coverage, Proof};

pub mod diagnosis;
pub mod request;

pub use request::Request;

/// A request that was proven genuine, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Position of the secret that matched, from 0; none without secrets.
    pub secret: Option<usize>,
    /// When it was signed, where that is signed too.
    pub signed_at: Option<Timestamp>,
    /// How much of the body is proven.
    pub coverage: Coverage,
}

/// Why a request is not genuine. The text is for the operator: it names what
/// was looked at, never a signature or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no signature or token.
    #[error("{0} is missing")]
    MissingSignature(String),
    /// The signature or token cannot be one.
    #[error("{0} does not hold a signature of this scheme")]
    MalformedSignature(String),
    /// No secret gives this signature.
    #[error("the signature in {0} does not match the request with any of the source's secrets")]
    WrongSignature(String),
    /// No secret is this token.
    #[error("{0} is none of the source's secrets")]
    WrongToken(String),
    /// Something stands twice that must stand once.
    #[error("{0} is there more than once")]
    Repeated(String),
    /// Something that is signed is not there.
    #[error("{0} is missing, which is part of what is signed")]
    MissingPart(String),
    /// The body cannot be read where the scheme must read it.
    #[error("the body cannot be read: {0}")]
    UnreadableBody(String),
    /// A value is not the one that the scheme prescribes.
    #[error("{place} is not `{wanted}`")]
    Requirement {
        /// Where.
        place: String,
        /// What it must be.
        wanted: String,
    },
    /// The sender names a key that the source does not have.
    #[error("{0} names none of the source's keys")]
    UnknownKey(String),
    /// Genuine, but of somebody else's account.
    #[error("{0} is none of the source's")]
    NotOurs(String),
    /// The signature is right, the body is not the one it was made for.
    #[error("the body is not the one that {0} names")]
    AlteredBody(String),
    /// The signature is right, the request is not the one it was made for.
    #[error("method or address is not the one that {0} names")]
    OtherAddress(String),
    /// The certificate is to be fetched from a host that is not the sender's.
    #[error("{0} is not an address of the sender's")]
    UntrustedKeyAddress(String),
    /// The certificate at this address is not at hand: neither genuine nor not.
    #[error("the certificate at {0} is not at hand")]
    NeedsKey(String),
    /// A verifier plugin rejects it.
    #[error("{detail}")]
    ByVerifier {
        /// Why, as one of the codes here.
        code: &'static str,
        /// Why, in its words.
        detail: String,
    },
    /// The source's verifier plugin says nothing: neither genuine nor not.
    #[error("{why}")]
    NoVerdict {
        /// Why, as a code.
        code: &'static str,
        /// Why.
        why: String,
    },
    /// There is no time of signing.
    #[error("{0} is missing")]
    MissingTimestamp(String),
    /// The time of signing is not written as the scheme writes it.
    #[error("{0} does not hold a time as this scheme writes it")]
    MalformedTimestamp(String),
    /// Signed too long ago.
    #[error("signed {age_s} s ago, the source allows {tolerance_s} s")]
    Stale {
        /// How long ago.
        age_s: u64,
        /// How long ago it may be.
        tolerance_s: u64,
    },
    /// Signed too far ahead of our clock.
    #[error("signed {ahead_s} s in the future, the source allows {tolerance_s} s")]
    Future {
        /// How far ahead.
        ahead_s: u64,
        /// How far ahead it may be.
        tolerance_s: u64,
    },
}

impl Rejection {
    /// A stable code, also the label of the metric.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingSignature(_) => "missing_signature",
            Self::MalformedSignature(_) => "malformed_signature",
            Self::WrongSignature(_) => "wrong_signature",
            Self::WrongToken(_) => "wrong_token",
            Self::Repeated(_) => "repeated_field",
            Self::MissingPart(_) => "missing_field",
            Self::UnreadableBody(_) => "unreadable_body",
            Self::Requirement { .. } => "unmet_requirement",
            Self::UnknownKey(_) => "unknown_key",
            Self::NotOurs(_) => "not_ours",
            Self::AlteredBody(_) => "altered_body",
            Self::OtherAddress(_) => "other_address",
            Self::UntrustedKeyAddress(_) => "untrusted_key_address",
            Self::NeedsKey(_) => "needs_key",
            Self::ByVerifier { code, .. } | Self::NoVerdict { code, .. } => code,
            Self::MissingTimestamp(_) => "missing_timestamp",
            Self::MalformedTimestamp(_) => "malformed_timestamp",
            Self::Stale { .. } => "stale_timestamp",
            Self::Future { .. } => "future_timestamp",
        }
    }

    /// Whether the request is not genuine; else nobody can say it now.
    pub const fn is_verdict(&self) -> bool {
        !matches!(self, Self::NeedsKey(_) | Self::NoVerdict { .. })
    }

    /// Whether nothing is wrong but the time of signing.
    pub(crate) const fn is_of_time(&self) -> bool {
        matches!(self, Self::Stale { .. } | Self::Future { .. })
    }

    pub(crate) fn unreadable_body(error: NotJson) -> Self {
        Self::UnreadableBody(error.to_string())
    }
}

/// Checks a request's proof at its time of receipt, `now`.
///
/// # Errors
/// The first [`Rejection`] found, of which [`Rejection::NeedsKey`] is no verdict: with the
/// certificate in the keyring, the same call gives one.
pub fn verify(
    proof: &Proof,
    keys: &Keyring,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    match proof {
        Proof::None => Ok(Verified {
            secret: None,
            signed_at: None,
            coverage: Coverage::Nothing,
        }),
        Proof::Signature(scheme) => scheme.verify(keys, request, now),
        Proof::Token(scheme) => scheme.verify(keys, request),
        Proof::Jws(scheme) => scheme.verify(keys, request, now),
        Proof::Verifier(by) => Err(Rejection::NoVerdict {
            code: "needs_verifier",
            why: format!(
                "the plugin `{}` has to say whether it is genuine",
                by.verifier
            ),
        }),
        Proof::Twilio => scheme::verify_twilio(keys, request),
        Proof::Braintree => scheme::verify_braintree(keys, request),
        Proof::Contentful(tolerance) => scheme::verify_contentful(*tolerance, keys, request, now),
        Proof::PayPal => scheme::verify_paypal(keys, request),
        Proof::AwsSns => scheme::verify_aws_sns(keys, request),
        Proof::Google => scheme::verify_google(keys, request, now),
    }
}
