//! A verifier for HTTP Message Signatures (RFC 9421): the request itself says what of it is
//! signed, which no record of the catalogue can describe.
//!
//! What the sender may leave unsigned is decided here and not by the sender: method, path and,
//! where there is a body, its `Content-Digest` (RFC 9530) must be covered, and the time of
//! signing must stand beside them. The source's secret says which sort of key it is, or a
//! public key, which everybody knows, could be used as that of an HMAC:
//!
//! ```toml
//! [sources.partner]
//! provider = "plugin:http-message-signatures"
//! secret   = { public_key = { file = "partner.pem" } }   # or { hmac = "BASE64" }
//! ```

use hookbay_message_signatures::{Signature, check_content_digest, signatures};
use hookbay_plugin::{
    oracle::{self, Form, Hash, Signing},
    verifier::{About, Reason, Rejection, Request, Verified, Verifier},
};

struct HttpMessageSignatures;

hookbay_plugin::export_verifier!(HttpMessageSignatures);

/// What covers the path.
const PATHS: [&str; 3] = ["@target-uri", "@request-target", "@path"];

impl Verifier for HttpMessageSignatures {
    fn about() -> About {
        hookbay_plugin::about!().covers_body()
    }

    fn verify(request: &Request) -> Result<Verified, Rejection> {
        let mut last = rejection(
            Reason::MissingSignature,
            "`signature-input` names no signature of `signature`",
        );
        for signature in signatures(request)? {
            match verify(request, &signature) {
                Ok(verified) => return Ok(verified),
                Err(why) => last = why,
            }
        }
        Err(last)
    }
}

/// Whether one of the request's signatures proves it.
fn verify(request: &Request, signature: &Signature<'_>) -> Result<Verified, Rejection> {
    let created = signature
        .time_ms("created")?
        .ok_or_else(|| rejection(Reason::MissingTimestamp, "the signature has no `created`"))?;
    covers_enough(request, signature)?;
    is_signed(signature, &signature.base(request)?)?;
    if let Some(expires) = signature.time_ms("expires")?
        && expires <= request.received_at_ms
    {
        return Err(rejection(
            Reason::StaleTimestamp,
            "the signature's `expires` has passed",
        ));
    }
    if signature.covers("content-digest") {
        check_content_digest(request)?;
    }
    // One that is no text tells no deliveries apart.
    let nonce = signature.text("nonce").unwrap_or_default();
    Ok(Verified {
        signed_at_ms: Some(created),
        kind: None,
        delivery_id: nonce.map(str::to_owned),
    })
}

/// Refuses a signature that leaves out what matters.
fn covers_enough(request: &Request, signature: &Signature<'_>) -> Result<(), Rejection> {
    let missing = |what: &str| {
        let detail = format!("the signature does not cover {what}");
        Err(rejection(Reason::UnmetRequirement, detail))
    };
    if !signature.covers("@method") {
        return missing("`@method`");
    }
    if !PATHS.iter().any(|path| signature.covers(path)) {
        return missing("`@target-uri`, `@request-target` or `@path`");
    }
    if !request.body.is_empty() && !signature.covers("content-digest") {
        return missing("`content-digest`, and with it the body");
    }
    Ok(())
}

/// Whether a key of the source's has signed `base`, by the algorithm that the signature names.
fn is_signed(signature: &Signature<'_>, base: &str) -> Result<(), Rejection> {
    let (named, bytes) = (signature.text("alg")?, signature.bytes());
    let takes = |name: &str| named.is_none_or(|named| named == name);
    let mut n_keys = 0;
    if takes("hmac-sha256") {
        for key in oracle::secret_parts("hmac", Form::Base64) {
            n_keys += 1;
            if key.hmac(Hash::Sha256, base).is(bytes) {
                return Ok(());
            }
        }
    }
    let signings = [
        ("ed25519", Signing::Ed25519),
        ("ecdsa-p256-sha256", Signing::EcdsaP256Fixed),
        ("rsa-pss-sha512", Signing::RsaPssSha512),
        ("rsa-v1_5-sha256", Signing::RsaSha256),
    ];
    let mut signings = signings.iter().filter(|(name, _)| takes(name)).peekable();
    if signings.peek().is_some() {
        let keys = oracle::secret_parts("public_key", Form::Text);
        n_keys += keys.len();
        for (_, signing) in signings {
            if keys.iter().any(|key| key.has_signed(*signing, base, bytes)) {
                return Ok(());
            }
        }
    }
    if n_keys == 0 {
        let detail = "no secret of the source has `hmac` or `public_key` for the signature's `alg`";
        return Err(rejection(Reason::UnknownKey, detail));
    }
    Err(rejection(
        Reason::WrongSignature,
        "the signature matches none of the source's keys",
    ))
}

fn rejection(reason: Reason, detail: impl Into<String>) -> Rejection {
    Rejection::new(reason, detail)
}

#[cfg(test)]
mod tests;
