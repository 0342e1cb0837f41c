//! Providers as data: how a sender signs, and where its kind and delivery id stand. Pure.
//!
//! A [`Provider`] is a record read from `host/providers/*.toml`, laid over with the keys
//! that a source sets itself (`config::provider` reads both). Nearly every sender is a
//! [`SignatureScheme`]: places, an algorithm, and a template of what is signed. The few
//! that are not have a file each under `scheme/`. Nothing here knows a provider's name.
//!
//! `verify` checks a request with these, `handshake` answers what comes before any event,
//! and `hookbay send` signs with [`sign`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::hash::{Encoding, Hash};

use super::handshake::Handshake;
use super::verifier::ByVerifier;
use super::verify::Request;

mod aws_sns;
pub(crate) mod braintree;
mod contentful;
mod declared;
mod google;
mod jira_connect;
mod jws;
pub mod key;
mod paypal;
pub mod selector;
pub mod sign;
pub mod signatures;
pub mod template;
pub mod timestamp;
mod token;
mod twilio;

pub use declared::{Algorithm, Requirement, RsaHash, SignatureScheme};
pub use jws::{JwsBinding, JwsScheme};
pub use token::TokenScheme;

pub(super) use aws_sns::{subscribe_url, verify as verify_aws_sns};
pub(super) use braintree::verify as verify_braintree;
pub(super) use contentful::verify as verify_contentful;
pub(super) use google::verify as verify_google;
pub(super) use paypal::verify as verify_paypal;
pub(super) use twilio::verify as verify_twilio;

use key::KeyShape;
use selector::{List, Place};
use timestamp::Tolerance;

/// A sender's convention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its slug, such as `github`.
    pub name: String,
    /// How a request proves where it comes from.
    pub proof: Proof,
    /// Which values a secret has, and how they become a key.
    pub secret: KeyShape,
    /// The methods by which events come.
    pub methods: Vec<String>,
    /// Where the kind stands.
    pub kind: Place,
    /// Where the delivery id stands.
    pub id: Place,
    /// Whether a body that is not JSON is refused.
    pub is_json: bool,
    /// The list in the JSON of which every item is an event: kind and delivery id are then
    /// looked for in the item. The first of these that is there; none where a request is one
    /// event.
    pub batches: Vec<List>,
    /// The field that holds the JSON where the body is a form.
    pub form_field: Option<String>,
    /// Headers that carry the sender's own credential, in lower case: never stored.
    pub credential_headers: Vec<String>,
    /// What comes before any event, and how it is answered.
    pub handshakes: Vec<Handshake>,
    /// The kinds of signed pings, which are stored and start no run.
    pub handshake_kinds: Vec<String>,
    /// What the sender must be answered.
    pub acknowledgement: Acknowledgement,
}

/// How a request proves where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing is checked.
    None,
    /// A signature over what a template says.
    Signature(Box<SignatureScheme>),
    /// A secret that is sent along as it is.
    Token(TokenScheme),
    /// A signed token that binds the body or the address (JWS, RFC 7515).
    Jws(JwsScheme),
    /// Twilio: address and sorted form, or address with the body's hash.
    Twilio,
    /// Braintree: two form fields.
    Braintree,
    /// Contentful: the headers that the request says are signed.
    Contentful(Tolerance),
    /// PayPal: a certificate that the request names.
    PayPal,
    /// Amazon SNS: a certificate that the message names.
    AwsSns,
    /// Google: a token of a service account, for this address.
    Google,
    /// What a verifier plugin says.
    Verifier(ByVerifier),
}

/// What a sender must be answered, where it is not what we would say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Status of what is stored, now or before; 200 to 299.
    pub status: Option<u16>,
    /// Body of what is stored and its `Content-Type`.
    pub body: Option<(String, String)>,
    /// Status of what is not proven; 400 to 599, else 401.
    pub refused: Option<u16>,
    /// Status of a body that is not what it must be; 400 to 599, else 400.
    pub malformed: Option<u16>,
    /// Status while nothing can be stored; 400 to 599, else 503.
    pub overloaded: Option<u16>,
}

/// How much of the body a proof covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every byte.
    Body,
    /// Some values of it: the rest may have been changed on the way.
    Parts,
    /// None of it: whoever has the credential can send anything.
    Nothing,
}

