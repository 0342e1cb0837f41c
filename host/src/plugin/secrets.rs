//! Stand-in until egress is merged.
#![allow(missing_docs, reason = "stand-in")]
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    Text,
    Base64,
    Hex,
    Whsec,
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no secret `{0}` is granted")]
    Denied(String),
    #[error("the secret `{name}` is not {encoding}")]
    Invalid {
        name: String,
        encoding: &'static str,
    },
}
#[derive(Default)]
pub struct Secrets;
impl Secrets {
    pub fn hmac_sha256(
        &self,
        secret: &str,
        _: KeyEncoding,
        _: &[u8],
    ) -> Result<[u8; 32], KeyError> {
        Err(KeyError::Denied(secret.to_owned()))
    }
    pub fn scrub_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }
}
