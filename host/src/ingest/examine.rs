//! What is checked of a request that has arrived: proof, form, and what it says.
//!
//! Pure: no waiting, nothing kept, so that the same request can be examined again later
//! as of its receipt. [`prove`] says whose it is, [`read`] what it is.

use std::borrow::Cow;

use url::Url;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::gzip::{self, InflateError};
use crate::json;

use super::handshake::{self, Answer, Outcome, Stage};
use super::refusal::Refusal;
use super::scheme::key::Keyring;
use super::scheme::selector::{List, Place, Selector};
use super::scheme::{self, Proof, Provider};
use super::source::Source;
use super::verifier::{Said, Statement};
use super::verify::{self, Rejection, Request};

/// Longest kind that is kept, in bytes; more is cut.
const KIND_MAX: usize = 512;
/// Most events of one request.
const ITEMS_MAX: usize = 5000;
/// How much larger a body may become before anything of it is proven; what anybody may send
/// must not cost us a thousand times its size.
const UNPROVEN_RATIO: u64 = 64;
/// What an unproven body may become in any case.
const UNPROVEN_BYTES: u64 = 1 << 20;

/// Whose a request is.
enum Proven<'r> {
    /// Its sender is who it says.
    Genuine {
        /// The body as it reads.
        body: Cow<'r, [u8]>,
        /// How it was proven.
        said: Statement,
    },
    /// A question that proves nothing: it is answered and not stored.
    Question(Answer),
    /// The secret that its sender will sign with, which is not the source's now, and what is
    /// answered if it is to be.
    Secret(Secret, Answer),
}

/// What a request is, once it has been looked at.
pub(super) enum Finding {
    /// Its sender is who it says.
    Genuine(Contents),
    /// A question that proves nothing: it is answered and not stored.
    Question(Answer),
    /// As [`Proven::Secret`].
    Secret(Secret, Answer),
}

/// What a genuine request says.
pub(super) struct Contents {
    /// What its sender expects, if it is a question.
    pub(super) answer: Option<Answer>,
    /// Its events, at least one.
    pub(super) items: Vec<Item>,
    /// Headers that a verifier calls credentials, beside the provider's.
    pub(super) credential_headers: Vec<String>,
    /// Position of the secret that proved it.
    pub(super) secret: Option<usize>,
    /// The sender's address that is to be visited before it is stored.
    pub(super) confirm: Option<Url>,
    /// The body as it reads, where that is not as it was sent.
    pub(super) inflated: Option<Vec<u8>>,
}

/// What of a request with several events in it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// Each item.
    Each,
    /// All of it.
    Whole,
}

/// One event of a request.
pub(super) struct Item {
    pub(super) kind: String,
    pub(super) delivery_id: Option<String>,
    /// Its part of the body; none where it is the whole request.
    pub(super) part: Option<String>,
    /// Whether it matches no trigger.
    pub(super) is_handshake: bool,
    /// Whether the source's filter takes it.
    pub(super) is_wanted: bool,
}

/// Checks who sent a request, at its time of receipt; `said` is the verdict of the source's
/// verifier plugin, if it has one.
///
/// # Errors
/// The first [`Refusal`].
fn prove<'r>(
    source: &Source,
    keys: &Keyring,
    request: &Request<'r>,
    received_at: Timestamp,
    said: Option<Said>,
) -> Result<Proven<'r>, Refusal> {
    let config = &source.config;
    let provider = &config.provider;
    match handshake::challenge(provider, keys, request, Stage::Unproven) {
        Some(Outcome::Answer(answer)) => return Ok(Proven::Question(answer)),
        Some(Outcome::Secret(secret, answer)) => return Ok(Proven::Secret(secret, answer)),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        None if !provider.takes(request.method) => {
            // Nothing but a handshake comes by this method.
            return Err(Refusal::WrongMethod(source.methods()));
        }
        None => {}
    }
    let check = |request: &Request<'_>| {
        verify::verify(&provider.proof, keys, request, received_at).map(Statement::of)
    };
    let is_asked = said.is_some();
    let (said, body) = match said.unwrap_or_else(|| check(request)) {
        Ok(said) => (said, plain(request, config.max_body)?),
        Err(rejection) if gzip::is_compressed(request.headers) && !is_asked => {
            inflated(request, rejection, config.max_body, check)?
        }
        Err(rejection) => return Err(Refusal::NotGenuine(rejection)),
    };
    source.secret_matched(said.verified.secret, received_at);
    Ok(Proven::Genuine { body, said })
}

