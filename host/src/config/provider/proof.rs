//! The keys of a provider that say how a request proves where it comes from.

use std::fmt::Display;
use std::time::Duration;

use crate::config::reader::Table;
use crate::config::units;
use crate::hash::{Encoding, Hash};
use crate::ingest::scheme::key::{KeyForm, KeyShape};
use crate::ingest::scheme::selector::HeaderNames;
use crate::ingest::scheme::signatures::{Notation, SignaturePlace};
use crate::ingest::scheme::timestamp::{TimestampFormat, TimestampPlace, TimestampRule, Tolerance};
use crate::ingest::scheme::{
    Algorithm, JwsBinding, JwsScheme, Proof, Requirement, RsaHash, SignatureScheme, TokenScheme,
};
use crate::ingest::verifier::ByVerifier;

use super::record::texts;
use super::signed;

/// All of them. Where a source proves otherwise than its provider, none of these applies.
pub(super) const KEYS: [&str; 30] = [
    "proof",
    "verifier",
    "signature_header",
    "signature_pointer",
    "signature_query",
    "repeated",
    "separator",
    "delimiter",
    "tag",
    "timestamp_tag",
    "untagged",
    "algorithm",
    "algorithms",
    "encoding",
    "prefix",
    "secret_form",
    "signed",
    "signed_or",
    "timestamp_header",
    "timestamp_pointer",
    "timestamp_format",
    "timestamp_is_number",
    "tolerance",
    "tolerance_future",
    "require",
    "key_id_header",
    "items",
    "covers_body",
    "issuer",
    "body_claim",
];

/// How far the time of signing may be off, unless something else is said.
const TOLERANCE: Duration = Duration::from_mins(5);
/// What a tolerance may be; a longer one would be none.
const TOLERANCES: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

