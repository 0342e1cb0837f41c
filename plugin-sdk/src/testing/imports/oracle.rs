//! The fake host's oracle: real hashes of the secrets that the test gives.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::testing::verifying::{MAIN, with_request};

pub(crate) use crate::bindings::verifier::hookbay::plugin::oracle::{
    Encoding, Form, Hash, Signing,
};

/// The bytes that a host would keep to itself.
pub(crate) struct Hidden(Vec<u8>);

pub(crate) fn secrets(part: Option<&str>, form: Form) -> Vec<Hidden> {
    let name = part.unwrap_or(MAIN);
    let texts = with_request("oracle::secrets", |verifying| {
        let tables = verifying.secrets.tables().iter();
        let value = |table: &Vec<(String, String)>| {
            let value = table.iter().find(|(key, _)| key == name);
            value.map(|(_, value)| value.clone())
        };
        tables.map(value).collect::<Vec<_>>()
    });
    let read = |(position, text): (usize, Option<String>)| {
        let (number, bytes) = (position + 1, decoded(&text?, form));
        let bytes =
            bytes.unwrap_or_else(|| panic!("secret {number} of the source is not {form:?}"));
        Some(Hidden(bytes))
    };
    texts.into_iter().enumerate().filter_map(read).collect()
}

fn decoded(text: &str, form: Form) -> Option<Vec<u8>> {
    match form {
        Form::Text => Some(text.as_bytes().to_vec()),
        Form::Base64 => STANDARD.decode(text).ok(),
        Form::Hex => hex::decode(text).ok(),
        Form::Whsec => STANDARD.decode(text.strip_prefix("whsec_")?).ok(),
    }
}

impl Hidden {
    pub(crate) fn joined(&self, before: &[u8], after: &[u8]) -> Self {
        Self([before, &self.0, after].concat())
    }

    pub(crate) fn hmac(&self, algorithm: Hash, message: &[u8]) -> Self {
        Self(match algorithm {
            Hash::Md5 => keyed::<Hmac<Md5>>(&self.0, message),
            Hash::Sha1 => keyed::<Hmac<Sha1>>(&self.0, message),
            Hash::Sha256 => keyed::<Hmac<Sha256>>(&self.0, message),
            Hash::Sha384 => keyed::<Hmac<Sha384>>(&self.0, message),
            Hash::Sha512 => keyed::<Hmac<Sha512>>(&self.0, message),
        })
    }

    pub(crate) fn digest(&self, algorithm: Hash) -> Self {
        Self(match algorithm {
            Hash::Md5 => Md5::digest(&self.0).to_vec(),
            Hash::Sha1 => Sha1::digest(&self.0).to_vec(),
            Hash::Sha256 => Sha256::digest(&self.0).to_vec(),
            Hash::Sha384 => Sha384::digest(&self.0).to_vec(),
            Hash::Sha512 => Sha512::digest(&self.0).to_vec(),
        })
    }

    pub(crate) fn written(&self, encoding: Encoding) -> Self {
        let text = match encoding {
            Encoding::Hex => hex::encode(&self.0),
            Encoding::HexUpper => hex::encode_upper(&self.0),
            Encoding::Base64 => STANDARD.encode(&self.0),
            Encoding::Base64url => URL_SAFE_NO_PAD.encode(&self.0),
        };
        Self(text.into_bytes())
    }

    // A test has no secrets to lose: it need not take the same time for all.
    pub(crate) fn is(&self, presented: &[u8]) -> bool {
        answer("oracle::Hidden::is", self.0 == presented)
    }

    pub(crate) fn has_signed(&self, _: Signing, message: &[u8], signature: &[u8]) -> bool {
        let call = "oracle::Hidden::has_signed";
        let is_so = with_request(call, |verifying| {
            verifying.secrets.has_signed(&self.0, message, signature)
        });
        answer(call, is_so)
    }
}

/// A yes proves the request.
#[track_caller]
fn answer(call: &str, is_so: bool) -> bool {
    with_request(call, |verifying| verifying.is_proved |= is_so);
    is_so
}

fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}
