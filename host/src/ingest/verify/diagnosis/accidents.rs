//! What usually goes wrong, undone: other readings of a secret, other spellings of a
//! signature, bodies and addresses as they may have been before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::config::Secret;
use crate::hash::{Encoding, Hash};
use crate::ingest::scheme::key::{Credential, KeyForm, KeyShape, Keyring};
use crate::ingest::scheme::timestamp::TimestampRule;
use crate::ingest::scheme::{Algorithm, Proof, SignatureScheme};
use crate::ingest::verify::request::pairs;

/// The proof without a look at the time.
pub(super) fn ageless(proof: &Proof) -> Proof {
    let mut proof = proof.clone();
    if let Proof::Signature(scheme) = &mut proof
        && let Some(rule) = &mut scheme.timestamp
    {
        rule.tolerance = None;
    }
    proof
}

/// The rule by which a proof looks at the time.
pub(super) fn timestamp_rule(proof: &Proof) -> Option<&TimestampRule> {
    match proof {
        Proof::Signature(scheme) => scheme.timestamp.as_ref(),
        Proof::None
        | Proof::Token(_)
        | Proof::Jws(_)
        | Proof::Twilio
        | Proof::Braintree
        | Proof::Contentful(_)
        | Proof::PayPal
        | Proof::AwsSns
        | Proof::Google
        | Proof::Verifier(_) => None,
    }
}

/// What a secret's text becomes in another reading, if that changes it.
type Reading = fn(&str) -> Option<String>;

/// Other readings of the secrets.
pub(super) fn secrets(
    shape: &KeyShape,
    credentials: &[Credential],
) -> Vec<(&'static str, Keyring)> {
    let texts: [(&str, Reading); 9] = [
        (
            "the secret has white space around it that is not part of it",
            |text| changed(text, text.trim()),
        ),
        (
            "the secret has quotes around it that are not part of it",
            |text| changed(text, text.trim().trim_matches(['"', '\'', '`'])),
        ),
        (
            "the sender's secret ends in a newline, which was left out here",
            |text| Some(format!("{text}\n")),
        ),
        (
            "the secret stands behind its name (`NAME=secret`)",
            |text| text.split_once('=').map(|(_, value)| value.to_owned()),
        ),
        ("the sender uses the secret without its `whsec_`", |text| {
            text.strip_prefix("whsec_").map(str::to_owned)
        }),
        (
            "the sender's secret has `whsec_` before it, which was left out here",
            |text| Some(format!("whsec_{text}")),
        ),
        (
            "the secret has a word before it that is not part of it",
            |text| text.split_once(' ').map(|(_, value)| value.to_owned()),
        ),
        (
            "the secret was given in upper case, the sender's is in lower case",
            |text| changed(text, &text.to_lowercase()),
        ),
        ("the secret is escaped as in an address", |text| {
            let (name, _) = pairs(text.as_bytes()).next()?;
            changed(text, std::str::from_utf8(&name).ok()?)
        }),
    ];
    let forms = [
        (
            KeyForm::Text,
            "the sender uses the secret as it is, without decoding it",
        ),
        (
            KeyForm::Base64,
            "the sender decodes the secret, which is base64",
        ),
        (
            KeyForm::Whsec,
            "the sender decodes the secret behind `whsec_`, which is base64",
        ),
        (
            KeyForm::Hex,
            "the sender decodes the secret, which is hexadecimal",
        ),
    ];
    let read_anew = texts.into_iter().filter_map(|(what, change)| {
        let changed: Vec<Credential> = credentials
            .iter()
            .filter_map(|credential| with_text(shape, credential, change))
            .collect();
        let keys = Keyring::new(shape, &changed).ok()?;
        (!changed.is_empty()).then_some((what, keys))
    });
    let decoded = forms.into_iter().filter_map(|(form, what)| {
        let shape = KeyShape { form, ..*shape };
        Some((what, Keyring::new(&shape, credentials).ok()?))
    });
    read_anew.chain(decoded).collect()
}

fn changed(was: &str, is: &str) -> Option<String> {
    (was != is).then(|| is.to_owned())
}

