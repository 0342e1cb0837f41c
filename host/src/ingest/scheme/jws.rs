//! Senders that sign a token which binds the body or the address (JWS, RFC 7515 and 7519).
//!
//! The key decides what may have signed, never the token: a public key is no HMAC key, and
//! `none` is no algorithm (RFC 8725 section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::ingest::verify::{Rejection, Request, Verified};
use crate::json::{self, Pointer};

use super::key::{Key, Keyring, Material};
use super::selector::HeaderNames;
use super::{Coverage, jira_connect};
use crate::hash::{Encoding, Hash, is_same};
use crate::public_key::Signing;

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8192;

/// A signed token in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwsScheme {
    /// The header.
    pub header: HeaderNames,
    /// What stands before the token, compared exactly.
    pub prefix: String,
    /// The algorithms that the sender uses, such as `HS256`.
    pub algorithms: Vec<String>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What the token binds.
    pub binding: JwsBinding,
}

/// What a token binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwsBinding {
    /// A claim is the SHA-256 of the body.
    Body {
        /// Its name.
        claim: String,
        /// How the hash is written.
        encoding: Encoding,
    },
    /// `qsh` is the hash of method, path and query (Atlassian Connect).
    Address,
    /// Nothing: whoever has seen the token can send anything until it expires.
    Nothing,
}

/// A token in its parts.
pub(super) struct Token<'t> {
    pub(super) header: Vec<u8>,
    pub(super) claims: Vec<u8>,
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

impl JwsScheme {
    /// How much of the body the token covers.
    pub fn coverage(&self) -> Coverage {
        match self.binding {
            JwsBinding::Body { .. } => Coverage::Body,
            JwsBinding::Address | JwsBinding::Nothing => Coverage::Nothing,
        }
    }

    /// Whether the token binds the address.
    pub fn covers_url(&self) -> bool {
        self.binding == JwsBinding::Address
    }

