//! What a request says, once it is known whose it is: its events, and what its sender
//! expects. Pure.

use std::borrow::Cow;

use url::Url;

use crate::gzip::{self, InflateError};
use crate::json;

use super::handshake::{self, Answer, Outcome, Stage};
use super::refusal::Refusal;
use super::scheme::key::Keyring;
use super::scheme::selector::{Place, Selector};
use super::scheme::{self, Proof, Provider};
use super::source::Source;
use super::verifier::Statement;
use super::verify::Request;

/// Longest kind that is kept, in bytes; more is cut.
const KIND_MAX: usize = 512;
/// Most events of one request.
const ITEMS_MAX: usize = 5000;
/// What their headers may have together, in bytes: each event has all of the request's.
const ITEM_HEADERS_BYTES: usize = 32 << 20;

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
    /// Whether that id stands in its part of the body, if it has one; else it is the request's.
    pub(super) has_own_id: bool,
    /// Its part of the body; none where it is the whole request.
    pub(super) part: Option<String>,
    /// Whether it matches no trigger.
    pub(super) is_handshake: bool,
    /// Whether the source's filter takes it.
    pub(super) is_wanted: bool,
}

/// The body as it reads, of at most `limit` bytes.
///
/// # Errors
/// It becomes larger, or is not what its headers say.
pub(super) fn plain<'r>(request: &Request<'r>, limit: u64) -> Result<Cow<'r, [u8]>, Refusal> {
    if !gzip::is_compressed(request.headers) {
        return Ok(request.body.into());
    }
    match gzip::inflate(request.body, limit) {
        Ok(plain) => Ok(plain.into()),
        Err(InflateError::TooLarge(limit)) => Err(Refusal::InflatesTooLarge {
            limit,
            is_proven: true,
        }),
        Err(error @ InflateError::NotGzip(_)) => Err(Refusal::NotGzip(error)),
    }
}

/// Checks what a genuine request says and reads it; `request` has the body as it reads.
///
/// # Errors
/// The first [`Refusal`].
pub(super) fn read(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    said: Statement,
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
    let own = (said.kind, said.delivery_id);
    let items = items(
        source,
        request,
        document,
        (Events::Each, own),
        answer.is_some(),
    )?;
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

/// The events of a request, at least one; `is_question` says that it is a handshake.
fn items(
    source: &Source,
    request: &Request<'_>,
    document: Option<&[u8]>,
    (events, own): (Events, (Option<String>, Option<String>)),
    is_question: bool,
) -> Result<Vec<Item>, Refusal> {
    let provider = &source.config.provider;
    let parts = match document {
        Some(document) if !is_question && events == Events::Each => {
            parts(provider, request, document)?
        }
        Some(_) | None => None,
    };
    match parts {
        Some(parts) if !parts.is_empty() => {
            let parts = parts.into_iter();
            let part = |part| item(source, request, document, Some(part), (None, None), false);
            parts.map(part).collect()
        }
        // A list of nothing is how consoles try an address.
        parts => {
            let is_handshake = is_question || parts.is_some();
            Ok(vec![item(
                source,
                request,
                document,
                None,
                own,
                is_handshake,
            )?])
        }
    }
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
    // Of a batch, only its items are looked at.
    let is_one = provider.batches.is_empty();
    if is_one && (is_looked_at(&provider.kind) || is_looked_at(&provider.id)) {
        return Ok(());
    }
    json::check(document).map_err(Refusal::NotJson)
}

/// The parts of a document that are events; none if there is no list in it.
fn parts<'d>(
    provider: &Provider,
    request: &Request<'_>,
    document: &'d [u8],
) -> Result<Option<Vec<&'d str>>, Refusal> {
    let headers = request.headers.iter();
    let header_bytes: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    let limit = ITEMS_MAX.min(ITEM_HEADERS_BYTES / header_bytes.max(1));
    for list in &provider.batches {
        match list.items(document, limit) {
            Ok(Some(parts)) if parts.len() > limit => {
                return Err(Refusal::TooManyItems { limit });
            }
            Ok(Some(parts)) => return Ok(Some(parts)),
            Ok(None) => {}
            // A source that does not promise JSON may send other things too.
            Err(_) if !provider.is_json => return Ok(None),
            Err(error) => return Err(Refusal::NotJson(error)),
        }
    }
    Ok(None)
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
    let value = |place: &Place, takes: &dyn Fn(&Selector) -> bool| match place
        .find_where(request, json, takes)
    {
        Ok(value) => Ok(value),
        Err(_) if !provider.is_json => Ok(None),
        Err(error) => Err(Refusal::NotJson(error)),
    };
    let cut = |mut kind: String| {
        kind.truncate(kind.floor_char_boundary(KIND_MAX));
        kind
    };
    let kind = value(&provider.kind, &|_| true)?.or(own_kind);
    let kind = kind.map_or_else(|| "unknown".to_owned(), cut);
    // Of an item, what it says itself counts before what its request does.
    let is_inside = |selector: &Selector| part.is_none() || selector.is_inside();
    let item_id = value(&provider.id, &is_inside)?;
    let has_own_id = item_id.is_some();
    let delivery_id = match item_id {
        Some(id) => Some(id),
        None => value(&provider.id, &|_| true)?.or(own_id),
    };
    let is_handshake = is_handshake || provider.handshake_kinds.contains(&kind);
    let filter = source.config.filter.as_ref().filter(|_| !is_handshake);
    let is_wanted = filter.is_none_or(|filter| filter.takes(&kind, request, json));
    Ok(Item {
        kind,
        delivery_id,
        has_own_id,
        part: part.map(str::to_owned),
        is_handshake,
        is_wanted,
    })
}

/// What a request says that nobody has to prove; what cannot be read in it is not there.
pub(super) fn unproven(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    events: Events,
) -> Contents {
    let provider = &source.config.provider;
    let body = plain(request, source.config.max_body).unwrap_or(request.body.into());
    let readable = Request {
        body: &body,
        ..*request
    };
    let document = provider.document(&readable);
    let document = document.as_deref();
    let question = handshake::challenge(provider, keys, &readable, Stage::Genuine(None));
    let read = |events| {
        let asked = (events, (None, None));
        items(source, &readable, document, asked, question.is_some())
    };
    let unknown = || Item {
        kind: "unknown".to_owned(),
        delivery_id: None,
        has_own_id: false,
        part: None,
        is_handshake: question.is_some(),
        is_wanted: true,
    };
    let items = read(events).or_else(|_| read(Events::Whole));
    Contents {
        answer: None,
        items: items.unwrap_or_else(|_| vec![unknown()]),
        credential_headers: Vec::new(),
        secret: None,
        confirm: None,
        inflated: match body {
            Cow::Owned(inflated) => Some(inflated),
            Cow::Borrowed(_) => None,
        },
    }
}
