//! Contentful: the request names the headers that are signed with method, path and body.
//!
//! After `verify-request.ts` of @contentful/node-apps-toolkit. The path is escaped once
//! more than it was sent, the query twice.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::clock::Timestamp;
use crate::ingest::verify::{Rejection, Request, Verified};

use super::Coverage;
use super::key::Keyring;
use super::timestamp::{TimestampFormat, TimestampPlace, TimestampRule, Tolerance};
use crate::hash::{Encoding, Hash};

const SIGNATURE: &str = "x-contentful-signature";
const SIGNED_HEADERS: &str = "x-contentful-signed-headers";
const TIMESTAMP: &str = "x-contentful-timestamp";

/// What JavaScript's `encodeURI` leaves as it is.
const URI: &AsciiSet = &COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// What Node's `querystring.escape` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Checks a request from Contentful.
///
/// # Errors
/// A header is missing, the signature is wrong, or too old.
pub(crate) fn verify(
    tolerance: Tolerance,
    keys: &Keyring,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let place = || format!("header `{SIGNATURE}`");
    let signature = request
        .header(SIGNATURE)?
        .ok_or_else(|| Rejection::MissingSignature(place()))?;
    let timestamp = request.header(TIMESTAMP)?;
    let timestamp =
        timestamp.ok_or_else(|| Rejection::MissingTimestamp(format!("header `{TIMESTAMP}`")))?;
    let listed = request.header(SIGNED_HEADERS)?;
    let listed =
        listed.ok_or_else(|| Rejection::MissingPart(format!("header `{SIGNED_HEADERS}`")))?;
    let signed = canonical(request, listed)?;
    let mut matched = None;
    for (position, key) in keys.keys().iter().enumerate() {
        let right = key.shared().map(|key| hash(key, &signed, request.body));
        if right.is_some_and(|right| Encoding::Hex.is_written(signature, &right)) {
            matched = Some(position);
        }
    }
    let secret = matched.ok_or_else(|| Rejection::WrongSignature(place()))?;
    let rule = TimestampRule {
        place: TimestampPlace::Header(TIMESTAMP.parse().expect("a header's name")),
        format: TimestampFormat::Milliseconds,
        tolerance: Some(tolerance),
    };
    Ok(Verified {
        secret: Some(secret),
        signed_at: rule.check(timestamp, now)?,
        coverage: Coverage::Body,
    })
}

/// The headers that Contentful would add to a request.
pub(super) fn sign(
    key: &[u8],
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Vec<(String, String)>, Rejection> {
    let timestamp = TimestampFormat::Milliseconds.write(now);
    let listed = [SIGNED_HEADERS, TIMESTAMP].join(",");
    let mut headers = request.headers.pairs().to_vec();
    headers.push((SIGNED_HEADERS.to_owned(), listed.clone().into_bytes()));
    headers.push((TIMESTAMP.to_owned(), timestamp.clone().into_bytes()));
    let headers = crate::event::Headers::new(headers);
    let request = Request {
        headers: &headers,
        ..*request
    };
    let signed = canonical(&request, &listed)?;
    let signature = Encoding::Hex.encode(&hash(key, &signed, request.body));
    Ok(vec![
        (SIGNATURE.to_owned(), signature),
        (SIGNED_HEADERS.to_owned(), listed),
        (TIMESTAMP.to_owned(), timestamp),
    ])
}

fn hash(key: &[u8], signed: &str, body: &[u8]) -> Vec<u8> {
    Hash::Sha256.keyed(key, [signed.as_bytes(), body].into_iter())
}

/// All that is signed but the body.
fn canonical(request: &Request<'_>, listed: &str) -> Result<String, Rejection> {
    let mut wanted: Vec<&str> = listed
        .split(',')
        .chain([SIGNED_HEADERS, TIMESTAMP])
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut headers = Vec::new();
    for name in wanted {
        if let Some(value) = request.header(name)? {
            headers.push((name, value.trim()));
        }
    }
    let present: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let present = present.join(",");
    let written = headers.iter().map(|(name, value)| {
        // The list that is signed is the sorted one, whatever order it was sent in.
        let value = if *name == SIGNED_HEADERS {
            &present
        } else {
            *value
        };
        format!("{name}:{value}")
    });
    let written: Vec<String> = written.collect();
    Ok(format!(
        "{}\n{}\n{}\n",
        request.method,
        path(request),
        written.join(";")
    ))
}

fn path(request: &Request<'_>) -> String {
    let mut path = utf8_percent_encode(request.path(), URI).to_string();
    // What follows a second question mark is not signed at all.
    let query = request.query().and_then(|query| query.split('?').next());
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let escaped = utf8_percent_encode(query, COMPONENT).to_string();
        path.push('?');
        path.extend(utf8_percent_encode(&escaped, URI));
    }
    path
}