    /// Checks a request's token at its time of receipt.
    ///
    /// # Errors
    /// The token is missing, not one, not by one of the keys, out of date, or for another
    /// request.
    pub fn verify(
        &self,
        keys: &Keyring,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Verified, Rejection> {
        let place = || format!("header `{}`", self.header);
        let malformed = || Rejection::MalformedSignature(place());
        let value = self.header.only(request.headers)?;
        let value = value.ok_or_else(|| Rejection::MissingSignature(place()))?;
        let text = std::str::from_utf8(value).ok();
        let text = text.and_then(|text| text.strip_prefix(&self.prefix));
        let token = text.and_then(Token::read).ok_or_else(malformed)?;
        let algorithm = claim(&token.header, "alg")?.ok_or_else(malformed)?;
        if !self.algorithms.contains(&algorithm) || token.is_extended() {
            return Err(malformed());
        }
        let mut matched = None;
        for (position, key) in keys.keys().iter().enumerate() {
            if token.is_by(key, &algorithm) {
                matched = Some(position);
            }
        }
        let secret = matched.ok_or_else(|| Rejection::WrongSignature(place()))?;
        let signed_at = self.check_claims(&token, request, now)?;
        Ok(Verified {
            secret: Some(secret),
            signed_at,
            coverage: self.coverage(),
        })
    }

    fn check_claims(
        &self,
        token: &Token<'_>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Rejection> {
        let claims = token.claims.as_slice();
        if let Some(issuer) = &self.issuer
            && claim(claims, "iss")?.as_ref() != Some(issuer)
        {
            return Err(Rejection::Requirement {
                place: "the token's `iss`".to_owned(),
                wanted: issuer.clone(),
            });
        }
        token.check_times(now)?;
        if let Some((name, right, encoding)) = self.binding.claim(request) {
            let place = || format!("the token's `{name}`");
            let missing = || Rejection::MissingPart(place());
            let bound = claim(claims, name)?.ok_or_else(missing)?;
            if !encoding.is_written(&bound, &right) {
                return Err(match self.binding {
                    JwsBinding::Body { .. } => Rejection::AlteredBody(place()),
                    JwsBinding::Address | JwsBinding::Nothing => Rejection::OtherAddress(place()),
                });
            }
        }
        time(claims, "iat")
    }

    /// The header's full text for a request, as the sender writes it; none with a public key.
    pub(super) fn write(&self, key: &Key, request: &Request<'_>, now: Timestamp) -> Option<String> {
        const LIFETIME_S: i64 = 180;
        let issued = now.seconds();
        let mut claims = serde_json::json!({"iat": issued, "exp": issued + LIFETIME_S});
        if let Some((name, bound, encoding)) = self.binding.claim(request) {
            claims[name] = encoding.encode(&bound).into();
        }
        if let Some(issuer) = &self.issuer {
            claims["iss"] = issuer.as_str().into();
        }
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        let header = encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", encode(&claims.to_string()));
        let signature = Hash::Sha256.keyed(key.shared()?, std::iter::once(signed.as_bytes()));
        Some(format!(
            "{}{signed}.{}",
            self.prefix,
            URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

impl JwsBinding {
    /// The claim that binds a request, the hash that it must be, and how that is written.
    fn claim(&self, request: &Request<'_>) -> Option<(&str, Vec<u8>, Encoding)> {
        match self {
            Self::Body { claim, encoding } => {
                let hash = Hash::Sha256.plain(std::iter::once(request.body));
                Some((claim, hash, *encoding))
            }
            Self::Address => Some(("qsh", jira_connect::hash(request), Encoding::Hex)),
            Self::Nothing => None,
        }
    }
}

impl<'t> Token<'t> {
    pub(super) fn read(text: &'t str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            header: decode(header)?,
            claims: decode(claims)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }

    /// Whether it has extensions that must be understood: we understand none (RFC 7515
    /// section 4.1.11).
    pub(super) fn is_extended(&self) -> bool {
        json::find_once(&self.header, &pointer("crit")) != Ok(None)
    }

    /// Checks that it has begun and is not over.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), Rejection> {
        if let Some(expires) = time(&self.claims, "exp")?
            && now >= expires
        {
            return Err(Rejection::Stale {
                age_s: now.since(expires).as_secs(),
                tolerance_s: 0,
            });
        }
        if let Some(begins) = time(&self.claims, "nbf")?
            && now < begins
        {
            return Err(Rejection::Future {
                ahead_s: begins.since(now).as_secs(),
                tolerance_s: 0,
            });
        }
        Ok(())
    }

    fn is_by(&self, key: &Key, algorithm: &str) -> bool {
        match &key.material {
            Material::Shared(secret) => {
                let hash = match algorithm {
                    "HS256" => Hash::Sha256,
                    "HS384" => Hash::Sha384,
                    "HS512" => Hash::Sha512,
                    _ => return false,
                };
                let right = hash.keyed(secret.expose(), std::iter::once(self.signed));
                is_same(&right, &self.signature)
            }
            Material::Public(key) => {
                let signing = match algorithm {
                    "RS256" => Signing::RsaSha256,
                    "RS384" => Signing::RsaSha384,
                    "RS512" => Signing::RsaSha512,
                    "ES256" => Signing::EcdsaFixed,
                    "EdDSA" => Signing::Ed25519,
                    _ => return false,
                };
                key.has_signed(signing, self.signed, &self.signature)
            }
        }
    }
}

fn pointer(name: &str) -> Pointer {
    let escaped = name.replace('~', "~0").replace('/', "~1");
    format!("/{escaped}")
        .parse()
        .expect("a pointer begins with a slash")
}

pub(super) fn claim(claims: &[u8], name: &str) -> Result<Option<String>, Rejection> {
    super::template::json_value(claims, &pointer(name))
}

/// A claim that is a time: seconds since 1970, maybe with decimals.
pub(super) fn time(claims: &[u8], name: &str) -> Result<Option<Timestamp>, Rejection> {
    let Some(text) = claim(claims, name)? else {
        return Ok(None);
    };
    let malformed = || Rejection::MalformedTimestamp(format!("the token's `{name}`"));
    let whole = text.split('.').next().unwrap_or_default();
    let seconds: i64 = whole.parse().map_err(|_| malformed())?;
    let ms = seconds.checked_mul(1000).ok_or_else(malformed)?;
    Ok(Some(Timestamp::from_millis(ms)))
}