fn with_text(
    shape: &KeyShape,
    credential: &Credential,
    change: fn(&str) -> Option<String>,
) -> Option<Credential> {
    let change = |secret: &Secret| {
        let text = std::str::from_utf8(secret.expose()).ok()?;
        Some(Credential::Text(Secret::new(change(text)?)))
    };
    match credential {
        Credential::Text(secret) => change(secret),
        Credential::Named(values) => {
            let mut values = values.clone();
            let Some(Credential::Text(main)) = values.get(shape.main) else {
                return None;
            };
            let main = change(main)?;
            values.insert(shape.main.to_owned(), main);
            Some(Credential::Named(values))
        }
    }
}

/// The same scheme with its signature made or written in another way.
pub(super) fn spellings(proof: &Proof) -> Vec<(String, Proof)> {
    let Proof::Signature(scheme) = proof else {
        return Vec::new();
    };
    let mut found: Vec<(String, SignatureScheme)> = Vec::new();
    let mut other = |what: String, change: &dyn Fn(&mut SignatureScheme)| {
        let mut other = (**scheme).clone();
        change(&mut other);
        found.push((what, other));
    };
    if !scheme.prefix.is_empty() {
        let what = format!(
            "the signature is right, but `{}` before it is missing",
            scheme.prefix
        );
        other(what, &|scheme| scheme.prefix.clear());
    }
    let own = scheme.encoding;
    let encodings = [
        Encoding::Hex,
        Encoding::HexUpper,
        Encoding::HexAny,
        Encoding::Base64,
        Encoding::Base64Url,
    ];
    for encoding in encodings.into_iter().filter(|encoding| *encoding != own) {
        let what = format!(
            "the signature is right, but written in {}, where the provider writes {}",
            encoding.name(),
            own.name()
        );
        other(what, &|scheme| scheme.encoding = encoding);
    }
    if let Algorithm::Hmac(own) = scheme.algorithm {
        for hash in Hash::ALL.into_iter().filter(|hash| *hash != own) {
            let what = format!(
                "it is signed with {}, the provider's algorithm is {}",
                hash.name(),
                own.name()
            );
            other(what, &|scheme| scheme.algorithm = Algorithm::Hmac(hash));
        }
        let what = "it is signed with a plain hash of the key and the rest, not with an HMAC";
        let signed = format!("{{secret}}{}", scheme.signed);
        if let Ok(signed) = signed.parse::<crate::ingest::scheme::template::Template>() {
            other(what.to_owned(), &|scheme| {
                scheme.algorithm = Algorithm::Digest(own);
                scheme.signed = signed.clone();
            });
        }
    }
    found.extend(templates(scheme));
    found
        .into_iter()
        .map(|(what, scheme)| (what, Proof::Signature(Box::new(scheme))))
        .collect()
}

/// The same scheme over what other providers sign.
fn templates(scheme: &SignatureScheme) -> Vec<(String, SignatureScheme)> {
    let mut found = Vec::new();
    for signed in [
        "{body}",
        "{timestamp}.{body}",
        "{timestamp}:{body}",
        "{timestamp}{body}",
        "{url}{body}",
    ] {
        let Ok(signed) = signed.parse::<crate::ingest::scheme::template::Template>() else {
            continue;
        };
        let needs_time = signed.has_timestamp() && scheme.timestamp.is_none();
        if signed != scheme.signed && !needs_time {
            let what = format!(
                "`{signed}` is signed, where the provider signs `{}`",
                scheme.signed
            );
            let mut other = scheme.clone();
            other.signed = signed;
            other.signed_or = None;
            found.push((what, other));
        }
    }
    found
}

