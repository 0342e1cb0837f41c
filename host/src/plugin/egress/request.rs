//! From what a guest asks for to the request that goes out; pure.
//!
//! The address is put together from the grant's scheme, host and port and the guest's path
//! alone, so that no path leads elsewhere; headers that steer the connection are the host's.
//! Secrets come in here, and only those that the endpoint is granted.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};

use crate::config::EndpointGrant;
use crate::plugin::imports::call::Blob;
use crate::plugin::limits::{
    HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_PATH_MAX, HTTP_REQUEST_BODY_MAX,
};
use crate::plugin::secrets::Secrets;

use super::{Credential, Fetch, FetchError, HeaderValue as Value};

/// Answers are searched for secrets as they come.
const NOT_PACKED: HeaderValue = HeaderValue::from_static("identity");
/// What a request says of itself that sets no `user-agent`.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("hookbay/", env!("CARGO_PKG_VERSION")));
/// Headers that the connection needs and the host sets, that would change who answers, or
/// would have the answer come in a form in which no secret is found.
const OURS: [HeaderName; 9] = [
    header::ACCEPT_ENCODING,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// Whether a header is the host's to set.
pub(in crate::plugin) fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(name)
}

/// Puts the request together.
///
/// # Errors
/// [`FetchError::Denied`] for a secret that the endpoint is not granted,
/// [`FetchError::Invalid`] for what is no request, [`FetchError::TooLarge`].
pub(super) fn request(
    fetch: &Fetch,
    grant: &EndpointGrant,
    secrets: &Secrets,
    idempotency_key: &str,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let headers = headers(fetch, &grant.secrets, secrets, idempotency_key)?;
    let body = fetch.body.as_ref().map_or(&[][..], |body| &body.0);
    within("the request's body", body.len(), HTTP_REQUEST_BODY_MAX)?;
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = method(&fetch.method)?;
    *request.uri_mut() = uri(grant, &fetch.path)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn uri(grant: &EndpointGrant, path: &str) -> Result<Uri, FetchError> {
    let scheme = if grant.origin.is_https() {
        "https"
    } else {
        "http"
    };
    Uri::builder()
        .scheme(scheme)
        .authority(grant.origin.authority())
        .path_and_query(path_and_query(path)?)
        .build()
        .map_err(|_| FetchError::Invalid("the path fits no address".to_owned()))
}

/// The path as it was given: what a server would read in another way is refused, not mended.
fn path_and_query(path: &str) -> Result<PathAndQuery, FetchError> {
    let refused = |why: &str| Err(FetchError::Invalid(format!("the path {why}")));
    within("the path", path.len(), HTTP_PATH_MAX)?;
    if !path.starts_with('/') {
        return refused("does not begin with `/`");
    }
    if path.starts_with("//") {
        return refused("begins with `//`, which is how another host is named");
    }
    if path
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'#'))
    {
        return refused("holds a space, `\\`, `#` or what is not printable ASCII");
    }
    let (before_query, _) = path.split_once('?').unwrap_or((path, ""));
    if before_query.split('/').any(is_dots) {
        return refused("holds a `.` or `..` between its slashes");
    }
    match PathAndQuery::try_from(path) {
        Ok(path) => Ok(path),
        Err(_) => refused("holds characters that no address has; encode them"),
    }
}

/// Whether a part of a path means this place or the one above.
fn is_dots(part: &str) -> bool {
    let dots = part.to_ascii_lowercase().replace("%2e", ".");
    dots == "." || dots == ".."
}

fn method(text: &str) -> Result<Method, FetchError> {
    let is_capitals = text
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let method = Method::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| is_capitals);
    match method {
        Some(Method::CONNECT | Method::TRACE) => Err(FetchError::Invalid(format!(
            "the method {text} is for proxies and tests of connections"
        ))),
        Some(method) => Ok(method),
        None => Err(FetchError::Invalid(
            "the method is not one, in capitals".to_owned(),
        )),
    }
}

