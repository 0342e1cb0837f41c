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

use hookbay_plugin::{
    oracle::{self, Form, Hash, Signing},
    verifier::{About, Reason, Rejection, Request, Verified, Verifier},
};

mod base;
mod digest;
mod fields;

#[cfg(test)]
mod tests;

use fields::{Input, Value};

struct HttpMessageSignatures;

hookbay_plugin::export_verifier!(HttpMessageSignatures);

/// Most signatures of one request that are looked at.
const SIGNATURES_MAX: usize = 4;
/// What covers the path.
const PATHS: [&str; 3] = ["@target-uri", "@request-target", "@path"];

impl Verifier for HttpMessageSignatures {
    fn about() -> About {
        hookbay_plugin::about!().covers_body()
    }

    fn verify(request: &Request) -> Result<Verified, Rejection> {
        let inputs = fields::inputs(request.header("signature-input")?)?;
        let signatures = fields::signatures(request.header("signature")?)?;
        let mut last = rejection(
            Reason::MissingSignature,
            "`signature-input` names no signature of `signature`",
        );
        for input in inputs.iter().take(SIGNATURES_MAX) {
            let signature = signatures.iter().find(|(label, _)| *label == input.label);
            let Some((_, signature)) = signature else {
                continue;
            };
            match verify(request, input, signature) {
                Ok(verified) => return Ok(verified),
                Err(why) => last = why,
            }
        }
        Err(last)
    }
}

/// Whether one of the request's signatures proves it.
fn verify(request: &Request, input: &Input<'_>, signature: &[u8]) -> Result<Verified, Rejection> {
    let created = time(input, "created")?
        .ok_or_else(|| rejection(Reason::MissingTimestamp, "the signature has no `created`"))?;
    covers_enough(request, input)?;
    let base = base::signature_base(request, input)?;
    is_signed(input, &base, signature)?;
    if let Some(expires) = time(input, "expires")?
        && expires <= request.received_at_ms
    {
        return Err(rejection(
            Reason::StaleTimestamp,
            "the signature's `expires` has passed",
        ));
    }
    if input.covers("content-digest") {
        digest::check(request)?;
    }
    let nonce = match input.parameter("nonce") {
        Some(Value::Text(nonce)) => Some(nonce.clone()),
        _ => None,
    };
    Ok(Verified {
        signed_at_ms: Some(created),
        kind: None,
        delivery_id: nonce,
    })
}

/// Refuses a signature that leaves out what matters.
fn covers_enough(request: &Request, input: &Input<'_>) -> Result<(), Rejection> {
    let missing = |what: &str| {
        let detail = format!("the signature does not cover {what}");
        Err(rejection(Reason::UnmetRequirement, detail))
    };
    if !input.covers("@method") {
        return missing("`@method`");
    }
    if !PATHS.iter().any(|path| input.covers(path)) {
        return missing("`@target-uri`, `@request-target` or `@path`");
    }
    if !request.body.is_empty() && !input.covers("content-digest") {
        return missing("`content-digest`, and with it the body");
    }
    Ok(())
}

/// Whether a key of the source's has signed `base`, by the algorithm that the signature names.
fn is_signed(input: &Input<'_>, base: &str, signature: &[u8]) -> Result<(), Rejection> {
    let named = match input.parameter("alg") {
        None => None,
        Some(Value::Text(name)) => Some(name.as_str()),
        Some(_) => return Err(rejection(Reason::MalformedSignature, "`alg` is not a text")),
    };
    let takes = |name: &str| named.is_none_or(|named| named == name);
    let mut n_keys = 0;
    if takes("hmac-sha256") {
        for key in oracle::secret_parts("hmac", Form::Base64) {
            n_keys += 1;
            if key.hmac(Hash::Sha256, base).is(signature) {
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
            if keys
                .iter()
                .any(|key| key.has_signed(*signing, base, signature))
            {
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

/// A time among the parameters, in milliseconds.
fn time(input: &Input<'_>, name: &str) -> Result<Option<u64>, Rejection> {
    match input.parameter(name) {
        None => Ok(None),
        Some(Value::Integer(seconds)) => Ok(Some(seconds.saturating_mul(1000))),
        Some(_) => Err(rejection(
            Reason::MalformedTimestamp,
            format!("the signature's `{name}` is no time"),
        )),
    }
}

fn rejection(reason: Reason, detail: impl Into<String>) -> Rejection {
    Rejection::new(reason, detail)
}
