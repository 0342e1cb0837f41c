//! Providers as data: how a sender signs, and where its kind and delivery id
//! stand. Pure; `verify` uses it at the door, `hookbay send` signs with it.
//!
//! A provider is a record read from `host/providers/*.toml`, laid over with the
//! keys that a source sets itself (`config::provider` reads both).

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::json::Pointer;

/// A sender's convention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its slug, such as `github`.
    pub name: String,
    /// How a request proves where it comes from.
    pub proof: Proof,
    /// Where the kind stands.
    pub kind: Place,
    /// Where the delivery id stands.
    pub id: Place,
    /// Whether a body that is not JSON is refused.
    pub is_json: bool,
    /// The kind of a signed ping, which is stored and starts no run.
    pub handshake_kind: Option<String>,
}

/// How a request proves where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing is checked: `provider = "none"`.
    None,
    /// A keyed hash over what was sent.
    Hmac(HmacScheme),
}

/// Where a value stands: a header, a place in the JSON body, or the one and
/// then the other, joined by a dot (GitHub's event and action).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the header, in lower case.
    pub header: Option<String>,
    /// Place in the body.
    pub pointer: Option<Pointer>,
}

/// A keyed hash in a header (RFC 2104).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacScheme {
    /// The header with the signature, in lower case.
    pub signature_header: String,
    /// The hash function.
    pub algorithm: Algorithm,
    /// How the hash is written.
    pub encoding: Encoding,
    /// What stands before it, compared exactly.
    pub prefix: String,
    /// Where the time of signing stands, and how far it may be from ours.
    pub timestamp: Option<TimestampRule>,
    /// What is signed.
    pub signed: Template,
}

/// A signed time in a header, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    /// Name of the header, in lower case.
    pub header: String,
    /// How old, or how far ahead, it may be.
    pub tolerance: Duration,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1: weak elsewhere, still sound in HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with padding (RFC 4648 section 4).
    Base64,
    /// Base64 for addresses, without padding (RFC 4648 section 5).
    Base64Url,
}

/// What is signed, such as `{timestamp}.{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Timestamp,
    Body,
}

/// Why a template or one of its words is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// The algorithm is not known.
    #[error("`{0}` is not an algorithm: use `sha1`, `sha256`, `sha384` or `sha512`")]
    Algorithm(String),
    /// The encoding is not known.
    #[error("`{0}` is not an encoding: use `hex`, `base64` or `base64url`")]
    Encoding(String),
    /// The template has a part that is not known.
    #[error("`{0}` in what is signed is not known: use `{{timestamp}}` and `{{body}}`")]
    Part(String),
    /// The template leaves out the body, so that anything would pass.
    #[error("what is signed must contain `{{body}}`")]
    NoBody,
}

impl HmacScheme {
    /// The header's full text for a body, as the sender writes it.
    pub fn signature(&self, secret: &Secret, timestamp: &str, body: &[u8]) -> String {
        let parts = self.signed.0.iter().map(|part| match part {
            Part::Literal(text) => text.as_bytes(),
            Part::Timestamp => timestamp.as_bytes(),
            Part::Body => body,
        });
        let hash = match self.algorithm {
            Algorithm::Sha1 => keyed_hash::<Hmac<Sha1>>(secret, parts),
            Algorithm::Sha256 => keyed_hash::<Hmac<Sha256>>(secret, parts),
            Algorithm::Sha384 => keyed_hash::<Hmac<Sha384>>(secret, parts),
            Algorithm::Sha512 => keyed_hash::<Hmac<Sha512>>(secret, parts),
        };
        let mut text = self.prefix.clone();
        match self.encoding {
            Encoding::Hex => text.push_str(&hex::encode(hash)),
            Encoding::Base64 => STANDARD.encode_string(hash, &mut text),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode_string(hash, &mut text),
        }
        text
    }

    /// The headers a sender adds to a body at `now`.
    pub fn sign(&self, secret: &Secret, now: Timestamp, body: &[u8]) -> Vec<(String, String)> {
        let timestamp = now.seconds().to_string();
        let signature = self.signature(secret, &timestamp, body);
        let mut headers = vec![(self.signature_header.clone(), signature)];
        if let Some(rule) = &self.timestamp {
            headers.push((rule.header.clone(), timestamp));
        }
        headers
    }
}

fn keyed_hash<'a, M: Mac + KeyInit>(
    secret: &Secret,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut mac =
        <M as KeyInit>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

impl FromStr for Algorithm {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        match text {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            other => Err(SchemeError::Algorithm(other.to_owned())),
        }
    }
}

impl FromStr for Encoding {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        match text {
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "base64url" => Ok(Self::Base64Url),
            other => Err(SchemeError::Encoding(other.to_owned())),
        }
    }
}

impl FromStr for Template {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (literal, from_open) = rest.split_at(open);
            let end = from_open
                .find('}')
                .ok_or_else(|| SchemeError::Part(from_open.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(match &from_open[..=end] {
                "{timestamp}" => Part::Timestamp,
                "{body}" => Part::Body,
                other => return Err(SchemeError::Part(other.to_owned())),
            });
            rest = &from_open[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        if parts.contains(&Part::Body) {
            Ok(Self(parts))
        } else {
            Err(SchemeError::NoBody)
        }
    }
}

impl Template {
    /// Whether the time of signing is part of what is signed.
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::{SchemeError, Template};

    #[test]
    fn templates_must_sign_the_body() {
        assert!(
            "{timestamp}.{body}"
                .parse::<Template>()
                .unwrap()
                .has_timestamp()
        );
        assert!(!"v1:{body}:end".parse::<Template>().unwrap().has_timestamp());
        assert_eq!("{timestamp}".parse::<Template>(), Err(SchemeError::NoBody));
        assert_eq!(
            "{body}{nonce}".parse::<Template>(),
            Err(SchemeError::Part("{nonce}".into()))
        );
        assert!("{body".parse::<Template>().is_err());
    }
}
