//! Calls to the endpoints that the operator has granted: the [`Request`] and what
//! sends it. The answer is in `http/response.rs`, what can go wrong in
//! `http/error.rs`, headers that carry secrets in `http/header.rs`.
//!
//! ```
//! use std::time::Duration;
//!
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger};
//! use hookbay_plugin::{http, manifest, testing};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! struct ToNotion;
//!
//! #[derive(Deserialize)]
//! struct Page {
//!     id: String,
//! }
//!
//! impl Plugin for ToNotion {
//!     fn manifest() -> Manifest {
//!         manifest!()
//!             .trigger(Trigger::provider("stripe", "invoice.paid"))
//!             .endpoint("notion", "https://api.notion.com", "where the page is written")
//!             .secret("NOTION_TOKEN", "token of an integration that may insert content")
//!     }
//!
//!     fn handle(_event: &Event, _run: &Run) -> Result<Success, Failure> {
//!         let page: Page = http::post("notion", "/v1/pages")
//!             .bearer("NOTION_TOKEN")
//!             .header("Notion-Version", "2022-06-28")
//!             .idempotency_key("Idempotency-Key")
//!             .timeout(Duration::from_secs(3))
//!             .json(&json!({"properties": {}}))?
//!             .send()?
//!             .error_for_status()?
//!             .json()?;
//!         Ok(Success::new(format!("wrote page {}", page.id)))
//!     }
//! }
//!
//! let mut host = testing::Host::new();
//! host.on("notion", "POST", "/v1/pages", |request| {
//!     assert_eq!(request.header("authorization"), Some("Bearer [secret NOTION_TOKEN]"));
//!     testing::Answer::json(200, &json!({"id": "p1"}))
//! });
//! let attempt = host.handle::<ToNotion>(&testing::event("stripe", "invoice.paid", "{}"));
//! assert_eq!(attempt.summary(), "wrote page p1");
//! ```
//!
//! A plugin names an endpoint, never an address: the grant says where that is. It
//! names a secret, and the host puts the value in: the plugin never sees it, and
//! finds `[secret NAME]` where an answer repeats it. Redirects are answers like any
//! other; nobody follows them.
//!
//! A request whose answer did not come ([`Error::Timeout`], [`Error::Unavailable`])
//! may have been carried out, and every attempt sends its requests again. Where that
//! must not act twice, let the receiver know by [`Request::idempotency_key`].

use std::time::Duration;

use serde::Serialize;

use crate::imports;

mod error;
mod header;
mod response;

pub use error::Error;
pub use header::{Credential, HeaderValue};
pub use response::Response;

use imports::http as wit;

/// A request that is being put together. Nothing happens until [`Request::send`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    endpoint: String,
    method: String,
    path: String,
    headers: Vec<(String, HeaderValue)>,
    body: Option<Vec<u8>>,
    timeout: Option<Duration>,
    idempotency_header: Option<String>,
}

/// `GET` from an endpoint. The path begins with `/`; put what comes from outside
/// through [`encode`], or [`Request::query`].
pub fn get(endpoint: &str, path: &str) -> Request {
    request("GET", endpoint, path)
}

/// `POST` to an endpoint.
pub fn post(endpoint: &str, path: &str) -> Request {
    request("POST", endpoint, path)
}

/// `PUT` to an endpoint.
pub fn put(endpoint: &str, path: &str) -> Request {
    request("PUT", endpoint, path)
}

/// `PATCH` at an endpoint.
pub fn patch(endpoint: &str, path: &str) -> Request {
    request("PATCH", endpoint, path)
}

/// `DELETE` at an endpoint.
pub fn delete(endpoint: &str, path: &str) -> Request {
    request("DELETE", endpoint, path)
}

/// A request with any other method, in capitals.
pub fn request(method: &str, endpoint: &str, path: &str) -> Request {
    Request {
        endpoint: endpoint.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
        timeout: None,
        idempotency_header: None,
    }
}

