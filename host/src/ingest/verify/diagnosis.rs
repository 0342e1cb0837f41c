//! Why a request is not genuine, in words that help whoever set it up.
//!
//! A rejection says what was found; this says what has probably happened. It tries the
//! usual accidents one at a time (`accidents`): if the request would be genuine with one
//! of them undone, that was it. Pure, and slow beside `verify`: it runs for a person, not
//! at the door. No text here holds a secret, a signature, or a part of either.

use crate::clock::Timestamp;

use super::{Rejection, Request, verify};
use crate::ingest::scheme::key::{Credential, Keyring};
use crate::ingest::scheme::selector::HeaderNames;
use crate::ingest::scheme::signatures::SignaturePlace;
use crate::ingest::scheme::timestamp::{TimestampFormat, TimestampPlace, TimestampRule};
use crate::ingest::scheme::{Proof, Provider};

mod accidents;

/// A request that was rejected, and all that can tell why.
pub struct Case<'a> {
    /// Whose convention it was checked by.
    pub provider: &'a Provider,
    /// The source's secrets as they were given.
    pub credentials: &'a [Credential],
    /// The request.
    pub request: &'a Request<'a>,
    /// When it was received.
    pub now: Timestamp,
}

/// What has probably happened; `siblings` are the other providers there are.
pub fn explain(case: &Case<'_>, rejection: &Rejection, siblings: &[Provider]) -> String {
    match rejection {
        Rejection::MissingSignature(_) => missing(case, siblings),
        Rejection::MalformedSignature(_)
        | Rejection::WrongSignature(_)
        | Rejection::WrongToken(_)
        | Rejection::UnreadableBody(_) => accident(case, rejection, siblings),
        Rejection::Stale { .. } | Rejection::Future { .. } => age(case, rejection),
        Rejection::MalformedTimestamp(_) => time(case),
        Rejection::MissingTimestamp(place) => format!(
            "{place} did not arrive: a proxy may have dropped it, or the sender has another \
             convention"
        ),
        Rejection::Repeated(place) => format!(
            "{place} must be there once: a proxy may add one, or somebody tries to hide a second \
             value behind the first"
        ),
        Rejection::MissingPart(place) => format!(
            "{place} did not arrive: a proxy may have dropped it, or the sender has another \
             convention than `{}`",
            case.provider.name
        ),
        Rejection::Requirement { .. } => format!(
            "the sender signs by another version of the convention than `{}`",
            case.provider.name
        ),
        Rejection::UnknownKey(_) => {
            "it is signed with a key of another account or environment".to_owned()
        }
        Rejection::NotOurs(_) => {
            "it is genuine, but was sent for somebody else: the secret names which are ours"
                .to_owned()
        }
        Rejection::AlteredBody(_) => {
            "the signature is right and the body is another one: it was changed or encoded anew on \
             the way"
                .to_owned()
        }
        Rejection::OtherAddress(_) => {
            "the signature is right and was made for another address: compare `public_url` with \
             the address that the sender was given"
                .to_owned()
        }
        Rejection::UntrustedKeyAddress(_) => {
            "whoever sent this wants it checked with a certificate of their own".to_owned()
        }
        Rejection::ByVerifier { .. } | Rejection::NoVerdict { .. } => {
            "What the verifier plugin checks, its own documentation says.".to_owned()
        }
        Rejection::NeedsKey(_) => {
            "give the certificate as `certs` in the secret, address to PEM".to_owned()
        }
    }
}

/// A signature that is not there: are others?
fn missing(case: &Case<'_>, siblings: &[Provider]) -> String {
    let others: Vec<&str> = siblings
        .iter()
        .filter(|sibling| sibling.name != case.provider.name)
        .filter(|sibling| {
            let headers = signature_headers(&sibling.proof);
            headers.is_some_and(|names| is_there(names, case.request))
        })
        .map(|sibling| sibling.name.as_str())
        .collect();
    match others.as_slice() {
        [] => "nothing in the request looks like a signature: the sender has no secret set, or a \
               proxy drops its headers"
            .to_owned(),
        [one] => format!("it has the signature header of `{one}`: is that the sender?"),
        some => format!(
            "it has a signature header that these use: `{}`",
            some.iter()
                .take(6)
                .copied()
                .collect::<Vec<_>>()
                .join("`, `")
        ),
    }
}

fn is_there(names: &HeaderNames, request: &Request<'_>) -> bool {
    request.headers.iter().any(|(name, _)| names.has(name))
}

fn signature_headers(proof: &Proof) -> Option<&HeaderNames> {
    match proof {
        Proof::Signature(scheme) => match &scheme.place {
            SignaturePlace::Header(names) | SignaturePlace::Headers(names) => Some(names),
            SignaturePlace::Body(_) | SignaturePlace::Query(_) => None,
        },
        Proof::Jws(scheme) => Some(&scheme.header),
        // `Authorization` tells nobody apart.
        Proof::Token(scheme) => match &scheme.place {
            SignaturePlace::Header(names) if !names.has("authorization") => Some(names),
            _ => None,
        },
        Proof::None
        | Proof::Twilio
        | Proof::Braintree
        | Proof::Contentful(_)
        | Proof::PayPal
        | Proof::AwsSns
        | Proof::Google
        | Proof::Verifier(_) => None,
    }
}

