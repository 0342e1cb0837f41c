//! How the text of a secret becomes a key.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use unicode_normalization::UnicodeNormalization;

use crate::config::Secret;
use crate::ingest::scheme::SchemeError;
use crate::public_key::PublicKey;

use super::{KeyError, Material};

/// Base64 as people paste it and as other decoders take it: padding may be missing, and
/// bits that are left over at the end are not looked at.
const PASTED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a secret's text becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Its bytes.
    Text,
    /// Base64.
    Base64,
    /// Base64, after an optional `whsec_` or `v1,whsec_`.
    Whsec,
    /// Base64 after `whsec_`; without that its bytes.
    WhsecOrText,
    /// Hexadecimal.
    Hex,
    /// Its bytes or, if it is hexadecimal, what it decodes to: nobody can tell which.
    TextOrHex,
    /// What follows its first colon; without one its bytes.
    AfterColon,
    /// Its bytes in Unicode's normal form NFKD.
    Nfkd,
    /// The SHA-1 of its bytes: Braintree's derivation.
    Sha1,
    /// An Ed25519 public key in hexadecimal.
    Ed25519Hex,
    /// An Ed25519 public key in base64, after an optional `whpk_`.
    Ed25519Base64,
    /// A public key as SubjectPublicKeyInfo, in PEM or base64.
    Spki,
    /// A public key in PEM; anything else is the key's bytes.
    PemOrText,
}

impl KeyForm {
    /// What a key is made of, from the text of its secret.
    ///
    /// # Errors
    /// [`KeyError::Form`] says what it should have been.
    pub(super) fn read(self, secret: &[u8]) -> Result<Material, KeyError> {
        let shared = |bytes: Cow<'_, [u8]>| Ok(Material::Shared(Secret::new(bytes.into_owned())));
        let base64 = |text: &[u8]| PASTED.decode(text).map(Cow::Owned);
        let public =
            |key: Option<PublicKey>, what| key.map(Material::Public).ok_or(KeyError::Form(what));
        let text = || std::str::from_utf8(secret).unwrap_or_default();
        match self {
            Self::Text | Self::TextOrHex => shared(secret.into()),
            Self::Base64 => shared(base64(secret).map_err(|_| KeyError::Form("base64"))?),
            Self::Whsec => {
                let inner = secret.strip_prefix(b"v1,").unwrap_or(secret);
                let inner = inner.strip_prefix(b"whsec_").unwrap_or(inner);
                let what = "`whsec_` followed by base64";
                shared(base64(inner).map_err(|_| KeyError::Form(what))?)
            }
            Self::WhsecOrText => match secret.strip_prefix(b"whsec_") {
                Some(_) => Self::Whsec.read(secret),
                None => Self::Text.read(secret),
            },
            Self::Hex => {
                let bytes = hex::decode(secret).map_err(|_| KeyError::Form("hexadecimal"))?;
                shared(bytes.into())
            }
            Self::AfterColon => {
                let colon = secret.iter().position(|byte| *byte == b':');
                shared(secret[colon.map_or(0, |at| at + 1)..].into())
            }
            Self::Nfkd => shared(text().nfkd().collect::<String>().into_bytes().into()),
            Self::Sha1 => {
                let hash = crate::hash::Hash::Sha1.plain(std::iter::once(secret));
                shared(hash.into())
            }
            Self::Ed25519Hex => {
                let key = hex::decode(secret).ok();
                let key = key.and_then(|key| PublicKey::ed25519(&key));
                public(key, "an Ed25519 public key: 64 hexadecimal digits")
            }
            Self::Ed25519Base64 => {
                let inner = secret.strip_prefix(b"whpk_").unwrap_or(secret);
                let key = PASTED.decode(inner).ok();
                let key = key.and_then(|key| PublicKey::ed25519(&key));
                public(key, "an Ed25519 public key: 32 bytes in base64")
            }
            Self::Spki => public(
                PublicKey::from_text(text()),
                "a public key: SubjectPublicKeyInfo in PEM or base64",
            ),
            Self::PemOrText if text().trim_start().starts_with("-----BEGIN") => {
                public(PublicKey::from_text(text().trim()), "a public key in PEM")
            }
            Self::PemOrText => shared(secret.into()),
        }
    }

    /// The other key that the text may mean, where the form leaves that open.
    pub(super) fn alternative(self, secret: &[u8]) -> Option<Secret> {
        let decoded = (self == Self::TextOrHex).then(|| hex::decode(secret).ok())?;
        decoded.map(Secret::new)
    }
}

impl FromStr for KeyForm {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        match text {
            "text" => Ok(Self::Text),
            "base64" => Ok(Self::Base64),
            "whsec" => Ok(Self::Whsec),
            "whsec-or-text" => Ok(Self::WhsecOrText),
            "hex" => Ok(Self::Hex),
            "text-or-hex" => Ok(Self::TextOrHex),
            "after-colon" => Ok(Self::AfterColon),
            "nfkd" => Ok(Self::Nfkd),
            "ed25519-hex" => Ok(Self::Ed25519Hex),
            "ed25519-base64" => Ok(Self::Ed25519Base64),
            "spki" => Ok(Self::Spki),
            other => Err(SchemeError::KeyForm(other.to_owned())),
        }
    }
}
