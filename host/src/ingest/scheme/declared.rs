//! The schemes that are told by places, an algorithm and a template: nearly all of them.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::ingest::verify::{Rejection, Request, Verified};
use crate::json::{self, Pointer};

use super::Coverage;
use super::key::{Key, Keyring};
use super::selector::HeaderNames;
use super::signatures::{Notation, SignaturePlace};
use super::template::{Piece, Scope, Template, json_value};
use super::timestamp::{TimestampPlace, TimestampRule};
use crate::hash::{Encoding, Hash};
use crate::public_key::Signing;

/// Most signatures that are checked with a public key, which takes 50 µs each.
const SLOW_CANDIDATES_MAX: usize = 8;

/// A signature over what a template says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureScheme {
    /// Where signatures stand.
    pub place: SignaturePlace,
    /// How several are written.
    pub notation: Notation,
    /// What stands before each, compared exactly.
    pub prefix: String,
    /// How it is made.
    pub algorithm: Algorithm,
    /// How it is written.
    pub encoding: Encoding,
    /// What is signed.
    pub signed: Template,
    /// What may be signed instead, where the sender's page and its libraries differ.
    pub signed_or: Option<Template>,
    /// The time of signing, and how far it may be from ours.
    pub timestamp: Option<TimestampRule>,
    /// What must stand in further headers.
    pub requirements: Vec<Requirement>,
    /// The header by which the sender names the key.
    pub key_id: Option<HeaderNames>,
    /// The list in the JSON body of which every item has a signature of its own.
    pub items: Option<Pointer>,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A keyed hash (HMAC).
    Hmac(Hash),
    /// A plain hash over what is signed, the key in it.
    Digest(Hash),
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER.
    EcdsaP256,
    /// RSA PKCS #1 v1.5 with this hash.
    Rsa(RsaHash),
}

/// What may be signed with RSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaHash {
    /// SHA-1: weak, and some still sign with it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A header and the value that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The header.
    pub header: HeaderNames,
    /// Its value, compared exactly.
    pub value: String,
}

impl SignatureScheme {
    /// How much of the body the signature covers.
    pub fn coverage(&self) -> Coverage {
        if self.signed.covers_body() {
            Coverage::Body
        } else {
            Coverage::Parts
        }
    }

