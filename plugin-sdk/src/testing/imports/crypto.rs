//! The fake host's `crypto`: real signatures, with the secrets that the test gives.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::with_sandbox;

pub(crate) use crate::bindings::hookbay::plugin::crypto::{Error, KeyEncoding};

pub(crate) fn hmac_sha256(
    secret: &str,
    encoding: KeyEncoding,
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    let value = with_sandbox("crypto::hmac_sha256", |sandbox| {
        if !sandbox.wants_secret(secret) {
            return Err(Error::Denied(format!(
                "secret `{secret}` is not in the manifest"
            )));
        }
        let value = sandbox.host.secrets.get(secret).cloned();
        Ok(value.unwrap_or_else(|| {
            panic!("the test gives `{secret}` no value: use `Host::with_secret`")
        }))
    })?;
    let invalid = |what: &str| Error::InvalidKey(format!("secret `{secret}` is not {what}"));
    let key = match encoding {
        KeyEncoding::Text => value.into_bytes(),
        KeyEncoding::Base64 => STANDARD.decode(value).map_err(|_| invalid("base64"))?,
        KeyEncoding::Hex => hex::decode(value).map_err(|_| invalid("hexadecimal"))?,
        KeyEncoding::Whsec => value
            .strip_prefix("whsec_")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .ok_or_else(|| invalid("base64 behind `whsec_`"))?,
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}
