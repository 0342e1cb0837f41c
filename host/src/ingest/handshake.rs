//! What senders ask before they send events: a new address must answer a challenge.
//!
//! A [`Handshake`] is data: how the question is recognised, and of which values of the
//! request the answer is made. Unsigned ones are answered before anything is verified,
//! and not stored; signed ones are verified like any event, stored, and then answered.
//! Pure; the door sends the answers.

use std::str::FromStr;

use super::scheme::key::{Key, Keyring};
use super::scheme::selector::Selector;
use super::scheme::{Provider, SchemeError, braintree};
use super::verify::Request;
use crate::config::Secret;
use crate::hash::{Encoding, Hash, is_same};
use crate::json;

/// Longest value that is given back; real ones have under 200 bytes.
const ECHO_BYTES_MAX: usize = 4096;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The methods by which it comes.
    pub methods: Vec<String>,
    /// Whether it is signed like an event.
    pub is_signed: bool,
    /// By what it is recognised: all of these.
    pub conditions: Vec<Condition>,
    /// Where the token stands that must be the secret's `verify_token`.
    pub token: Option<Selector>,
    /// Where the secret stands that the sender will sign with.
    pub learns: Option<Selector>,
    /// Whether it is answered only while the source has no secret.
    pub is_first_only: bool,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer.
    pub answer: AnswerForm,
    /// A header of the question that is given back.
    pub echo_header: Option<String>,
}

/// Something that a request must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A value is there.
    There(Selector),
    /// A value is not there.
    Absent(Selector),
    /// A value is this one.
    Is(Selector, String),
}

/// What the body of an answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// A value alone, as plain text.
    Text(Part),
    /// An object of texts.
    Json(Vec<(String, Part)>),
    /// Always the same.
    Fixed {
        /// The body.
        body: String,
        /// Its `Content-Type`.
        content_type: String,
    },
    /// Braintree's: public key and hash of the challenge that stands here.
    Braintree(Selector),
}

/// A value in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A value of the question.
    Echo(Selector),
    /// The keyed hash of a value of the question.
    Hmac {
        /// The value.
        of: Selector,
        /// How the hash is written.
        encoding: Encoding,
        /// What stands before it.
        prefix: String,
    },
}

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// Its `Content-Type`.
    pub content_type: String,
    /// A further header.
    pub header: Option<(String, String)>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it is proven.
    Unproven,
    /// It is genuine, by the secret at this position.
    Genuine(Option<usize>),
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has an answer.
    Answer(Answer),
    /// It brings the secret that its sender will sign with, which is none of the source's,
    /// and has this answer if it is taken.
    Secret(Secret, Answer),
    /// It named another token than the secret's, or the secret names none.
    WrongToken,
}

/// The answer to a request that is a handshake at this stage; none if it is an event.
pub fn challenge(
    provider: &Provider,
    keys: &Keyring,
    request: &Request<'_>,
    stage: Stage,
) -> Option<Outcome> {
    let is_signed = matches!(stage, Stage::Genuine(_));
    let handshakes = provider.handshakes.iter();
    let mut handshakes = handshakes
        .filter(|handshake| handshake.is_signed == is_signed)
        .peekable();
    // Most have none at this stage, and a form need not be read for it.
    handshakes.peek()?;
    let json = provider.document(request);
    let json = json.as_deref();
    handshakes
        .filter(|handshake| handshake.is_asked(keys, request, json))
        .find_map(|handshake| handshake.outcome(keys, request, json, stage))
}