/// Why a word of a scheme is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// The hash function is not known.
    #[error("`{0}` is not an algorithm: use `sha1`, `sha256`, `sha384`, `sha512` or `md5`")]
    Hash(String),
    /// The encoding is not known.
    #[error(
        "`{0}` is not an encoding: use `hex`, `hex-upper`, `hex-any`, `base64`, `base64url` or `base64url-padded`"
    )]
    Encoding(String),
    /// The template has a part that is not known.
    #[error(
        "`{0}` in what is signed is not known: use `{{timestamp}}`, `{{body}}`, `{{id}}`, `{{method}}`, \
         `{{url}}`, `{{url-unescaped}}`, `{{header:NAME}}`, `{{query:NAME}}`, `{{query-lower:NAME}}`, `{{json:/POINTER}}`, `{{json?:/POINTER}}`, \
         `{{form}}`, `{{payload:FIELD}}` or `{{secret}}`"
    )]
    Part(String),
    /// The name of a header is none.
    #[error("`{0}` is not the name of a header")]
    Header(String),
    /// The selector is not known.
    #[error(
        "`{0}` names no place: use `/POINTER`, `header:NAME`, `query:NAME`, `form:NAME`, \
         `key:*END` or `key:!OTHER`"
    )]
    Selector(String),
    /// The format of a time is not known.
    #[error(
        "`{0}` is not how a time is written: use `seconds`, `milliseconds`, `rfc3339` or `http-date`"
    )]
    TimestampFormat(String),
    /// The form of a secret is not known.
    #[error(
        "`{0}` is not a form of a secret: use `text`, `base64`, `whsec`, `whsec-or-text`, `hex`, \
         `text-or-hex`, `after-colon`, `nfkd`, `ed25519-hex`, `ed25519-base64` or `spki`"
    )]
    KeyForm(String),
}

impl Proof {
    /// How much of the body it covers.
    pub fn coverage(&self) -> Coverage {
        match self {
            // What a verifier covers only it can say.
            Self::None | Self::Token(_) | Self::Google | Self::Verifier(_) => Coverage::Nothing,
            Self::Signature(scheme) => scheme.coverage(),
            Self::Jws(scheme) => scheme.coverage(),
            Self::Twilio | Self::Contentful(_) | Self::PayPal => Coverage::Body,
            // Whatever else is in the form or the message is nobody's word.
            Self::Braintree | Self::AwsSns => Coverage::Parts,
        }
    }

    /// Whether a source needs a secret to check it.
    pub fn needs_secret(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the address is part of it, so that it must be known as the sender knows it.
    pub fn covers_url(&self) -> bool {
        match self {
            Self::Signature(scheme) => scheme.signed.has_url(),
            Self::Jws(scheme) => scheme.covers_url(),
            Self::Twilio | Self::Contentful(_) | Self::Google => true,
            Self::None
            | Self::Token(_)
            | Self::Braintree
            | Self::PayPal
            | Self::AwsSns
            | Self::Verifier(_) => false,
        }
    }

    /// Headers that are a credential by themselves.
    pub fn credential_headers(&self) -> &[String] {
        match self {
            Self::Token(scheme) => scheme.headers(),
            Self::None
            | Self::Signature(_)
            | Self::Jws(_)
            | Self::Twilio
            | Self::Braintree
            | Self::Contentful(_)
            | Self::PayPal
            | Self::AwsSns
            | Self::Google
            | Self::Verifier(_) => &[],
        }
    }
}

impl Provider {
    /// The JSON of a request: its body, or the field that holds it where that is a form.
    pub fn document<'r>(&self, request: &Request<'r>) -> Option<Cow<'r, [u8]>> {
        match &self.form_field {
            Some(field) if request.is_form() || request.body.is_empty() => {
                request.payload(field).ok()
            }
            Some(_) | None => Some(request.body.into()),
        }
    }

    /// Whether a sender brings the secret that it signs with.
    pub fn learns(&self) -> bool {
        self.handshakes
            .iter()
            .any(|handshake| handshake.learns.is_some())
    }

    /// Whether events come by this method.
    pub fn takes(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == method)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "the whole body",
            Self::Parts => "some values of the body",
            Self::Nothing => "nothing of the body",
        })
    }
}

impl FromStr for Hash {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let named = Self::ALL.into_iter().find(|hash| hash.name() == text);
        named.ok_or_else(|| SchemeError::Hash(text.to_owned()))
    }
}

impl FromStr for Encoding {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        match text {
            "hex" => Ok(Self::Hex),
            "hex-upper" => Ok(Self::HexUpper),
            "hex-any" => Ok(Self::HexAny),
            "base64" => Ok(Self::Base64),
            "base64url" => Ok(Self::Base64Url),
            "base64url-padded" => Ok(Self::Base64UrlPadded),
            other => Err(SchemeError::Encoding(other.to_owned())),
        }
    }
}