/// The body as it reads.
fn plain<'r>(request: &Request<'r>, limit: u64) -> Result<Cow<'r, [u8]>, Refusal> {
    if !gzip::is_compressed(request.headers) {
        return Ok(request.body.into());
    }
    match gzip::inflate(request.body, limit) {
        Ok(plain) => Ok(plain.into()),
        Err(InflateError::TooLarge(limit)) => Err(Refusal::InflatesTooLarge { limit }),
        Err(error @ InflateError::NotGzip(_)) => Err(Refusal::NotGzip(error)),
    }
}

/// Checks a compressed body as it reads: some sign before they compress. `rejection` is
/// what was said of the body as it was sent.
fn inflated<'r>(
    request: &Request<'r>,
    rejection: Rejection,
    limit: u64,
    check: impl Fn(&Request<'_>) -> Said,
) -> Result<(Statement, Cow<'r, [u8]>), Refusal> {
    let sent = request.body.len() as u64;
    let limit = limit.min(UNPROVEN_BYTES.max(sent.saturating_mul(UNPROVEN_RATIO)));
    let body = match plain(request, limit) {
        Ok(body) => body,
        Err(Refusal::NotGzip(_)) => return Err(Refusal::NotGenuine(rejection)),
        Err(refusal) => return Err(refusal),
    };
    let checked = check(&Request {
        body: &body,
        ..*request
    });
    let said = checked.map_err(Refusal::NotGenuine)?;
    Ok((said, body))
}

/// Checks what a genuine request says and reads it; `request` has the body as it reads.
///
/// # Errors
/// The first [`Refusal`].
fn read(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    said: Statement,
    events: Events,
) -> Result<Contents, Refusal> {
    let config = &source.config;
    let provider = &config.provider;
    let stage = Stage::Genuine(said.verified.secret);
    let answer = match handshake::challenge(provider, keys, request, stage) {
        Some(Outcome::Answer(answer)) => Some(answer),
        Some(Outcome::WrongToken) => return Err(Refusal::WrongToken),
        // Only unsigned ones bring a secret.
        Some(Outcome::Secret(..)) | None => None,
    };
    let document = provider.document(request);
    let document = document.as_deref();
    check_json(provider, request, document)?;
    let parts = match (&provider.batch, document) {
        (Some(list), Some(document)) if answer.is_none() && events == Events::Each => {
            parts(provider, list, document)?
        }
        _ => None,
    };
    let items = match parts {
        Some(parts) if !parts.is_empty() => {
            let parts = parts.into_iter();
            let part = |part| item(source, request, document, Some(part), (None, None), false);
            parts.map(part).collect::<Result<_, _>>()?
        }
        // A list of nothing is how consoles try an address.
        parts => {
            let is_handshake = answer.is_some() || parts.is_some();
            let own = (said.kind, said.delivery_id);
            vec![item(source, request, document, None, own, is_handshake)?]
        }
    };
    if let Some(schema) = &config.schema
        && items.iter().any(|item| !item.is_handshake)
    {
        let document = json::document(document.unwrap_or_default());
        let checked = schema.check(&document.map_err(Refusal::NotJson)?);
        checked.map_err(Refusal::SchemaMismatch)?;
    }
    Ok(Contents {
        answer,
        items,
        credential_headers: said.credential_headers,
        secret: said.verified.secret,
        confirm: match provider.proof {
            Proof::AwsSns => scheme::subscribe_url(request),
            _ => None,
        },
        inflated: None,
    })
}

/// Checks that the body is JSON where it must be and nobody looks at all of it later.
fn check_json(
    provider: &Provider,
    request: &Request<'_>,
    document: Option<&[u8]>,
) -> Result<(), Refusal> {
    if !provider.is_json {
        return Ok(());
    }
    let Some(document) = document else {
        // A form without the field that holds the JSON may say itself what it is.
        let is_told = |selector: &Selector| {
            matches!(selector, Selector::Form(_))
                && matches!(selector.find(request, None), Ok(Some(_)))
        };
        if provider.kind.selectors().any(is_told) {
            return Ok(());
        }
        return json::check(request.body).map_err(Refusal::NotJson);
    };
    let is_looked_at = |place: &Place| {
        // An earlier alternative may make a later one unneeded.
        let first = place.0.first().and_then(|selectors| selectors.first());
        first.is_some_and(Selector::is_inside)
    };
    if provider.batch.is_some() || is_looked_at(&provider.kind) || is_looked_at(&provider.id) {
        return Ok(());
    }
    json::check(document).map_err(Refusal::NotJson)
}

