//! Braintree: two form fields, one with the payload, one with signatures by named keys.
//!
//! After `webhook_notification_gateway.py` of braintree-python. The payload is base64 that
//! keeps its newlines; a proxy may have taken the last one, so that it is tried too.

use crate::ingest::verify::request::only;
use crate::ingest::verify::{Rejection, Request, Verified};

use super::Coverage;
use super::key::{Key, Keyring};
use crate::hash::{Encoding, Hash};

const SIGNATURE: &str = "bt_signature";
const PAYLOAD: &str = "bt_payload";

/// Checks a request from Braintree.
///
/// # Errors
/// A field is missing, or no signature is by one of the keys.
pub(crate) fn verify(keys: &Keyring, request: &Request<'_>) -> Result<Verified, Rejection> {
    let field = |name: &str| only(request.form(), name, || format!("field `{name}`"));
    let place = || format!("field `{SIGNATURE}`");
    let signatures = field(SIGNATURE).map_err(|rejection| match rejection {
        Rejection::MissingPart(place) => Rejection::MissingSignature(place),
        other => other,
    })?;
    let payload = field(PAYLOAD)?;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(byte);
    if !payload.iter().all(is_base64) {
        return Err(Rejection::UnreadableBody(format!(
            "`{PAYLOAD}` is not base64"
        )));
    }
    // Anybody can have a challenge signed.
    if is_challenge(&payload) {
        return Err(Rejection::UnreadableBody(format!(
            "`{PAYLOAD}` is a challenge"
        )));
    }
    let signatures = std::str::from_utf8(&signatures);
    let signatures = signatures.map_err(|_| Rejection::MalformedSignature(place()))?;
    let mut is_named = false;
    let mut matched = None;
    for (name, signature) in signatures
        .split('&')
        .filter_map(|pair| pair.split_once('|'))
    {
        for (position, key) in keys.keys().iter().enumerate() {
            if key.id.as_deref() != Some(name) {
                continue;
            }
            is_named = true;
            let is_right = |end: &[u8]| {
                let right = hash(key, &payload, end);
                right.is_some_and(|right| Encoding::Hex.is_written(signature, &right))
            };
            if is_right(b"") || is_right(b"\n") {
                matched = Some(position);
            }
        }
    }
    match matched {
        Some(secret) => Ok(Verified {
            secret: Some(secret),
            signed_at: None,
            coverage: Coverage::Parts,
        }),
        None if is_named => Err(Rejection::WrongSignature(place())),
        None => Err(Rejection::UnknownKey(place())),
    }
}

/// The answer to the challenge of a new address: the public key and the challenge's hash.
/// None if it is no challenge.
pub(crate) fn answer(keys: &Keyring, challenge: &str) -> Option<String> {
    if !is_challenge(challenge.as_bytes()) {
        return None;
    }
    written(keys.keys().first()?, challenge.as_bytes())
}

fn is_challenge(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (20..=32).contains(&text.len()) && text.iter().all(is_digit)
}

/// The body that Braintree would send.
pub(super) fn sign(key: &Key, payload: &[u8]) -> Option<Vec<u8>> {
    let payload = format!("{}\n", Encoding::Base64.encode(payload));
    let signature = written(key, payload.as_bytes())?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair(SIGNATURE, &signature)
        .append_pair(PAYLOAD, &payload);
    Some(form.finish().into_bytes())
}

fn written(key: &Key, text: &[u8]) -> Option<String> {
    let hash = hash(key, text, b"")?;
    Some(format!(
        "{}|{}",
        key.id.as_deref()?,
        Encoding::Hex.encode(&hash)
    ))
}

fn hash(key: &Key, text: &[u8], end: &[u8]) -> Option<Vec<u8>> {
    Some(Hash::Sha1.keyed(key.shared()?, [text, end].into_iter()))
}
