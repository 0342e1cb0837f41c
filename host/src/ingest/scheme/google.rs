//! Google's services, which send a token of a service account (OpenID Connect).
//!
//! Pub/Sub, Eventarc and Chat do:
//! <https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions>. Everybody can
//! have Google sign a token for any audience: what makes it ours is the account in it.

use crate::clock::Timestamp;
use crate::ingest::verify::{Rejection, Request, Verified};
use crate::public_key::Signing;

use super::Coverage;
use super::jws::{Token, claim, time};
use super::key::{Key, Keyring};

const HEADER: &str = "authorization";
const PREFIX: &str = "Bearer ";
/// Where Google's certificates are by their `kid`, which a fragment names here.
const CERTIFICATES: &str = "https://www.googleapis.com/oauth2/v1/certs#";
/// Both are written
/// (<https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload>).
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
const KID_BYTES_MAX: usize = 128;

/// Checks a request's token at its time of receipt.
///
/// # Errors
/// [`Rejection::NeedsKey`] where the certificate is not at hand: only once all that the token
/// says is right. Strangers can know that: what they have fetched is bounded there.
pub(crate) fn verify(
    keys: &Keyring,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let place = || format!("header `{HEADER}`");
    let malformed = || Rejection::MalformedSignature(place());
    let value = request.header(HEADER)?;
    let value = value.ok_or_else(|| Rejection::MissingSignature(place()))?;
    let token = value.strip_prefix(PREFIX).and_then(Token::read);
    let token = token.ok_or_else(malformed)?;
    if claim(&token.header, "alg")?.as_deref() != Some("RS256") || token.is_extended() {
        return Err(malformed());
    }
    let kid = claim(&token.header, "kid")?.filter(|kid| is_kid(kid));
    let url = format!("{CERTIFICATES}{}", kid.ok_or_else(malformed)?);
    let secret = ours(&token.claims, keys, request)?;
    token.check_times(now)?;
    let certificate = keys.certificate(&url).ok_or(Rejection::NeedsKey(url))?;
    if !certificate.has_signed(Signing::RsaSha256, token.signed, &token.signature) {
        return Err(Rejection::WrongSignature(place()));
    }
    Ok(Verified {
        secret: Some(secret),
        signed_at: time(&token.claims, "iat")?,
        coverage: Coverage::Nothing,
    })
}

/// Which of the source's accounts a token is of, if it is for this address.
fn ours(claims: &[u8], keys: &Keyring, request: &Request<'_>) -> Result<usize, Rejection> {
    let place = |name: &str| format!("the token's `{name}`");
    let needed =
        |name: &str| claim(claims, name)?.ok_or_else(|| Rejection::MissingPart(place(name)));
    if !ISSUERS.contains(&needed("iss")?.as_str()) {
        return Err(Rejection::Requirement {
            place: place("iss"),
            wanted: ISSUERS[0].to_owned(),
        });
    }
    let email = needed("email")?;
    let is_account = |key: &Key| key.shared() == Some(email.as_bytes());
    let account = keys.keys().iter().position(is_account);
    let account = account.ok_or_else(|| Rejection::NotOurs(place("email")))?;
    if needed("email_verified")? != "true" {
        return Err(Rejection::Requirement {
            place: place("email_verified"),
            wanted: "true".to_owned(),
        });
    }
    if needed("aud")? != request.url {
        return Err(Rejection::OtherAddress(place("aud")));
    }
    // A token that never ends is none of Google's.
    needed("exp").map(|_| account)
}

fn is_kid(kid: &str) -> bool {
    (1..=KID_BYTES_MAX).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