/// The parts of a document that are events; none if there is no list in it.
fn parts<'d>(
    provider: &Provider,
    list: &List,
    document: &'d [u8],
) -> Result<Option<Vec<&'d str>>, Refusal> {
    match list.items(document, ITEMS_MAX) {
        Ok(Some(parts)) if parts.len() > ITEMS_MAX => {
            Err(Refusal::TooManyItems { limit: ITEMS_MAX })
        }
        Ok(parts) => Ok(parts),
        // A source that does not promise JSON may send other things too.
        Err(_) if !provider.is_json => Ok(None),
        Err(error) => Err(Refusal::NotJson(error)),
    }
}

/// Reads one event: a part of the document, or all of the request. Where the source does not
/// say where they stand, a verifier's kind and delivery id count.
fn item(
    source: &Source,
    request: &Request<'_>,
    document: Option<&[u8]>,
    part: Option<&str>,
    (own_kind, own_id): (Option<String>, Option<String>),
    is_handshake: bool,
) -> Result<Item, Refusal> {
    let provider = &source.config.provider;
    let json = part.map(str::as_bytes).or(document);
    let value = |place: &Place| match place.find(request, json) {
        Ok(value) => Ok(value),
        Err(_) if !provider.is_json => Ok(None),
        Err(error) => Err(Refusal::NotJson(error)),
    };
    let cut = |mut kind: String| {
        kind.truncate(kind.floor_char_boundary(KIND_MAX));
        kind
    };
    let kind = value(&provider.kind)?.or(own_kind);
    let kind = kind.map_or_else(|| "unknown".to_owned(), cut);
    let delivery_id = value(&provider.id)?.or(own_id);
    let is_handshake = is_handshake || provider.handshake_kinds.contains(&kind);
    let filter = source.config.filter.as_ref().filter(|_| !is_handshake);
    let is_wanted = filter.is_none_or(|filter| filter.takes(&kind, request, json));
    Ok(Item {
        kind,
        delivery_id,
        part: part.map(str::to_owned),
        is_handshake,
        is_wanted,
    })
}

/// Examines a request in full; `admits` is asked once it is proven, before it is read.
///
/// # Errors
/// The first [`Refusal`].
pub(super) fn examine(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    received_at: Timestamp,
    (said, events): (Option<Said>, Events),
    admits: impl FnOnce() -> Result<(), Refusal>,
) -> Result<Finding, Refusal> {
    let (body, said) = match prove(source, keys, request, received_at, said)? {
        Proven::Genuine { body, said } => (body, said),
        Proven::Question(answer) => return Ok(Finding::Question(answer)),
        Proven::Secret(secret, answer) => return Ok(Finding::Secret(secret, answer)),
    };
    admits()?;
    let readable = Request {
        body: &body,
        ..*request
    };
    let mut contents = read(source, keys, &readable, said, events)?;
    if let Cow::Owned(inflated) = body {
        contents.inflated = Some(inflated);
    }
    Ok(Finding::Genuine(contents))
}

/// What a request says that nobody has to prove; what cannot be read in it is not there.
pub(super) fn unproven(source: &Source, request: &Request<'_>) -> Contents {
    let limit = source.config.max_body;
    let body = plain(request, limit).unwrap_or(request.body.into());
    let readable = Request {
        body: &body,
        ..*request
    };
    let document = source.config.provider.document(&readable);
    let item = item(
        source,
        &readable,
        document.as_deref(),
        None,
        (None, None),
        false,
    );
    let item = item.unwrap_or_else(|_| Item {
        kind: "unknown".to_owned(),
        delivery_id: None,
        part: None,
        is_handshake: false,
        is_wanted: true,
    });
    Contents {
        answer: None,
        items: vec![item],
        credential_headers: Vec::new(),
        secret: None,
        confirm: None,
        inflated: match body {
            Cow::Owned(inflated) => Some(inflated),
            Cow::Borrowed(_) => None,
        },
    }
}
