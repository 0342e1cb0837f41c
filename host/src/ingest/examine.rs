//! What is checked of a request that has arrived: proof, form, and what it says.
//!
//! Pure: no waiting, nothing kept, so that the same request can be examined again later
//! as of its receipt.

use url::Url;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::json;

use super::handshake::{self, Answer, Outcome, Stage};
use super::refusal::Refusal;
use super::scheme::key::Keyring;
use super::scheme::selector::{Place, Selector};
use super::scheme::{self, Proof, Provider};
use super::source::Source;
use super::verifier::{Said, Statement};
use super::verify::{self, Request};

/// Longest kind that is kept, in bytes; more is cut.
const KIND_MAX: usize = 512;

/// What a request is, once it has been looked at.
pub(super) enum Finding {
    /// Its sender is who it says.
    Genuine(Genuine),
    /// A question that proves nothing: it is answered and not stored.
    Question(Answer),
    /// The secret that its sender will sign with, which is not the source's now, and what is
    /// answered if it is to be.
    Secret(Secret, Answer),
}

/// What a genuine request says.
pub(super) struct Genuine {
    pub(super) kind: Option<String>,
    pub(super) delivery_id: Option<String>,
    /// What its sender expects, if it is a question.
    pub(super) answer: Option<Answer>,
    /// Headers that a verifier calls credentials, beside the provider's.
    pub(super) credential_headers: Vec<String>,
    /// Position of the secret that proved it.
    pub(super) secret: Option<usize>,
    /// The sender's address that is to be visited before it is stored.
    pub(super) confirm: Option<Url>,
}

/// Goes through the checks in their order, at the request's time of receipt; `said` is the
/// verdict of the source's verifier plugin, if it has one.
///
/// # Errors
/// The first [`Refusal`].
pub(super) fn examine(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    received_at: Timestamp,
    said: Option<Said>,
) -> Result<Finding, Refusal> {
    let provider = &source.config.provider;
    match handshake::challenge(provider, keys, request, Stage::Unproven) {
        Some(Outcome::Answer(answer)) => return Ok(Finding::Question(answer)),
        Some(Outcome::Secret(secret, answer)) => return Ok(Finding::Secret(secret, answer)),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        None if !provider.takes(request.method) => {
            // Nothing but a handshake comes by this method.
            return Err(Refusal::WrongMethod(source.methods()));
        }
        None => {}
    }
    let said = said.unwrap_or_else(|| {
        verify::verify(&provider.proof, keys, request, received_at).map(Statement::of)
    });
    let said = said.map_err(Refusal::NotGenuine)?;
    source.secret_matched(said.verified.secret, received_at);
    let stage = Stage::Genuine(said.verified.secret);
    let answer = match handshake::challenge(provider, keys, request, stage) {
        Some(Outcome::Answer(answer)) => Some(answer),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        // Only unsigned ones bring a secret.
        Some(Outcome::Secret(..)) | None => None,
    };
    let (kind, delivery_id) = read(provider, request)?;
    Ok(Finding::Genuine(Genuine {
        kind: kind.or(said.kind).map(cut),
        delivery_id: delivery_id.or(said.delivery_id),
        answer,
        credential_headers: said.credential_headers,
        secret: said.verified.secret,
        confirm: match provider.proof {
            Proof::AwsSns => scheme::subscribe_url(request),
            _ => None,
        },
    }))
}

/// Kind and delivery id; checks that the body is JSON where it must be.
pub(super) fn read(
    provider: &Provider,
    request: &Request<'_>,
) -> Result<(Option<String>, Option<String>), Refusal> {
    let document = provider.document(request);
    let document = document.as_deref();
    if document.is_none() && provider.is_json {
        // A form without the field that holds the JSON, or nothing at all.
        json::check(request.body).map_err(Refusal::NotJson)?;
    }
    let is_looked_at = |place: &Place| {
        // An earlier alternative may make a later one unneeded.
        let first = place.0.first().and_then(|selectors| selectors.first());
        first.is_some_and(Selector::is_inside)
    };
    if let Some(document) = document
        && provider.is_json
        && !is_looked_at(&provider.kind)
        && !is_looked_at(&provider.id)
    {
        json::check(document).map_err(Refusal::NotJson)?;
    }
    let value = |place: &Place| match place.find(request, document) {
        Ok(value) => Ok(value),
        // A source that does not promise JSON may send other things too.
        Err(_) if !provider.is_json => Ok(None),
        Err(error) => Err(Refusal::NotJson(error)),
    };
    Ok((value(&provider.kind)?, value(&provider.id)?))
}

fn cut(mut kind: String) -> String {
    kind.truncate(kind.floor_char_boundary(KIND_MAX));
    kind
}