/// A signature that does not match: what would have to be different?
fn accident(case: &Case<'_>, rejection: &Rejection, siblings: &[Provider]) -> String {
    let genuine = |proof: &Proof, keys: &Keyring, request: &Request<'_>| {
        verify(&accidents::ageless(proof), keys, request, case.now).is_ok()
    };
    let Ok(keys) = Keyring::new(&case.provider.secret, case.credentials) else {
        return "the secret is not written as this provider writes its secrets".to_owned();
    };
    let proof = &case.provider.proof;
    for (what, keys) in accidents::secrets(&case.provider.secret, case.credentials) {
        if genuine(proof, &keys, case.request) {
            return what.to_owned();
        }
    }
    for (what, other) in accidents::spellings(proof) {
        if genuine(&other, &keys, case.request) {
            return what;
        }
    }
    for (what, body) in accidents::bodies(case.request.body) {
        let request = Request {
            body: &body,
            ..*case.request
        };
        if genuine(proof, &keys, &request) {
            return what.to_owned();
        }
    }
    for (what, url) in accidents::addresses(case.request.url) {
        let request = Request {
            url: &url,
            ..*case.request
        };
        if genuine(proof, &keys, &request) {
            return what.to_owned();
        }
    }
    let is_others = |sibling: &&Provider| {
        let keys = Keyring::new(&sibling.secret, case.credentials);
        sibling.proof.needs_secret()
            && keys.is_ok_and(|keys| genuine(&sibling.proof, &keys, case.request))
    };
    if let Some(sibling) = siblings.iter().find(is_others) {
        return format!("it is genuine by the convention of `{}`", sibling.name);
    }
    unexplained(case, rejection)
}

/// What is left when no accident explains it.
fn unexplained(case: &Case<'_>, rejection: &Rejection) -> String {
    match rejection {
        Rejection::MalformedSignature(_) => {
            return "it is cut off, empty, or of another convention: the sender may have no secret set, \
                    or another version of it"
                .to_owned();
        }
        Rejection::WrongToken(_) => {
            return "the sender has another token than the source: compare both settings"
                .to_owned();
        }
        Rejection::UnreadableBody(_) => {
            return "the signature stands in the body, which is not what the sender's bodies are: it was \
                    changed on the way, or is of another sender"
                .to_owned();
        }
        _ => {}
    }
    let mode = match crate::json::pick(case.request.body, &livemode()) {
        Ok(Some(mode)) if mode == "false" => {
            " (the event is of test mode, which has a secret of its own)"
        }
        Ok(Some(mode)) if mode == "true" => {
            " (the event is of live mode, which has a secret of its own)"
        }
        Ok(_) | Err(_) => "",
    };
    let url = if case.provider.proof.covers_url() {
        ", or `public_url` is not the address that the sender was given"
    } else {
        ""
    };
    format!(
        "another secret was used{mode}, or the body was changed on the way{url}: compare the \
         secret with the sender's settings, and send the body exactly as it came"
    )
}

fn livemode() -> crate::json::Pointer {
    "/livemode".parse().expect("a pointer begins with a slash")
}

/// A time that is too far away: is it in another unit?
fn age(case: &Case<'_>, rejection: &Rejection) -> String {
    if let Some(unit) = other_unit(case) {
        return unit;
    }
    match rejection {
        Rejection::Future { .. } => {
            "signature and body are right: the sender's clock is ahead, or ours is behind"
                .to_owned()
        }
        _ => "signature and body are right: the request was captured and sent again, waited \
              somewhere on the way, or our clock is ahead"
            .to_owned(),
    }
}

/// A time that is none: how is it written?
fn time(case: &Case<'_>) -> String {
    other_unit(case).unwrap_or_else(|| {
        "the time of signing did not arrive as the sender writes it: a proxy may have changed it, \
         or the sender has another convention"
            .to_owned()
    })
}

/// The format in which the time would be near.
fn other_unit(case: &Case<'_>) -> Option<String> {
    let rule = accidents::timestamp_rule(&case.provider.proof)?;
    let text = time_text(rule, case.request)?;
    let tolerance = rule.tolerance?;
    let formats = [
        (TimestampFormat::Seconds, "in seconds"),
        (TimestampFormat::Milliseconds, "in milliseconds"),
        (TimestampFormat::Rfc3339, "in RFC 3339"),
        (TimestampFormat::HttpDate, "an HTTP date"),
    ];
    let is_near = |format: TimestampFormat| {
        let read = format.read(&text);
        read.is_some_and(|time| tolerance.check(time, case.now).is_ok())
    };
    let (_, is) = formats.iter().find(|(format, _)| is_near(*format))?;
    let (_, wanted) = formats.iter().find(|(format, _)| *format == rule.format)?;
    Some(format!(
        "the time of signing is {is}, the provider's is {wanted}"
    ))
}

fn time_text(rule: &TimestampRule, request: &Request<'_>) -> Option<String> {
    match &rule.place {
        TimestampPlace::Header(names) => {
            let value = names.only(request.headers).ok()??;
            String::from_utf8(value.to_vec()).ok()
        }
        TimestampPlace::Body { pointer, .. } => {
            crate::json::pick(request.body, pointer).ok().flatten()
        }
        TimestampPlace::WithSignature => None,
    }
}
