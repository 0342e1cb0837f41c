//! What is checked of a request that has arrived: whose it is, and then what it says.
//!
//! Pure: no waiting, nothing kept, so that the same request can be examined again later
//! as of its receipt. [`prove`] says whose it is, `contents` what it is.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::config::Secret;
use crate::gzip;

use super::body::unproven_max;
use super::contents::{self, Contents, plain};
use super::handshake::{self, Answer, Outcome, Stage};
use super::refusal::Refusal;
use super::scheme::key::Keyring;
use super::source::Source;
use super::verifier::{Said, Statement};
use super::verify::{self, Rejection, Request};

/// Whose a request is.
enum Proven<'r> {
    /// Its sender is who it says.
    Genuine {
        /// The body as it reads, if that had to be known to prove it.
        body: Option<Cow<'r, [u8]>>,
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
        Ok(said) => (said, None),
        // One that is out of date is signed as it was sent.
        Err(rejection)
            if gzip::is_compressed(request.headers) && !is_asked && !rejection.is_of_time() =>
        {
            let (said, body) = inflated(request, rejection, config.max_body, check)?;
            (said, Some(body))
        }
        Err(rejection) => return Err(Refusal::NotGenuine(rejection)),
    };
    Ok(Proven::Genuine { body, said })
}

/// Checks a compressed body as it reads: some sign before they compress. `rejection` is
/// what was said of the body as it was sent.
fn inflated<'r>(
    request: &Request<'r>,
    rejection: Rejection,
    limit: u64,
    check: impl Fn(&Request<'_>) -> Said,
) -> Result<(Statement, Cow<'r, [u8]>), Refusal> {
    let limit = limit.min(unproven_max(request.body.len() as u64));
    let body = match plain(request, limit) {
        Ok(body) => body,
        Err(Refusal::NotGzip(_)) => return Err(Refusal::NotGenuine(rejection)),
        Err(Refusal::InflatesTooLarge { limit, .. }) => {
            return Err(Refusal::InflatesTooLarge {
                limit,
                is_proven: false,
            });
        }
        Err(refusal) => return Err(refusal),
    };
    let checked = check(&Request {
        body: &body,
        ..*request
    });
    let said = checked.map_err(Refusal::NotGenuine)?;
    Ok((said, body))
}

/// Examines a request in full; `admits` is asked once it is proven, before it is read, and
/// what it gives is kept until it was.
///
/// # Errors
/// The first [`Refusal`].
pub(super) fn examine<T>(
    source: &Source,
    keys: &Keyring,
    request: &Request<'_>,
    received_at: Timestamp,
    said: Option<Said>,
    admits: impl FnOnce() -> Result<T, Refusal>,
) -> Result<Finding, Refusal> {
    let (body, said) = match prove(source, keys, request, received_at, said)? {
        Proven::Genuine { body, said } => (body, said),
        Proven::Question(answer) => return Ok(Finding::Question(answer)),
        Proven::Secret(secret, answer) => return Ok(Finding::Secret(secret, answer)),
    };
    let _turn = admits()?;
    let body = body.map_or_else(|| plain(request, source.config.max_body), Ok)?;
    let readable = Request {
        body: &body,
        ..*request
    };
    let mut contents = contents::read(source, keys, &readable, said)?;
    if let Cow::Owned(inflated) = body {
        contents.inflated = Some(inflated);
    }
    Ok(Finding::Genuine(contents))
}