impl Handshake {
    fn is_asked(&self, keys: &Keyring, request: &Request<'_>, json: Option<&[u8]>) -> bool {
        self.methods.iter().any(|method| method == request.method)
            // One that brings a secret is never an event, whatever the source has.
            && (self.learns.is_some() || !self.is_first_only || keys.keys().is_empty())
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(request, json))
    }

    fn outcome(
        &self,
        keys: &Keyring,
        request: &Request<'_>,
        json: Option<&[u8]>,
        stage: Stage,
    ) -> Option<Outcome> {
        if let Some(selector) = &self.token {
            let given = value(selector, request, json)?;
            let is_ours = |token: &[u8]| is_same(token, given.as_bytes());
            let mut tokens = keys.keys().iter().filter_map(|key| key.verify_token());
            if !tokens.any(is_ours) {
                return Some(Outcome::WrongToken);
            }
        }
        let part = |part: &Part| part.text(keys, stage, request, json);
        let (body, content_type) = match &self.answer {
            AnswerForm::Text(text) => (part(text)?, "text/plain; charset=utf-8"),
            AnswerForm::Json(fields) => {
                let field =
                    |(name, value): &(String, Part)| Some((name.clone(), part(value)?.into()));
                let fields: Option<serde_json::Map<_, _>> = fields.iter().map(field).collect();
                (
                    serde_json::Value::Object(fields?).to_string(),
                    "application/json",
                )
            }
            AnswerForm::Fixed { body, content_type } => (body.clone(), content_type.as_str()),
            AnswerForm::Braintree(selector) => {
                let challenge = value(selector, request, json)?;
                (
                    braintree::answer(keys, &challenge)?,
                    "text/plain; charset=utf-8",
                )
            }
        };
        let header = match &self.echo_header {
            Some(name) => Some((name.clone(), request.headers.text(name)?.to_owned())),
            None => None,
        };
        let answer = Answer {
            status: self.status,
            body,
            content_type: content_type.to_owned(),
            header,
        };
        let Some(selector) = &self.learns else {
            return Some(Outcome::Answer(answer));
        };
        let given = value(selector, request, json)?;
        let is_known = |key: &Key| {
            key.shared()
                .is_some_and(|key| is_same(key, given.as_bytes()))
        };
        // All are compared, so that the time says nothing of which it is.
        let known = keys.keys().iter().filter(|key| is_known(key)).count();
        Some(match known {
            0 => Outcome::Secret(Secret::new(given), answer),
            _ => Outcome::Answer(answer),
        })
    }
}

impl Condition {
    fn holds(&self, request: &Request<'_>, json: Option<&[u8]>) -> bool {
        let value = |selector: &Selector| selector.find(request, json).ok().flatten();
        match self {
            Self::There(selector) => value(selector).is_some(),
            Self::Absent(selector) => value(selector).is_none(),
            Self::Is(selector, wanted) => value(selector).as_ref() == Some(wanted),
        }
    }
}

impl Part {
    fn text(
        &self,
        keys: &Keyring,
        stage: Stage,
        request: &Request<'_>,
        json: Option<&[u8]>,
    ) -> Option<String> {
        let position = match stage {
            Stage::Genuine(Some(position)) => position,
            Stage::Genuine(None) | Stage::Unproven => 0,
        };
        match self {
            Self::Echo(selector) => value(selector, request, json),
            Self::Hmac {
                of,
                encoding,
                prefix,
            } => {
                let of = value(of, request, json)?;
                if stage == Stage::Unproven && !is_token(&of) {
                    return None;
                }
                let key = keys.keys().get(position)?.shared()?;
                let hash = Hash::Sha256.keyed(key, std::iter::once(of.as_bytes()));
                Some(format!("{prefix}{}", encoding.encode(&hash)))
            }
        }
    }
}

/// Whether a text that anybody may have hashed with the source's key is a token and nothing
/// else. That key proves events too: whoever could have a body hashed could send it.
fn is_token(text: &str) -> bool {
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_base64) && json::check(text.as_bytes()).is_err()
}

fn value(selector: &Selector, request: &Request<'_>, json: Option<&[u8]>) -> Option<String> {
    let found = selector.find(request, json).ok().flatten()?;
    (found.len() <= ECHO_BYTES_MAX).then_some(found)
}

impl FromStr for Condition {
    type Err = SchemeError;

    /// `SELECTOR`, `!SELECTOR` or `SELECTOR=VALUE`.
    fn from_str(text: &str) -> Result<Self, SchemeError> {
        if let Some(selector) = text.strip_prefix('!') {
            return selector.parse().map(Self::Absent);
        }
        match text.split_once('=') {
            Some((selector, wanted)) => Ok(Self::Is(selector.parse()?, wanted.to_owned())),
            None => text.parse().map(Self::There),
        }
    }
}
