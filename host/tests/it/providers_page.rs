//! The catalogue in `docs/providers.md`: what stands between its marks is made from the
//! provider files, and this says when it is not current. `HOOKBAY_WRITE_DOCS=1` writes it.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookbay::config::{Environment, provider};
use hookbay::ingest::handshake::Handshake;
use hookbay::ingest::scheme::selector::{HeaderNames, List, Place, Selector};
use hookbay::ingest::scheme::signatures::{Notation, SignaturePlace};
use hookbay::ingest::scheme::timestamp::{TimestampRule, Tolerance};
use hookbay::ingest::scheme::{
    Acknowledgement, Algorithm, Coverage, Proof, Provider, RsaHash, SignatureScheme,
};

const BEGIN: &str =
    "<!-- made from host/providers/*.toml by the test `providers_page`: begin -->\n";
const END: &str = "<!-- end -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/providers.md")
}

#[test]
fn the_page_has_the_catalogue_as_it_is() {
    let page = page();
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has its first mark");
    let (is, after) = rest.split_once(END).expect("the page has its second mark");
    let should = catalogue();
    if Environment::of_process()
        .get("HOOKBAY_WRITE_DOCS")
        .is_some()
    {
        let text = [before, BEGIN, &should, END, after].concat();
        std::fs::write(&page, text).unwrap();
        return;
    }
    for (is, should) in is.lines().zip(should.lines()) {
        assert_eq!(
            is, should,
            "write it: HOOKBAY_WRITE_DOCS=1 cargo test --test it providers_page"
        );
    }
    assert_eq!(is.len(), should.len());
}

fn catalogue() -> String {
    let mut table =
        "\n| provider | proof | kind | delivery id | answers |\n|---|---|---|---|---|\n".to_owned();
    let mut notes = "\nWhat to know of single ones:\n\n".to_owned();
    for name in provider::names() {
        let entry = provider::entry(name).unwrap();
        let provider = &entry.provider;
        let title = if entry.doc.starts_with("http") {
            format!("[{}]({})", entry.title, entry.doc)
        } else {
            entry.title
        };
        let columns = [
            format!("`{name}`<br>{title}"),
            proof(provider),
            format!("{}{}", batch(provider), place(&provider.kind)),
            place(&provider.id),
            answers(provider),
        ];
        // A bar ends a cell, in code too, and so does a line.
        let cells = columns.map(|cell| cell.replace('|', "\\|").replace('\n', "\\n"));
        writeln!(table, "| {} |", cells.join(" | ")).unwrap();
        let published = entry.addresses.map(|addresses| {
            let doc = addresses.doc;
            format!("`allow_ips = [\"{name}\"]` lets in [the addresses that it publishes]({doc}).")
        });
        let told: Vec<String> = entry.note.into_iter().chain(published).collect();
        if !told.is_empty() {
            writeln!(notes, "- `{name}`: {}", told.join(" ")).unwrap();
        }
    }
    format!("{table}{notes}\n")
}

/// How a request proves where it comes from, in a line.
fn proof(provider: &Provider) -> String {
    let proof = match &provider.proof {
        Proof::None => "nothing is checked".to_owned(),
        Proof::Signature(scheme) => signature(scheme),
        Proof::Token(scheme) if scheme.is_basic => {
            format!("{}: user and password", at(&scheme.place))
        }
        Proof::Token(scheme) => format!("{}: the token itself", at(&scheme.place)),
        Proof::Jws(scheme) => format!(
            "`{}`: a token signed with {}",
            scheme.header,
            scheme.algorithms.join(", ")
        ),
        Proof::Twilio => {
            "`x-twilio-signature`: base64 HMAC-SHA1 of the address and the sorted form".to_owned()
        }
        Proof::Braintree => "`bt_signature` in the form: hex HMAC-SHA1 of `bt_payload`".to_owned(),
        Proof::Contentful(_) => "`x-contentful-signature`: hex HMAC-SHA256 of method, path, the \
                                 headers that the request names, and body"
            .to_owned(),
        Proof::PayPal => "`paypal-transmission-sig`: RSA-SHA256 of id, time, webhook id and the \
                          body's CRC-32"
            .to_owned(),
        Proof::AwsSns => "`/Signature` in the body: RSA of the message's fields".to_owned(),
        Proof::Google => {
            "`authorization`: a token of a service account, for this address".to_owned()
        }
        // None of the catalogue's.
        Proof::Verifier(by) => format!("what the plugin `{}` says", by.verifier),
    };
    match provider.proof.coverage() {
        Coverage::Body => proof,
        coverage @ (Coverage::Parts | Coverage::Nothing) => {
            format!("{proof} **Covers {coverage}.**")
        }
    }
}

