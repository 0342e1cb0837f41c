//! `signed`: the template of what a sender signs, and what it must not leave out.

use crate::config::reader::Table;
use crate::ingest::scheme::Algorithm;
use crate::ingest::scheme::template::Template;
use crate::ingest::scheme::timestamp::{TimestampPlace, TimestampRule};

use super::proof::Wrong;

/// Reads the template; refuses one that would prove nothing.
pub(super) fn read(
    table: &mut Table<'_>,
    timestamp: Option<&TimestampRule>,
    algorithm: Algorithm,
) -> Result<Template, Wrong> {
    let wrong = |problem: &str| Err(("signed", problem.to_owned()));
    let default = match timestamp.map(|rule| &rule.place) {
        Some(TimestampPlace::Header(_) | TimestampPlace::WithSignature) => "{timestamp}.{body}",
        Some(TimestampPlace::Body { .. }) | None => "{body}",
    };
    let text = table.string("signed").unwrap_or_else(|| default.to_owned());
    let text = with_id(text, table)?;
    let signed: Option<Template> = table.noted("signed", text.parse());
    let signed = signed.ok_or(("signed", String::new()))?;
    let covers_body = table.boolean("covers_body");
    match (signed.covers_body(), covers_body) {
        (true, None | Some(true)) | (false, Some(false)) => {}
        (true, Some(false)) => {
            return Err((
                "covers_body",
                "is `true`: what is signed has the body".to_owned(),
            ));
        }
        (false, None | Some(true)) => {
            return wrong(
                "must contain `{body}`, or anything would pass; `covers_body = false` says that this is meant",
            );
        }
    }
    match timestamp.map(|rule| &rule.place) {
        None if signed.has_timestamp() => {
            return wrong("has `{timestamp}`, which needs `timestamp_header`");
        }
        Some(TimestampPlace::Header(_) | TimestampPlace::WithSignature)
            if !signed.has_timestamp() =>
        {
            return wrong(
                "leaves out `{timestamp}`, so that `timestamp_header` would prove nothing",
            );
        }
        Some(TimestampPlace::Body { .. }) if !signed.has_timestamp() && !signed.covers_body() => {
            return wrong(
                "leaves out `{timestamp}`, so that `timestamp_pointer` would prove nothing",
            );
        }
        Some(_) | None => {}
    }
    match algorithm {
        Algorithm::Digest(_) if !signed.has_secret() => wrong("must contain `{secret}`"),
        Algorithm::Hmac(_) | Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa(_)
            if signed.has_secret() =>
        {
            wrong("has `{secret}`, which only `proof = \"hash\"` uses")
        }
        _ => Ok(signed),
    }
}

/// Reads what may be signed instead; it must prove as much.
pub(super) fn read_other(
    table: &mut Table<'_>,
    signed: &Template,
) -> Result<Option<Template>, Wrong> {
    let Some(text) = table.string("signed_or") else {
        return Ok(None);
    };
    let other: Option<Template> = table.noted("signed_or", text.parse());
    let other = other.ok_or(("signed_or", String::new()))?;
    let proves = |template: &Template| {
        [
            template.covers_body(),
            template.has_timestamp(),
            template.has_url(),
            template.has_secret(),
        ]
    };
    let named = |template: &Template| {
        let headers = template.headers().map(ToString::to_string);
        let parameters = template.parameters().map(str::to_owned);
        let mut named: Vec<String> = headers.chain(parameters).collect();
        named.sort();
        named
    };
    if proves(&other) != proves(signed) || named(&other) != named(signed) {
        let problem =
            "must have body, time, address, secret, headers and parameters where `signed` has them";
        return Err(("signed_or", problem.to_owned()));
    }
    Ok(Some(other))
}

/// `{id}` is the header of the delivery id, which must then be told by `id_header`.
fn with_id(signed: String, table: &Table<'_>) -> Result<String, Wrong> {
    const ID: &str = "{id}";
    if !signed.contains(ID) {
        return Ok(signed);
    }
    match table.peek("id_header").and_then(toml::Value::as_str) {
        Some(header) => Ok(signed.replace(ID, &format!("{{header:{header}}}"))),
        None => Err(("signed", "has `{id}`, which needs `id_header`".to_owned())),
    }
}
