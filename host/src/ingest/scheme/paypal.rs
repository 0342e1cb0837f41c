//! PayPal: an RSA signature whose certificate the request names.
//!
//! <https://developer.paypal.com/api/rest/webhooks/rest/#link-selfverification>. Anybody
//! can have PayPal sign something to an address of theirs: what makes it ours is the
//! webhook's id, which is signed but not sent.

use url::Url;

use crate::ingest::verify::{Rejection, Request, Verified};

use super::Coverage;
use super::key::Keyring;
use crate::hash::Encoding;
use crate::public_key::Signing;

const ID: &str = "paypal-transmission-id";
const TIME: &str = "paypal-transmission-time";
const SIGNATURE: &str = "paypal-transmission-sig";
const CERTIFICATE: &str = "paypal-cert-url";
const ALGORITHM: &str = "paypal-auth-algo";
/// The only algorithm that PayPal has.
const RSA_SHA256: &str = "SHA256withRSA";

/// Checks a request from PayPal.
///
/// # Errors
/// [`Rejection::NeedsKey`] where the certificate is not at hand.
pub(crate) fn verify(keys: &Keyring, request: &Request<'_>) -> Result<Verified, Rejection> {
    let place = || format!("header `{SIGNATURE}`");
    let signature = request
        .header(SIGNATURE)?
        .ok_or_else(|| Rejection::MissingSignature(place()))?;
    let part = |name: &str| {
        let missing = || Rejection::MissingPart(format!("header `{name}`"));
        request.header(name)?.ok_or_else(missing)
    };
    let (id, time) = (part(ID)?, part(TIME)?);
    if part(ALGORITHM)? != RSA_SHA256 {
        return Err(Rejection::Requirement {
            place: format!("header `{ALGORITHM}`"),
            wanted: RSA_SHA256.to_owned(),
        });
    }
    let url = part(CERTIFICATE)?;
    if !is_paypals(url) {
        return Err(Rejection::UntrustedKeyAddress(format!(
            "header `{CERTIFICATE}`"
        )));
    }
    let certificate = keys.certificate(url);
    let certificate = certificate.ok_or_else(|| Rejection::NeedsKey(url.to_owned()))?;
    let signature = Encoding::Base64.decode(signature);
    let signature = signature.ok_or_else(|| Rejection::MalformedSignature(place()))?;
    let checksum = crc32fast::hash(request.body);
    let is_signed = |webhook_id: &[u8]| {
        let webhook_id = String::from_utf8_lossy(webhook_id);
        let message = format!("{id}|{time}|{webhook_id}|{checksum}");
        certificate.has_signed(Signing::RsaSha256, message.as_bytes(), &signature)
    };
    let matched = keys
        .keys()
        .iter()
        .position(|key| key.shared().is_some_and(is_signed));
    Ok(Verified {
        secret: Some(matched.ok_or_else(|| Rejection::WrongSignature(place()))?),
        signed_at: None,
        coverage: Coverage::Body,
    })
}

/// Whether a certificate may be fetched from there: only PayPal's own hosts.
fn is_paypals(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.scheme() == "https"
            && url
                .host_str()
                .is_some_and(|host| host.ends_with(".paypal.com"))
            && url.port().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::is_paypals;

    #[test]
    fn certificates_come_from_paypal() {
        for (url, expected) in [
            ("https://api.paypal.com/v1/notifications/certs/CERT-1", true),
            ("https://api.sandbox.paypal.com/c", true),
            ("http://api.paypal.com/c", false),
            ("https://api.paypal.com.evil.example/c", false),
            ("https://evilpaypal.com/c", false),
            ("https://api.paypal.com:8443/c", false),
            ("https://api.paypal.com@evil.example/c", false),
            ("https://u@api.paypal.com/c", false),
            ("https:\\\\evil.example\\.paypal.com/", false),
            ("https://api.paypal.com/c#k", false),
            ("api.paypal.com", false),
        ] {
            assert_eq!(is_paypals(url), expected, "{url}");
        }
    }
}
