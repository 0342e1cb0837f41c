//! Whether the body is the one that `Content-Digest` names (RFC 9530).

use hookbay_plugin::verifier::{Reason, Rejection, Request};
use sha2::{Digest as _, Sha256, Sha512};

use crate::fields;

/// Checks that the body is the one that the request's `Content-Digest` names: by every digest of
/// a known algorithm, `sha-256` and `sha-512`, of which there must be one.
///
/// # Errors
///
/// [`Reason::AlteredBody`] if it is another, [`Reason::UnmetRequirement`] if no algorithm is
/// known, [`Reason::MissingSignature`] or [`Reason::MalformedSignature`] if the header is not there or
/// not written so.
pub fn check_content_digest(request: &Request) -> Result<(), Rejection> {
    let mut is_checked = false;
    for (algorithm, digest) in fields::bytes("content-digest", request.header("content-digest")?)? {
        let actual = match algorithm {
            "sha-256" => Sha256::digest(&request.body).to_vec(),
            "sha-512" => Sha512::digest(&request.body).to_vec(),
            _ => continue,
        };
        // Both can be computed by anybody: how long it takes tells nothing.
        if actual != digest {
            let detail = "the body is not the one that `content-digest` names";
            return Err(Rejection::new(Reason::AlteredBody, detail));
        }
        is_checked = true;
    }
    if is_checked {
        return Ok(());
    }
    let detail = "`content-digest` has neither `sha-256` nor `sha-512`";
    Err(Rejection::new(Reason::UnmetRequirement, detail))
}