fn signature(scheme: &SignatureScheme) -> String {
    let before = match &scheme.notation {
        Notation::Plain => scheme.prefix.clone(),
        Notation::Tagged { tag, delimiter, .. } => format!("{tag}{delimiter}{}", scheme.prefix),
        Notation::Positional { .. } => String::new(),
    };
    let before = match &scheme.notation {
        Notation::Positional { .. } => "after the time, ".to_owned(),
        Notation::Plain | Notation::Tagged { .. } if before.is_empty() => before,
        Notation::Plain | Notation::Tagged { .. } => format!("`{before}` and "),
    };
    let algorithm = match scheme.algorithm {
        Algorithm::Hmac(hash) => format!("HMAC-{}", hash.name().to_uppercase()),
        Algorithm::Digest(hash) => format!("plain {}", hash.name().to_uppercase()),
        Algorithm::Ed25519 => "Ed25519".to_owned(),
        Algorithm::EcdsaP256 => "ECDSA P-256".to_owned(),
        Algorithm::Rsa(RsaHash::Sha1) => "RSA-SHA1".to_owned(),
        Algorithm::Rsa(RsaHash::Sha256) => "RSA-SHA256".to_owned(),
        Algorithm::Rsa(RsaHash::Sha384) => "RSA-SHA384".to_owned(),
        Algorithm::Rsa(RsaHash::Sha512) => "RSA-SHA512".to_owned(),
    };
    let age = scheme.timestamp.as_ref().map(age).unwrap_or_default();
    format!(
        "{}: {before}{} {algorithm} of `{}`{age}",
        at(&scheme.place),
        scheme.encoding.name(),
        scheme.signed,
    )
}

fn at(place: &SignaturePlace) -> String {
    match place {
        SignaturePlace::Header(names) | SignaturePlace::Headers(names) => code(names),
        SignaturePlace::Body(pointer) => format!("`{pointer}` in the body"),
        SignaturePlace::Query(name) => format!("`query:{name}`"),
    }
}

fn code(names: &HeaderNames) -> String {
    format!("`{names}`")
}

fn age(rule: &TimestampRule) -> String {
    match rule.tolerance {
        None => "; of any age".to_owned(),
        Some(Tolerance { past, future }) if past == future => {
            format!("; within {}", duration(past))
        }
        Some(Tolerance { past, future }) => {
            format!(
                "; at most {} old, {} ahead",
                duration(past),
                duration(future)
            )
        }
    }
}

fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// What each event is, where a request has several.
fn batch(provider: &Provider) -> String {
    let place = |list: &List| match list {
        List::Document => "item".to_owned(),
        List::At(pointer) => format!("of `{pointer}`"),
    };
    let places: Vec<String> = provider.batches.iter().map(place).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!("each {}: ", places.join(", else ")),
    }
}

fn place(place: &Place) -> String {
    let one = |selectors: &Vec<Selector>| joined(selectors.iter(), " . ");
    place.0.iter().map(one).collect::<Vec<_>>().join(", else ")
}

fn joined<T: Display>(all: impl Iterator<Item = T>, between: &str) -> String {
    let all: Vec<String> = all.map(|one| format!("`{one}`")).collect();
    all.join(between)
}

/// Handshakes, pings, and what it must be answered where that is not what we would say.
fn answers(provider: &Provider) -> String {
    let handshake = |handshake: &Handshake| {
        let signed = if handshake.is_signed { "signed " } else { "" };
        format!("{signed}handshake ({})", handshake.methods.join(", "))
    };
    let mut all: Vec<String> = provider.handshakes.iter().map(handshake).collect();
    if !provider.handshake_kinds.is_empty() {
        all.push(format!("pings: `{}`", provider.handshake_kinds.join(", ")));
    }
    let Acknowledgement {
        status,
        body,
        refused,
        malformed,
        overloaded,
    } = &provider.acknowledgement;
    let statuses = [
        ("stored", status),
        ("refused", refused),
        ("malformed", malformed),
        ("overloaded", overloaded),
    ];
    let mut told = Vec::new();
    for (what, status) in statuses {
        if let Some(status) = status {
            told.push(format!("{what}: {status}"));
        }
    }
    all.extend(told);
    if let Some((body, _)) = body.as_ref().filter(|(body, _)| !body.is_empty()) {
        all.push(format!("`{body}`"));
    }
    all.join("; ")
}