    /// Checks a request's signature, or each of its items', at its time of receipt.
    ///
    /// # Errors
    /// The first [`Rejection`] found: requirements, signatures, and last the time, so that
    /// "stale" means that the rest was right.
    pub fn verify(
        &self,
        keys: &Keyring,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Verified, Rejection> {
        for requirement in &self.requirements {
            requirement.check(request)?;
        }
        let keys = self.keys_named(keys, request)?;
        let Some(items) = &self.items else {
            return self.verify_one(&keys, request, request.body, now);
        };
        let mut last = None;
        for item in self::items(request.body, items)? {
            last = Some(self.verify_one(&keys, request, item.as_bytes(), now)?);
        }
        // Who sends no item has signed nothing.
        last.ok_or_else(|| Rejection::MissingSignature(self.place.name()))
    }

    /// Checks one signature; `json` is what pointers look into.
    fn verify_one(
        &self,
        keys: &[(usize, &Key)],
        request: &Request<'_>,
        json: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Rejection> {
        let place = || self.place.name();
        let texts = self.place.texts(request, json)?;
        let found = self.notation.read(&texts, &self.prefix, place)?;
        let time = || self.time(found.timestamp, request);
        // A time that is not signed by itself stands in the body: that is checked first.
        let is_signed = self.signed.has_timestamp();
        let signed_time = if is_signed { time()? } else { Cow::default() };
        let scope = Scope {
            request,
            timestamp: &signed_time,
            json,
        };
        let pieces = self.signed.render(scope)?;
        let mut secret = self.matching(keys, &pieces, &found.signatures);
        if let (None, Some(other)) = (secret, &self.signed_or) {
            secret = self.matching(keys, &other.render(scope)?, &found.signatures);
        }
        let secret = secret.ok_or_else(|| Rejection::WrongSignature(place()))?;
        let signed_at = match &self.timestamp {
            Some(rule) if is_signed => rule.check(&signed_time, now)?,
            Some(rule) => rule.check(&time()?, now)?,
            None => None,
        };
        Ok(Verified {
            secret: Some(secret),
            signed_at,
            coverage: self.coverage(),
        })
    }

    /// The keys that the request names, with their positions; all if it names none.
    fn keys_named<'k>(
        &self,
        keys: &'k Keyring,
        request: &Request<'_>,
    ) -> Result<Vec<(usize, &'k Key)>, Rejection> {
        let keys = keys.keys().iter().enumerate();
        let Some(header) = &self.key_id else {
            return Ok(keys.collect());
        };
        let place = || format!("header `{header}`");
        let id = header.only(request.headers)?;
        let id = id.ok_or_else(|| Rejection::MissingPart(place()))?;
        let is_named =
            |(_, key): &(usize, &Key)| key.id.as_ref().is_none_or(|own| own.as_bytes() == id);
        let named: Vec<_> = keys.filter(is_named).collect();
        if named.is_empty() {
            return Err(Rejection::UnknownKey(place()));
        }
        Ok(named)
    }

    /// The text of the time of signing; empty where the scheme has none.
    fn time<'r>(
        &self,
        beside: Option<&'r str>,
        request: &Request<'r>,
    ) -> Result<Cow<'r, str>, Rejection> {
        let Some(rule) = &self.timestamp else {
            return Ok(Cow::default());
        };
        let missing = || Rejection::MissingTimestamp(rule.place_name());
        let malformed = || Rejection::MalformedTimestamp(rule.place_name());
        match &rule.place {
            TimestampPlace::Header(names) => {
                let value = names.only(request.headers)?.ok_or_else(missing)?;
                let text = std::str::from_utf8(value).map_err(|_| malformed())?;
                Ok(text.into())
            }
            TimestampPlace::WithSignature => beside.map(Cow::from).ok_or_else(missing),
            TimestampPlace::Body { pointer, is_number } => {
                let raw = json::find_once(request.body, pointer);
                let raw = raw
                    .map_err(Rejection::unreadable_body)?
                    .ok_or_else(missing)?;
                if *is_number && raw.starts_with('"') {
                    return Err(malformed());
                }
                let text = json_value(request.body, pointer)?.ok_or_else(missing)?;
                Ok(text.into())
            }
        }
    }

    /// The position of a key that gives one of the signatures. Every key is tried, so that
    /// the time taken does not tell which matched.
    fn matching(
        &self,
        keys: &[(usize, &Key)],
        pieces: &[Piece<'_>],
        signatures: &[&str],
    ) -> Option<usize> {
        let message = match self.algorithm.signing() {
            None => Vec::new(),
            Some(_) => bytes(pieces, &[]).collect::<Vec<_>>().concat(),
        };
        let mut matched = None;
        for (position, key) in keys {
            let is_match = match self.algorithm.signing() {
                None => self.is_hashed(key, pieces, signatures),
                Some(signing) => self.is_signed(key, signing, &message, signatures),
            };
            if is_match {
                matched = Some(*position);
            }
        }
        matched
    }

    fn is_hashed(&self, key: &Key, pieces: &[Piece<'_>], signatures: &[&str]) -> bool {
        let mut is_hashed = false;
        for key in key.all_shared() {
            let right = self.algorithm.hashed(key, pieces);
            is_hashed |= right.is_some_and(|right| self.is_among(signatures, &right));
        }
        is_hashed
    }

    fn is_among(&self, signatures: &[&str], right: &[u8]) -> bool {
        let mut is_among = false;
        for signature in signatures {
            is_among |= self.encoding.is_written(signature, right);
        }
        is_among
    }

    fn is_signed(&self, key: &Key, signing: Signing, message: &[u8], signatures: &[&str]) -> bool {
        let mut signatures = signatures.iter().take(SLOW_CANDIDATES_MAX);
        key.public().is_some_and(|key| {
            signatures.any(|text| {
                let signature = self.encoding.decode(text);
                signature.is_some_and(|bytes| key.has_signed(signing, message, &bytes))
            })
        })
    }

    /// The text of a signature with a shared key, as the sender writes it.
    pub(super) fn write(&self, key: &Key, pieces: &[Piece<'_>]) -> Option<String> {
        let hash = self.algorithm.hashed(key.shared()?, pieces)?;
        Some(format!("{}{}", self.prefix, self.encoding.encode(&hash)))
    }
}

impl Algorithm {
    /// How its private key signs; none where the key is shared.
    fn signing(self) -> Option<Signing> {
        match self {
            Self::Hmac(_) | Self::Digest(_) => None,
            Self::Ed25519 => Some(Signing::Ed25519),
            Self::EcdsaP256 => Some(Signing::EcdsaDer),
            Self::Rsa(RsaHash::Sha1) => Some(Signing::RsaSha1),
            Self::Rsa(RsaHash::Sha256) => Some(Signing::RsaSha256),
            Self::Rsa(RsaHash::Sha384) => Some(Signing::RsaSha384),
            Self::Rsa(RsaHash::Sha512) => Some(Signing::RsaSha512),
        }
    }

    /// The hash with a shared key; none where only a private key signs.
    fn hashed(self, key: &[u8], pieces: &[Piece<'_>]) -> Option<Vec<u8>> {
        match self {
            Self::Hmac(hash) => Some(hash.keyed(key, bytes(pieces, &[]))),
            Self::Digest(hash) => Some(hash.plain(bytes(pieces, key))),
            Self::Ed25519 | Self::EcdsaP256 | Self::Rsa(_) => None,
        }
    }
}

impl Requirement {
    fn check(&self, request: &Request<'_>) -> Result<(), Rejection> {
        if self.header.only(request.headers)? == Some(self.value.as_bytes()) {
            return Ok(());
        }
        Err(Rejection::Requirement {
            place: format!("header `{}`", self.header),
            wanted: self.value.clone(),
        })
    }
}

/// The items of the list that the pointer names.
pub(super) fn items<'b>(body: &'b [u8], list: &Pointer) -> Result<Vec<&'b str>, Rejection> {
    let found = json::find_once(body, list).map_err(Rejection::unreadable_body)?;
    let list = found.ok_or_else(|| Rejection::MissingPart(format!("`{list}` in the body")))?;
    json::items(list).map_err(Rejection::unreadable_body)
}

/// What is signed, the key put in where it is part of it.
fn bytes<'p>(pieces: &'p [Piece<'_>], secret: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    pieces.iter().map(move |piece| match piece {
        Piece::Bytes(bytes) => &**bytes,
        Piece::Secret => secret,
    })
}
