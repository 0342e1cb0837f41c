//! A webhook as its provider would send it: a sample or a body of one's own, signed. The
//! other side of `verify`, for trying out.

use uuid::Uuid;

use crate::clock::Timestamp;

use super::sample;
use super::scheme::Provider;
use super::scheme::key::Keyring;
use super::scheme::selector::{Place, Selector};
use super::scheme::sign::{Draft, sign};

/// Who seems to send, and where to.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) provider: &'a Provider,
    /// One key, unless the provider checks no signature.
    pub(crate) keys: &'a Keyring,
    /// The address that is called.
    pub(crate) url: &'a str,
    /// The address that is signed, where it is another.
    pub(crate) public_url: Option<&'a str>,
}

/// What goes out.
pub(crate) struct Delivery {
    /// None where nothing of the request tells it.
    pub(crate) kind: Option<String>,
    /// None where the provider has no header for it.
    pub(crate) id: Option<String>,
    /// The address, with what signing has added to it.
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One delivery of a kind, or of the provider's first sample, signed at `now`. `own_body` is
/// sent instead of the sample's.
///
/// # Errors
/// Says why there is no such sample, or why it cannot be signed.
pub(crate) fn prepare(
    sender: &Sender<'_>,
    kind: Option<&str>,
    own_body: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<Delivery, String> {
    let provider = sender.provider;
    let id = Uuid::new_v4().to_string();
    let has_own_body = own_body.is_some();
    let sample = sample::filled(&provider.name, kind, &id, own_body)?;
    let mut headers = vec![("content-type".to_owned(), sample.content_type)];
    headers.extend(sample.headers);
    let (kind_header, id_header) = (header_of(&provider.kind), header_of(&provider.id));
    let kind_value = header_part(&provider.kind, &sample.kind);
    for (name, value) in [(&kind_header, kind_value), (&id_header, id.as_str())] {
        let is_told = |name: &str| headers.iter().any(|(told, _)| told == name);
        if let Some(name) = name.as_deref().filter(|name| !is_told(name)) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    if provider.name == "github" {
        let agent = "GitHub-Hookshot/hookbay".to_owned();
        headers.push(("user-agent".to_owned(), agent));
    }
    let draft = Draft {
        method: "POST".to_owned(),
        url: sender.public_url.unwrap_or(sender.url).to_owned(),
        headers,
        body: sample.body,
    };
    let signed_url = draft.url.clone();
    let signed = match sender.keys.keys().first() {
        Some(key) => sign(&provider.proof, key, draft, &id, now)
            .map_err(|error| format!("{} {error}", provider.name))?,
        None => draft,
    };
    // What signing added to the address is called too.
    let added = signed.url.strip_prefix(&signed_url).unwrap_or_default();
    let is_kind_told = kind_header.is_some() || (!provider.kind.0.is_empty() && !has_own_body);
    Ok(Delivery {
        kind: is_kind_told.then_some(sample.kind),
        id: id_header.map(|_| id),
        url: format!("{}{added}", sender.url),
        headers: signed.headers,
        body: signed.body,
    })
}

/// As much of a kind as stands in the header that its place begins with: all of it, or its
/// first segment where the body has more, as in GitHub's `pull_request.opened`.
fn header_part<'k>(place: &Place, kind: &'k str) -> &'k str {
    let goes_on = place
        .0
        .iter()
        .any(|places| matches!(places.first(), Some(Selector::Header(_))) && places.len() > 1);
    match kind.split_once('.') {
        Some((first, _)) if goes_on => first,
        Some(_) | None => kind,
    }
}

/// The header that a place begins with.
fn header_of(place: &Place) -> Option<String> {
    place.selectors().find_map(|selector| match selector {
        Selector::Header(names) => Some(names.first()),
        Selector::Query(_)
        | Selector::Form(_)
        | Selector::Pointer(_)
        | Selector::KeyEnding(_)
        | Selector::KeyOtherThan(_) => None,
    })
}