/// A key and what is wrong with it; no text where that is noted.
pub(super) type Wrong = (&'static str, String);

/// Reads the proof and the shape of its secret; notes what does not fit together.
pub(super) fn read(table: &mut Table<'_>, has_token: bool) -> Option<(Proof, KeyShape)> {
    let word = table.string("proof");
    let proof = match word.as_deref() {
        Some(word) => read_as(word, table),
        None => Err(("proof", "is missing".to_owned())),
    };
    match proof {
        Ok((proof, shape)) => {
            let shape = KeyShape {
                has_verify_token: has_token,
                ..shape
            };
            Some((proof, shape))
        }
        Err((key, problem)) => {
            if !problem.is_empty() {
                table.problem(key, problem);
            }
            None
        }
    }
}

/// Notes keys of other proofs.
pub(super) fn refuse_rest(proof: &Proof, table: &mut Table<'_>) {
    let what = match proof {
        Proof::None => "this provider checks no signature",
        _ => "this proof does not use it",
    };
    for key in KEYS {
        if table.take(key).is_some() {
            table.problem(key, format_args!("has no effect: {what}"));
        }
    }
}

fn read_as(word: &str, table: &mut Table<'_>) -> Result<(Proof, KeyShape), Wrong> {
    let text = KeyShape::plain(KeyForm::Text);
    let shape = |main, has_certificates| KeyShape {
        main,
        has_certificates,
        ..text
    };
    match word {
        "none" => Ok((Proof::None, text)),
        "hmac" | "hash" | "ed25519" | "ecdsa-p256" | "rsa" => {
            let (scheme, form) = signature(word, table)?;
            let id = scheme.key_id.as_ref().map(|_| ("key", false));
            let shape = KeyShape {
                id,
                ..KeyShape::plain(form)
            };
            Ok((Proof::Signature(Box::new(scheme)), shape))
        }
        "token" | "basic" => Ok((Proof::Token(token(word, table)?), text)),
        "jws" => Ok((Proof::Jws(jws(table)?), KeyShape::plain(KeyForm::PemOrText))),
        "twilio" => Ok((Proof::Twilio, text)),
        "braintree" => {
            let shape = KeyShape {
                main: "private_key",
                id: Some(("public_key", true)),
                ..KeyShape::plain(KeyForm::Sha1)
            };
            Ok((Proof::Braintree, shape))
        }
        "contentful" => Ok((Proof::Contentful(some_tolerance(table)?), text)),
        "paypal" => Ok((Proof::PayPal, shape("webhook_id", true))),
        "aws-sns" => Ok((Proof::AwsSns, shape("topic_arn", true))),
        "google" => Ok((Proof::Google, shape("service_account", true))),
        "verifier" => {
            let verifier = table.parse("verifier");
            let verifier = verifier.ok_or(("verifier", "names no plugin".to_owned()))?;
            let by = ByVerifier {
                verifier,
                tolerance: some_tolerance(table)?,
            };
            Ok((Proof::Verifier(by), text))
        }
        other => Err((
            "proof",
            format!(
                "`{other}` is not one of `hmac`, `hash`, `ed25519`, `ecdsa-p256`, `rsa`, `token`, \
                 `basic`, `jws`, `twilio`, `braintree`, `contentful`, `paypal`, `aws-sns`, `google`, `verifier`, `none`"
            ),
        )),
    }
}

fn place(table: &mut Table<'_>) -> Result<SignaturePlace, Wrong> {
    let is_told = table.has("signature_header") || table.has("signature_pointer");
    let header = table.parse("signature_header");
    let header = match table.boolean("repeated") {
        Some(true) => header.map(SignaturePlace::Headers),
        Some(false) | None => header.map(SignaturePlace::Header),
    };
    let body = table.parse("signature_pointer").map(SignaturePlace::Body);
    let query = table.string("signature_query").map(SignaturePlace::Query);
    header.or(body).or(query).ok_or_else(|| match is_told {
        true => ("signature_header", String::new()),
        false => ("signature_header", "is missing".to_owned()),
    })
}

fn signature(word: &str, table: &mut Table<'_>) -> Result<(SignatureScheme, KeyForm), Wrong> {
    let hash: Option<Hash> = table.parse("algorithm");
    let hash = hash.unwrap_or(Hash::Sha256);
    let (algorithm, encoding, form) = match word {
        "hash" => (Algorithm::Digest(hash), Encoding::Hex, KeyForm::Text),
        "ed25519" => (Algorithm::Ed25519, Encoding::Base64, KeyForm::Ed25519Base64),
        "ecdsa-p256" => (Algorithm::EcdsaP256, Encoding::Base64, KeyForm::Spki),
        "rsa" => (Algorithm::Rsa(rsa(hash)?), Encoding::Base64, KeyForm::Spki),
        _ => (Algorithm::Hmac(hash), Encoding::Hex, KeyForm::Text),
    };
    let notation = notation(table);
    let timestamp = timestamp(table, &notation)?;
    let signed = signed::read(table, timestamp.as_ref(), algorithm)?;
    let scheme = SignatureScheme {
        place: place(table)?,
        prefix: table.string("prefix").unwrap_or_default(),
        algorithm,
        encoding: table.parse("encoding").unwrap_or(encoding),
        signed_or: signed::read_other(table, &signed)?,
        signed,
        notation,
        timestamp,
        requirements: requirements(table)?,
        key_id: table.parse("key_id_header"),
        items: table.parse("items"),
    };
    Ok((scheme, table.parse("secret_form").unwrap_or(form)))
}

fn rsa(hash: Hash) -> Result<RsaHash, Wrong> {
    match hash {
        Hash::Sha1 => Ok(RsaHash::Sha1),
        Hash::Sha256 => Ok(RsaHash::Sha256),
        Hash::Sha384 => Ok(RsaHash::Sha384),
        Hash::Sha512 => Ok(RsaHash::Sha512),
        Hash::Md5 => Err(("algorithm", "`md5` is not taken from RSA keys".to_owned())),
    }
}

fn notation(table: &mut Table<'_>) -> Notation {
    let separator = table.string("separator");
    let delimiter = table.string("delimiter");
    let tag = table.string("tag");
    let timestamp_tag = table.string("timestamp_tag");
    let takes_untagged = table.boolean("untagged").unwrap_or(false);
    match (tag, separator) {
        (Some(tag), separator) => Notation::Tagged {
            separator: separator.unwrap_or_else(|| ",".to_owned()),
            delimiter: delimiter.unwrap_or_else(|| "=".to_owned()),
            tag,
            timestamp_tag,
            takes_untagged,
        },
        (None, Some(separator)) => Notation::Positional { separator },
        (None, None) => Notation::Plain,
    }
}

fn timestamp(table: &mut Table<'_>, notation: &Notation) -> Result<Option<TimestampRule>, Wrong> {
    let header = table.parse("timestamp_header").map(TimestampPlace::Header);
    let is_number = table.boolean("timestamp_is_number").unwrap_or(false);
    let body = table.parse("timestamp_pointer");
    let body = body.map(|pointer| TimestampPlace::Body { pointer, is_number });
    let beside = notation
        .has_timestamp()
        .then_some(TimestampPlace::WithSignature);
    let format = table.parse("timestamp_format");
    let is_told = table.has("tolerance") || table.has("tolerance_future");
    let tolerance = tolerance(table)?;
    match header.or(body).or(beside) {
        Some(place) => Ok(Some(TimestampRule {
            place,
            format: format.unwrap_or(TimestampFormat::Seconds),
            tolerance,
        })),
        None if is_told => Err(("tolerance", "needs `timestamp_header`".to_owned())),
        None => Ok(None),
    }
}

/// How far the time of signing may be off; none if it is not looked at.
fn tolerance(table: &mut Table<'_>) -> Result<Option<Tolerance>, Wrong> {
    let read = |key: &'static str, text: &str| {
        let duration = units::duration(text).map_err(|error| (key, error.to_string()))?;
        if !TOLERANCES.contains(&duration) {
            return Err((key, format!("`{text}` is outside 0s to 24h")));
        }
        Ok(duration)
    };
    let past = match table.string("tolerance").as_deref() {
        None => Some(TOLERANCE),
        Some("none") => None,
        Some(text) => Some(read("tolerance", text)?),
    };
    let future = table.string("tolerance_future");
    let future = future.map(|text| read("tolerance_future", &text));
    match (past, future.transpose()?) {
        (None, Some(_)) => Err(("tolerance_future", "needs a `tolerance`".to_owned())),
        (past, future) => Ok(past.map(|past| Tolerance {
            past,
            future: future.unwrap_or(past),
        })),
    }
}