/// The body as it may have been before something changed it.
pub(super) fn bodies(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    let trimmed = body.trim_ascii();
    if trimmed.len() < body.len() {
        found.push((
            "white space was added at the beginning or end of the body",
            trimmed.to_vec(),
        ));
    }
    for end in [&b"\n"[..], b"\r\n"] {
        let what = "a newline at the end of the body was lost, which is signed";
        found.push((what, [body, end].concat()));
    }
    let unix = replaced(body, b"\r\n", b"\n");
    let windows = replaced(&unix, b"\n", b"\r\n");
    found.push(("line ends of the body were changed from LF to CRLF", unix));
    found.push((
        "line ends of the body were changed from CRLF to LF",
        windows,
    ));
    for name in ["payload", "body", "data"] {
        if let Some((_, value)) = pairs(body).find(|(field, _)| **field == *name.as_bytes()) {
            found.push((
                "the JSON inside the form is signed, not the form",
                value.into_owned(),
            ));
        }
    }
    if let Ok(bytes) = STANDARD.decode(trimmed) {
        found.push(("the body was encoded as base64 on the way", bytes));
    }
    if let Ok(inner) = serde_json::from_slice::<String>(body) {
        found.push((
            "the body was put into quotes, as a JSON text",
            inner.into_bytes(),
        ));
    }
    let what = "the body was encoded anew on the way (JSON is the same, its bytes are not): use the raw body";
    found.extend(encoded_anew(body).into_iter().map(|bytes| (what, bytes)));
    found
}

/// The same JSON as common encoders write it.
fn encoded_anew(body: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Vec::new();
    };
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let minified = minified(text);
    let spaced = spaced(&minified);
    let mut found = vec![json.to_string().into_bytes()];
    for text in [minified, spaced] {
        found.push(escaped(&text, "").into_bytes());
        found.push(escaped(&text, "/").into_bytes());
        found.push(text.replace('/', "\\/").into_bytes());
        found.push(text.into_bytes());
    }
    found.push(serde_json::to_vec_pretty(&json).unwrap_or_default());
    found
}

/// JSON without the spaces between its tokens, its keys in their order.
fn minified(json: &str) -> String {
    outside_texts(json, |c| {
        if c.is_ascii_whitespace() {
            String::new()
        } else {
            c.to_string()
        }
    })
}

/// JSON as Python writes it: a space after each comma and colon.
fn spaced(minified: &str) -> String {
    outside_texts(minified, |c| match c {
        ',' => ", ".to_owned(),
        ':' => ": ".to_owned(),
        c => c.to_string(),
    })
}

/// JSON in which other than ASCII characters, and some more, are escaped.
fn escaped(json: &str, more: &str) -> String {
    let escape = |c: char| {
        if more.contains(c) {
            return format!("\\{c}");
        }
        if c.is_ascii() {
            return c.to_string();
        }
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    };
    json.chars().map(escape).collect()
}

fn outside_texts(json: &str, change: impl Fn(char) -> String) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let mut changed = String::with_capacity(json.len());
    for c in json.chars() {
        if is_in_text {
            changed.push(c);
            is_in_text = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
        } else {
            is_in_text = c == '"';
            changed.push_str(&change(c));
        }
    }
    changed
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// The address as the sender may know it.
pub(super) fn addresses(url: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Some(rest) = url.strip_prefix("http://") {
        found.push((
            "the sender was given the address with https, not http",
            format!("https://{rest}"),
        ));
    }
    if let Some(rest) = url.strip_prefix("https://") {
        found.push((
            "the sender was given the address with http, not https",
            format!("http://{rest}"),
        ));
    }
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    match address.strip_suffix('/') {
        Some(bare) => found.push((
            "the sender was given the address without the slash at its end",
            format!("{bare}{query}"),
        )),
        None => found.push((
            "the sender was given the address with a slash at its end",
            format!("{address}/{query}"),
        )),
    }
    if !query.is_empty() {
        found.push((
            "the sender was given the address without its query",
            address.to_owned(),
        ));
    }
    if let Ok(mut parsed) = url::Url::parse(url) {
        let port = if parsed.scheme() == "https" { 443 } else { 80 };
        if parsed.port().is_some() && parsed.set_port(None).is_ok() {
            found.push((
                "the sender was given the address without its port",
                parsed.to_string(),
            ));
        } else if let Some(host) = parsed.host_str() {
            let with_port = url.replacen(host, &format!("{host}:{port}"), 1);
            found.push(("the sender was given the address with its port", with_port));
        }
    }
    found
}
