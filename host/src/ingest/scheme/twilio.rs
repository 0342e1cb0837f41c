//! Twilio: the address and the sorted form, or the address with the body's hash in it.
//!
//! <https://www.twilio.com/docs/usage/security#validating-requests>, and twilio-python's
//! `request_validator.py` for what that page leaves open: the address is tried with and
//! without its port, fields are sorted and counted once, and a header can say SHA-256.

use crate::ingest::verify::{Rejection, Request, Verified};

use super::Coverage;
use super::key::Keyring;
use crate::hash::{Encoding, Hash};

const SIGNATURE: &str = "x-twilio-signature";
/// `key=…,algorithm=HMAC_SHA256`, sent with signatures that a shared key made.
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
/// The parameter that binds a body which is not a form.
const BODY_HASH: &str = "bodySHA256";

/// Checks a request from Twilio.
///
/// # Errors
/// The signature is missing or wrong, or the body is not the one that the address names.
pub(crate) fn verify(keys: &Keyring, request: &Request<'_>) -> Result<Verified, Rejection> {
    let place = || format!("header `{SIGNATURE}`");
    let signature = request
        .header(SIGNATURE)?
        .ok_or_else(|| Rejection::MissingSignature(place()))?;
    let hash = hash(request)?;
    let fields = fields(request);
    let urls = [without_port(request.url), with_port(request.url)];
    let mut matched = None;
    for (position, key) in keys.keys().iter().enumerate() {
        let Some(key) = key.shared() else { continue };
        for url in &urls {
            let pieces = [url.as_bytes(), &fields];
            let right = hash.keyed(key, pieces.into_iter());
            if Encoding::Base64.is_written(signature, &right) {
                matched = Some(position);
            }
        }
    }
    let secret = matched.ok_or_else(|| Rejection::WrongSignature(place()))?;
    if !request.is_form() && !request.body.is_empty() {
        let named = request.query_value(BODY_HASH);
        let named = named.ok_or_else(|| Rejection::MissingPart(format!("query `{BODY_HASH}`")))?;
        let right = Hash::Sha256.plain(std::iter::once(request.body));
        if !Encoding::Hex.is_written(&named, &right) {
            return Err(Rejection::AlteredBody(format!("query `{BODY_HASH}`")));
        }
    }
    Ok(Verified {
        secret: Some(secret),
        signed_at: None,
        coverage: Coverage::Body,
    })
}

/// The header that Twilio would send for a body; a body that is no form needs its hash in
/// the address first.
pub(super) fn sign(key: &[u8], request: &Request<'_>) -> (String, String) {
    let fields = fields(request);
    let pieces = [request.url.as_bytes(), &fields];
    let hash = Hash::Sha1.keyed(key, pieces.into_iter());
    (SIGNATURE.to_owned(), Encoding::Base64.encode(&hash))
}

fn hash(request: &Request<'_>) -> Result<Hash, Rejection> {
    let settings = request.header(SETTINGS)?.unwrap_or_default();
    let mut settings = settings.split(',').filter_map(|part| part.split_once('='));
    let algorithm = settings.find(|(name, _)| name.trim() == "algorithm");
    match algorithm.map(|(_, value)| value.trim()) {
        None | Some("" | "HMAC_SHA1") => Ok(Hash::Sha1),
        Some("HMAC_SHA256") => Ok(Hash::Sha256),
        Some(_) => Err(Rejection::Requirement {
            place: format!("the algorithm in header `{SETTINGS}`"),
            wanted: "HMAC_SHA256".to_owned(),
        }),
    }
}

/// Names and values of the form, sorted, equal pairs once.
fn fields(request: &Request<'_>) -> Vec<u8> {
    if !request.is_form() {
        return Vec::new();
    }
    let mut fields: Vec<_> = request.form().collect();
    fields.sort_unstable();
    fields.dedup();
    let bytes = fields.iter().flat_map(|(name, value)| [&**name, &**value]);
    bytes.collect::<Vec<_>>().concat()
}

/// The address in four: scheme, user, host, port with its colon, and the rest.
fn split(url: &str) -> Option<(&str, &str, &str, &str, &str)> {
    let (scheme, after) = url.split_at(url.find("://")? + 3);
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    // In an IPv6 address the port's colon comes after the bracket.
    let after_bracket = host.rfind(']').unwrap_or(0);
    let port = host[after_bracket..]
        .find(':')
        .map_or(host.len(), |colon| after_bracket + colon);
    let (host, port) = host.split_at(port);
    Some((scheme, user, host, port, rest))
}

fn without_port(url: &str) -> String {
    let parts = split(url).map(|(scheme, user, host, _, rest)| [scheme, user, host, rest].concat());
    parts.unwrap_or_else(|| url.to_owned())
}

fn with_port(url: &str) -> String {
    let standard = |scheme: &str| {
        if scheme.eq_ignore_ascii_case("https://") {
            ":443"
        } else {
            ":80"
        }
    };
    match split(url) {
        Some((scheme, user, host, "", rest)) => {
            [scheme, user, host, standard(scheme), rest].concat()
        }
        Some(_) | None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{with_port, without_port};

    #[test]
    fn addresses_with_and_without_their_port() {
        for (url, without, with) in [
            ("https://h/a?b:1", "https://h/a?b:1", "https://h:443/a?b:1"),
            ("http://h", "http://h", "http://h:80"),
            (
                "https://u:p@h:8443/a",
                "https://u:p@h/a",
                "https://u:p@h:8443/a",
            ),
            ("https://[::1]/a", "https://[::1]/a", "https://[::1]:443/a"),
            ("https://[::1]:1/a", "https://[::1]/a", "https://[::1]:1/a"),
            ("/a:1", "/a:1", "/a:1"),
        ] {
            assert_eq!(
                (without_port(url).as_str(), with_port(url).as_str()),
                (without, with)
            );
        }
    }
}