/// The same where the time of signing is always looked at.
fn some_tolerance(table: &mut Table<'_>) -> Result<Tolerance, Wrong> {
    let problem = "cannot be `none` here".to_owned();
    tolerance(table)?.ok_or(("tolerance", problem))
}

fn requirements(table: &mut Table<'_>) -> Result<Vec<Requirement>, Wrong> {
    let Some(required) = table.table("require") else {
        return Ok(Vec::new());
    };
    let requirement = |(header, value): (String, toml::Value)| {
        let header: HeaderNames = header.parse().map_err(|error| wrong_requirement(&error))?;
        let value = value
            .as_str()
            .ok_or_else(|| wrong_requirement(&"must hold texts"))?;
        Ok(Requirement {
            header,
            value: value.to_owned(),
        })
    };
    required.into_rest().into_iter().map(requirement).collect()
}

fn wrong_requirement(error: &dyn Display) -> Wrong {
    ("require", error.to_string())
}

fn token(word: &str, table: &mut Table<'_>) -> Result<TokenScheme, Wrong> {
    let is_basic = word == "basic";
    let prefix = if is_basic { "Basic " } else { "" };
    let place = match is_basic && !table.has("signature_header") {
        true => SignaturePlace::Header(
            "authorization"
                .parse()
                .map_err(|_| ("proof", String::new()))?,
        ),
        false => place(table)?,
    };
    Ok(TokenScheme {
        place,
        prefix: table.string("prefix").unwrap_or_else(|| prefix.to_owned()),
        is_basic,
        items: table.parse("items"),
    })
}

fn jws(table: &mut Table<'_>) -> Result<JwsScheme, Wrong> {
    let missing = |key| (key, "is missing".to_owned());
    let encoding = table.parse("encoding").unwrap_or(Encoding::Hex);
    let binding = match (table.string("body_claim"), table.boolean("covers_body")) {
        (Some(claim), None | Some(true)) => JwsBinding::Body { claim, encoding },
        (Some(_), Some(false)) => {
            return Err(("covers_body", "is `true` with `body_claim`".to_owned()));
        }
        (None, Some(true)) => return Err(("covers_body", "needs `body_claim`".to_owned())),
        (None, Some(false)) => JwsBinding::Nothing,
        (None, None) => JwsBinding::Address,
    };
    Ok(JwsScheme {
        header: table
            .parse("signature_header")
            .ok_or_else(|| missing("signature_header"))?,
        prefix: table.string("prefix").unwrap_or_default(),
        algorithms: texts(table, "algorithms").ok_or_else(|| missing("algorithms"))?,
        issuer: table.string("issuer"),
        binding,
    })
}
