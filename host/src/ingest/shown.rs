//! What of a refused request may be shown. Nothing proves it, so that it may carry any
//! sender's credential: one in a header is recognised by the header's name, whoever uses
//! it, one in the body by the place where the source's own provider has it.

use bytes::{Bytes, BytesMut};

use crate::event::Headers;
use crate::json::Pointer;

use super::scheme::selector::Selector;
use super::scheme::signatures::SignaturePlace;
use super::scheme::{Proof, Provider};

/// What stands for a value that is not shown.
const HIDDEN: &str = "[hidden]";
/// Parts of the names of headers that carry credentials.
const TELLING: [&str; 9] = [
    "auth",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "cookie",
    "api-key",
    "apikey",
];

/// Headers with `[hidden]` for what may be a credential, by the provider that there is.
pub fn shown_headers(provider: Option<&Provider>, headers: &Headers) -> Vec<(String, String)> {
    let shown = |(name, value): (&str, &[u8])| {
        let value = match is_credential(provider, name) {
            true => HIDDEN.to_owned(),
            false => String::from_utf8_lossy(value).into_owned(),
        };
        (name.to_owned(), value)
    };
    headers.iter().map(shown).collect()
}

fn is_credential(provider: Option<&Provider>, name: &str) -> bool {
    let is_telling = TELLING.iter().any(|part| name.contains(part));
    is_telling
        || provider.is_some_and(|provider| {
            let learnt = provider.handshakes.iter();
            let learnt = learnt.filter_map(|handshake| handshake.learns.as_ref());
            let mut learnt = learnt.filter_map(|selector| match selector {
                Selector::Header(names) => Some(names),
                _ => None,
            });
            provider
                .credential_headers
                .iter()
                .any(|known| known == name)
                || learnt.any(|names| names.has(name))
        })
}

/// The body with `"[hidden]"` for the token that the provider has in it; none if it has one
/// and it cannot be found.
pub fn shown_body(provider: Option<&Provider>, body: Bytes) -> Option<Bytes> {
    let Some((pointer, items)) = provider.and_then(place_in_body) else {
        return Some(body);
    };
    let items = match items {
        None => vec![std::str::from_utf8(&body).ok()?],
        Some(items) => crate::json::items(crate::json::find_once(&body, items).ok()??).ok()?,
    };
    let mut shown = BytesMut::with_capacity(body.len());
    let mut copied = 0;
    for item in items {
        // Where it is not, nothing is to be hidden.
        let Some(value) = crate::json::find_once(item.as_bytes(), pointer).ok()? else {
            continue;
        };
        // Both are parts of the same body.
        let start = (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
        shown.extend_from_slice(body.get(copied..start)?);
        shown.extend_from_slice(format!("\"{HIDDEN}\"").as_bytes());
        copied = start + value.len();
    }
    shown.extend_from_slice(body.get(copied..)?);
    Some(shown.freeze())
}

/// Where a credential stands in a body, and the list in whose items that is.
fn place_in_body(provider: &Provider) -> Option<(&Pointer, Option<&Pointer>)> {
    if let Proof::Token(scheme) = &provider.proof
        && let SignaturePlace::Body(pointer) = &scheme.place
    {
        return Some((pointer, scheme.items.as_ref()));
    }
    let learnt = provider.handshakes.iter();
    let mut learnt = learnt.filter_map(|handshake| match &handshake.learns {
        Some(Selector::Pointer(pointer)) => Some((pointer, None)),
        _ => None,
    });
    learnt.next()
}

#[cfg(test)]
mod tests {
    use super::{Headers, shown_body, shown_headers};
    use crate::config::provider::named;

    #[test]
    fn no_credential_is_shown() {
        let headers = [
            "authorization",
            "x-gitlab-token",
            "x-hook-secret",
            "cookie",
            "x-api-key",
        ];
        let pairs = headers.map(|name| (name.to_owned(), b"s3cret".to_vec()));
        let mut pairs = pairs.to_vec();
        pairs.push(("x-hub-signature-256".to_owned(), b"sha256=00".to_vec()));
        for provider in [None, named("github").as_ref()] {
            let shown = shown_headers(provider, &Headers::new(pairs.clone()));
            let (last, hidden) = shown.split_last().unwrap();
            assert!(hidden.iter().all(|(_, value)| value == "[hidden]"));
            assert_eq!(last.1, "sha256=00");
        }
    }

    #[test]
    fn a_token_in_the_body_is_cut_out() {
        let graph = named("microsoft-graph").unwrap();
        for (body, expected) in [
            (
                r#"{"value":[{"clientState":"s3cret","id":1},{"id":2},{"clientState":"other"}]}"#,
                Some(
                    r#"{"value":[{"clientState":"[hidden]","id":1},{"id":2},{"clientState":"[hidden]"}]}"#,
                ),
            ),
            ("clientState=s3cret", None),
            (r#"{"value":[{"clientState":"a","clientState":"b"}]}"#, None),
        ] {
            let shown = shown_body(Some(&graph), body.into());
            assert_eq!(shown.as_deref(), expected.map(str::as_bytes), "{body}");
        }
        let github = named("github").unwrap();
        let body = "{\"clientState\":\"x\"}";
        assert_eq!(shown_body(Some(&github), body.into()).unwrap(), body);
    }
}