/// Percent-encodes a text so that it is one segment of a path, whatever it holds,
/// or one value in a query. All but letters, digits and `-._~` is encoded
/// (RFC 3986, 2.3).
///
/// ```
/// use hookbay_plugin::http;
///
/// let name = "a/b?c=ü";
/// http::get("files", &format!("/v1/files/{}", http::encode(name)));
/// assert_eq!(http::encode(name), "a%2Fb%3Fc%3D%C3%BC");
/// ```
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Request {
    /// Adds a pair to the path's query, percent-encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let (name, value) = (encode(name), encode(value));
        self.path.push_str(&format!("{separator}{name}={value}"));
        self
    }

    /// Adds a header: text, bytes, or a [`HeaderValue`] with secrets in it.
    pub fn header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header that is a secret behind a prefix:
    /// `secret_header("Authorization", "token ", "GITHUB_TOKEN")`.
    pub fn secret_header(self, name: &str, prefix: &str, secret: &str) -> Self {
        let value = HeaderValue::Secret {
            secret: secret.to_owned(),
            prefix: prefix.to_owned(),
            suffix: String::new(),
        };
        self.header(name, value)
    }

    /// Adds `Authorization: Bearer` with the secret of this name.
    pub fn bearer(self, secret: &str) -> Self {
        self.secret_header("Authorization", "Bearer ", secret)
    }

    /// Adds `Authorization: Basic` for a user whose password is the secret of this
    /// name. Where the user is the secret, put a [`HeaderValue::Basic`] into
    /// [`Request::header`].
    pub fn basic(self, user: &str, secret: &str) -> Self {
        let value = HeaderValue::Basic {
            user: Credential::Text(user.to_owned()),
            password: Credential::Secret(secret.to_owned()),
        };
        self.header("Authorization", value)
    }

    /// Sets the body, as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to JSON, and the content type unless there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] if `body` has no JSON form.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_vec(body)
            .map_err(|error| Error::Json(format!("body of {}: {error}", self.line())))?;
        Ok(self.typed("application/json").body(json))
    }

    /// Sets the body to a form's fields, percent-encoded, and the content type
    /// unless there is one.
    pub fn form<'a>(self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields = fields.into_iter();
        let pairs: Vec<String> = fields
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.typed("application/x-www-form-urlencoded")
            .body(pairs.join("&"))
    }

    /// Lets the host add the run's idempotency key in a header of this name, most
    /// often `Idempotency-Key`: the same for every attempt and every replay.
    ///
    /// A run has one key. Where it sends several requests to one receiver, give each
    /// a key of its own, made from [`Run::idempotency_key`](crate::Run), as a header.
    pub fn idempotency_key(mut self, header: &str) -> Self {
        self.idempotency_header = Some(header.to_owned());
        self
    }

    /// The longest that the request may take, from now to the end of the answer, in
    /// whole milliseconds. What is left of the attempt bounds it too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole answer. Any status is an answer; see
    /// [`Response::error_for_status`].
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Invalid`], [`Error::TooLarge`],
    /// [`Error::Timeout`] or [`Error::Unavailable`].
    pub fn send(self) -> Result<Response, Error> {
        let line = self.line();
        match wit::fetch(&self.into()) {
            Ok(response) => Ok(Response::new(line, response)),
            Err(error) => Err(Error::new(&line, error)),
        }
    }

    fn typed(self, content_type: &str) -> Self {
        let is_typed = |(name, _): &(String, _)| name.eq_ignore_ascii_case("content-type");
        if self.headers.iter().any(is_typed) {
            return self;
        }
        self.header("Content-Type", content_type)
    }

    /// What the request is called in messages. A query can hold what is nobody's
    /// business, so it is left out.
    fn line(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {} {path}", self.method, self.endpoint)
    }
}

impl From<Request> for wit::Request {
    fn from(request: Request) -> Self {
        let header = |(name, value): (String, HeaderValue)| wit::RequestHeader {
            name,
            value: value.into(),
        };
        // Rounded up: a timeout of less than a millisecond is not none at all.
        let to_ms = |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000);
        Self {
            endpoint: request.endpoint,
            path: request.path,
            method: request.method,
            headers: request.headers.into_iter().map(header).collect(),
            body: request.body,
            timeout_ms: request
                .timeout
                .map(|timeout| u32::try_from(to_ms(timeout)).unwrap_or(u32::MAX)),
            idempotency_header: request.idempotency_header,
        }
    }
}
