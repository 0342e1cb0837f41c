//! A secret that is sent along as it is: a token, or a user and a password.
//!
//! It covers nothing: whoever has seen one request can send any other.

use crate::ingest::verify::{Rejection, Request, Verified};
use crate::json::Pointer;

use super::Coverage;
use super::declared::items;
use super::key::Keyring;
use super::signatures::SignaturePlace;
use crate::hash::{Encoding, is_same};

/// A secret that is sent along as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenScheme {
    /// Where it stands.
    pub place: SignaturePlace,
    /// What stands before it, compared exactly.
    pub prefix: String,
    /// Whether it is `user:password` in base64 (RFC 7617).
    pub is_basic: bool,
    /// The list in the JSON body of which every item must have it.
    pub items: Option<Pointer>,
}

impl TokenScheme {
    /// The headers that it stands in.
    pub fn headers(&self) -> &[String] {
        match &self.place {
            SignaturePlace::Header(names) | SignaturePlace::Headers(names) => names.all(),
            SignaturePlace::Body(_) | SignaturePlace::Query(_) => &[],
        }
    }

    /// Checks a request's token, or each of its items'.
    ///
    /// # Errors
    /// It is missing, not written as it must be, or none of the keys.
    pub fn verify(&self, keys: &Keyring, request: &Request<'_>) -> Result<Verified, Rejection> {
        let Some(items) = &self.items else {
            return self.verify_one(keys, request, request.body);
        };
        let mut last = None;
        for item in self::items(request.body, items)? {
            last = Some(self.verify_one(keys, request, item.as_bytes())?);
        }
        last.ok_or_else(|| Rejection::MissingSignature(self.place.name()))
    }

    fn verify_one(
        &self,
        keys: &Keyring,
        request: &Request<'_>,
        json: &[u8],
    ) -> Result<Verified, Rejection> {
        let malformed = || Rejection::MalformedSignature(self.place.name());
        let mut matched = None;
        for text in self.place.texts(request, json)? {
            let token = text.strip_prefix(&self.prefix).ok_or_else(malformed)?;
            let given = if self.is_basic {
                Encoding::Base64.decode(token).ok_or_else(malformed)?
            } else {
                token.as_bytes().to_vec()
            };
            for (position, key) in keys.keys().iter().enumerate() {
                if key.shared().is_some_and(|key| is_same(key, &given)) {
                    matched = Some(position);
                }
            }
        }
        let secret = matched.ok_or_else(|| Rejection::WrongToken(self.place.name()))?;
        Ok(Verified {
            secret: Some(secret),
            signed_at: None,
            coverage: Coverage::Nothing,
        })
    }

    /// The token as the sender writes it.
    pub(super) fn write(&self, secret: &[u8]) -> String {
        let token = if self.is_basic {
            Encoding::Base64.encode(secret)
        } else {
            String::from_utf8_lossy(secret).into_owned()
        };
        format!("{}{token}", self.prefix)
    }
}
