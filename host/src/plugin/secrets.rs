//! The secrets that a plugin may use and never reads.
//!
//! Whoever signs or sends with one asks here by name; whatever comes back to the plugin, or
//! is kept about it, passes [`Secrets::scrub`] before. Which secret may go where is not
//! decided here but in `egress`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::config::Secret;

mod scrub;

use scrub::Scrubber;

/// Senders write keys with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A plugin's granted secrets, by name.
#[derive(Debug, Default)]
pub struct Secrets {
    values: BTreeMap<String, Secret>,
    scrubber: Scrubber,
}

/// How a secret's text becomes a key (`wit/crypto.wit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// Its bytes as they are.
    Text,
    /// Base64 of the standard alphabet, padded or not.
    Base64,
    /// Hexadecimal, of either case.
    Hex,
    /// Base64 behind `whsec_` (Standard Webhooks).
    Whsec,
}

/// Why a secret cannot be used; never says its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum KeyError {
    /// The operator has granted none of this name.
    #[error("no secret `{0}` is granted")]
    Denied(String),
    /// It is not written in this encoding.
    #[error("secret `{name}` is not {}", .encoding.written())]
    Invalid {
        /// Which.
        name: String,
        /// What it should be.
        encoding: KeyEncoding,
    },
}

impl KeyEncoding {
    /// What it is called in a sentence.
    pub(super) fn written(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Hex => "hexadecimal",
            Self::Whsec => "`whsec_` and base64",
        }
    }
}

impl Secrets {
    /// The secrets of a plugin's grants.
    pub fn new(granted: &BTreeMap<String, Secret>) -> Self {
        let named = granted.iter().map(|(name, secret)| (name.as_str(), secret));
        Self {
            scrubber: Scrubber::new(named),
            values: granted.clone(),
        }
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A secret's bytes, for whoever sends them where they may go.
    ///
    /// # Errors
    /// [`KeyError::Denied`] without one of this name.
    pub fn get(&self, name: &str) -> Result<&[u8], KeyError> {
        match self.values.get(name) {
            Some(secret) => Ok(secret.expose()),
            None => Err(KeyError::Denied(name.to_owned())),
        }
    }

    /// The HMAC-SHA256 of a message, keyed with a secret.
    ///
    /// # Errors
    /// [`KeyError`] without one of this name, or if it is written otherwise.
    pub fn hmac_sha256(
        &self,
        name: &str,
        encoding: KeyEncoding,
        message: &[u8],
    ) -> Result<[u8; 32], KeyError> {
        let secret = self.get(name)?;
        let key = decoded(secret, encoding).ok_or_else(|| KeyError::Invalid {
            name: name.to_owned(),
            encoding,
        })?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(message);
        Ok(mac.finalize().into_bytes().into())
    }

    /// The bytes with `[secret NAME]` for each secret in them, plain or encoded.
    pub fn scrub<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.scrubber.scrub(bytes)
    }

    /// The text with `[secret NAME]` for each secret in it, plain or encoded.
    pub fn scrub_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.scrubber.scrub(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A secret may end in the middle of a character.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

/// A secret's bytes, from its text; none where that is written otherwise.
pub(super) fn decoded(secret: &[u8], encoding: KeyEncoding) -> Option<Cow<'_, [u8]>> {
    let base64 = |text: &[u8]| BASE64.decode(text).ok().map(Cow::Owned);
    match encoding {
        KeyEncoding::Text => Some(Cow::Borrowed(secret)),
        KeyEncoding::Base64 => base64(secret),
        KeyEncoding::Hex => hex::decode(secret).ok().map(Cow::Owned),
        KeyEncoding::Whsec => base64(secret.strip_prefix(b"whsec_")?),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyEncoding, KeyError, Secret, Secrets};

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let named = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new(*value));
        Secrets::new(&values.iter().map(named).collect())
    }

    /// RFC 4231, test case 1: key 20 × 0x0b, "Hi There".
    #[test]
    fn a_key_is_the_same_in_each_encoding() {
        let secrets = secrets(&[
            ("text", &"\u{b}".repeat(20)),
            ("hex", &"0b".repeat(20)),
            ("HEX", &"0B".repeat(20)),
            ("base64", "CwsLCwsLCwsLCwsLCwsLCwsLCws="),
            ("unpadded", "CwsLCwsLCwsLCwsLCwsLCwsLCws"),
            ("whsec", "whsec_CwsLCwsLCwsLCwsLCwsLCwsLCws="),
        ]);
        for (name, encoding) in [
            ("text", KeyEncoding::Text),
            ("hex", KeyEncoding::Hex),
            ("HEX", KeyEncoding::Hex),
            ("base64", KeyEncoding::Base64),
            ("unpadded", KeyEncoding::Base64),
            ("whsec", KeyEncoding::Whsec),
        ] {
            let signed = secrets.hmac_sha256(name, encoding, b"Hi There").unwrap();
            assert_eq!(
                hex::encode(signed),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_its_value() {
        let secrets = secrets(&[("KEY", "not a key!"), ("BARE", "CwsLCwsLCws=")]);
        for (name, encoding, expected) in [
            ("KEY", KeyEncoding::Hex, "secret `KEY` is not hexadecimal"),
            ("KEY", KeyEncoding::Base64, "secret `KEY` is not base64"),
            (
                "BARE",
                KeyEncoding::Whsec,
                "secret `BARE` is not `whsec_` and base64",
            ),
            ("GONE", KeyEncoding::Text, "no secret `GONE` is granted"),
        ] {
            let refused = secrets.hmac_sha256(name, encoding, b"").unwrap_err();
            assert_eq!(refused.to_string(), expected);
        }
        assert_eq!(secrets.get("KEY"), Ok(b"not a key!".as_slice()));
        assert_eq!(secrets.get("key"), Err(KeyError::Denied("key".to_owned())));
        assert!(!format!("{secrets:?}").contains("not a key!"));
    }
}
