//! Whether the body is the one that `Content-Digest` names (RFC 9530).

use hookbay_plugin::verifier::{Reason, Rejection, Request};
use sha2::{Digest as _, Sha256, Sha512};

use crate::fields;

/// Checks every digest of a known algorithm; there must be one.
pub(crate) fn check(request: &Request) -> Result<(), Rejection> {
    let mut is_checked = false;
    for (algorithm, digest) in fields::digests(request.header("content-digest")?)? {
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