fn headers(
    fetch: &Fetch,
    granted: &BTreeSet<String>,
    secrets: &Secrets,
    idempotency_key: &str,
) -> Result<HeaderMap, FetchError> {
    within(
        "the number of headers",
        fetch.headers.len(),
        HTTP_HEADERS_MAX,
    )?;
    let mut headers = HeaderMap::new();
    let mut size = 0;
    for (name, value) in &fetch.headers {
        let name = header_name(name)?;
        if name == header::RANGE && !granted.is_empty() {
            return Err(FetchError::Denied(
                "an endpoint that is granted secrets answers as a whole: a part of an answer \
                 (`range`) may hold a part of a secret, which nobody recognises"
                    .to_owned(),
            ));
        }
        let (bytes, is_sensitive) = header_bytes(value, granted, secrets)?;
        size += name.as_str().len() + bytes.len();
        within("the request's headers", size, HTTP_HEADER_BYTES_MAX)?;
        let mut value = header_value(&name, &bytes)?;
        value.set_sensitive(is_sensitive);
        headers.append(name, value);
    }
    if let Some(name) = &fetch.idempotency_header {
        let name = header_name(name)?;
        let value = header_value(&name, idempotency_key.as_bytes())?;
        if headers.contains_key(&name) {
            let twice = format!("header `{name}` is given, and asked for with the key");
            return Err(FetchError::Invalid(twice));
        }
        headers.insert(name, value);
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.insert(header::ACCEPT_ENCODING, NOT_PACKED);
    Ok(headers)
}

fn header_name(text: &str) -> Result<HeaderName, FetchError> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        return Err(FetchError::Invalid(
            "a header's name holds what no name may".to_owned(),
        ));
    };
    if OURS.contains(&name) || name.as_str().starts_with("proxy-") {
        return Err(FetchError::Invalid(format!(
            "header `{name}` is the host's to set"
        )));
    }
    Ok(name)
}

fn header_value(name: &HeaderName, bytes: &[u8]) -> Result<HeaderValue, FetchError> {
    HeaderValue::from_bytes(bytes).map_err(|_| {
        FetchError::Invalid(format!(
            "the value of header `{name}` holds a line's end or another control character"
        ))
    })
}

/// A header's value with its secrets filled in, and whether there were any.
fn header_bytes(
    value: &Value,
    granted: &BTreeSet<String>,
    secrets: &Secrets,
) -> Result<(Vec<u8>, bool), FetchError> {
    let secret = |name: &str| {
        let secret = secrets.get(name).ok().filter(|_| granted.contains(name));
        secret.ok_or_else(|| {
            FetchError::Denied(format!("secret `{name}` is not granted to this endpoint"))
        })
    };
    match value {
        Value::Plain(Blob(bytes)) => Ok((bytes.clone(), false)),
        Value::Secret {
            name,
            prefix,
            suffix,
        } => {
            let parts = [prefix.as_bytes(), secret(name)?, suffix.as_bytes()];
            Ok((parts.concat(), true))
        }
        Value::Basic { user, password } => {
            let credential = |credential: &Credential| match credential {
                Credential::Text(text) => Ok(text.clone().into_bytes()),
                Credential::Secret(name) => secret(name).map(<[u8]>::to_vec),
            };
            let (user, password) = (credential(user)?, credential(password)?);
            basic(&user, &password).map(|value| (value.into_bytes(), true))
        }
    }
}

/// `Basic base64(user:password)` (RFC 7617).
fn basic(user: &[u8], password: &[u8]) -> Result<String, FetchError> {
    let is_control = |byte: &u8| byte.is_ascii_control();
    if user.contains(&b':') || user.iter().chain(password).any(is_control) {
        return Err(FetchError::Invalid(
            "a Basic pair's user holds `:`, or one of the two a control character".to_owned(),
        ));
    }
    let pair = [user, b":", password].concat();
    Ok(format!("Basic {}", STANDARD.encode(pair)))
}

fn within(what: &str, size: usize, limit: usize) -> Result<(), FetchError> {
    if size <= limit {
        return Ok(());
    }
    Err(FetchError::TooLarge(format!(
        "{what} is over its limit of {limit}"
    )))
}

#[cfg(test)]
mod tests;
