//! Calls of a plugin to the endpoints that it is granted, and to nothing else.
//!
//! `request` makes the request, `client` the connection, `resolve` and `address` decide
//! which addresses it may go to; what comes back is bounded and scrubbed here. How many calls
//! an attempt may make, and what is recorded of them, is decided by whoever calls.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Request;
use serde::{Deserialize, Serialize};

use crate::config::EndpointGrant;

use super::limits::HTTP_RESPONSE_BODY_MAX;
use super::secrets::Secrets;

mod address;
mod client;
mod request;
mod resolve;

pub use client::Network;
pub use resolve::{Resolve, SystemResolver};

use client::{ConnectError, EndpointClient, Tasks};
use resolve::{ResolveError, Target};

/// A call that a guest asks for (`wit/http.wit`); holds names of secrets, never their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Name of the grant.
    pub endpoint: String,
    /// From `/`, with the query.
    pub path: String,
    /// In capitals.
    pub method: String,
    /// In order; names may come more than once.
    pub headers: Vec<(String, HeaderValue)>,
    /// At most [`HTTP_REQUEST_BODY_MAX`](super::limits::HTTP_REQUEST_BODY_MAX) bytes.
    pub body: Option<Vec<u8>>,
    /// From the request to the end of the answer.
    pub timeout: Option<Duration>,
    /// A header in which the run's idempotency key goes along.
    pub idempotency_header: Option<String>,
}

/// A header's value before the host has filled in secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// These bytes.
    Plain(Vec<u8>),
    /// A secret between two texts.
    Secret {
        /// Which.
        name: String,
        /// Before it.
        prefix: String,
        /// Behind it.
        suffix: String,
    },
    /// `Basic base64(user:password)` (RFC 7617).
    Basic {
        /// Without `:`.
        user: Credential,
        /// Its password.
        password: Credential,
    },
}

/// One half of a Basic pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// This text.
    Text(String),
    /// The secret of this name.
    Secret(String),
}

/// An answer, scrubbed of the plugin's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Any; redirects are answers like others.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As it was sent, compressed or not.
    pub body: Vec<u8>,
}

/// Why a call has no answer (`wit/http.wit`); scrubbed of the plugin's secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchError {
    /// Not granted: the endpoint, the secret for it, or the address behind it.
    #[error("{0}")]
    Denied(String),
    /// No request can be made of it.
    #[error("{0}")]
    Invalid(String),
    /// Request or answer are longer than they may be.
    #[error("{0}")]
    TooLarge(String),
    /// The answer had not ended in time.
    #[error("{0}")]
    Timeout(String),
    /// No connection, or it broke before the answer had ended.
    #[error("{0}")]
    Unavailable(String),
}

/// What one plugin may call, with the connections that it keeps.
pub struct Egress {
    endpoints: BTreeMap<String, Endpoint>,
    secrets: Arc<Secrets>,
    /// What serves the connections, ended with this.
    #[expect(dead_code, reason = "held for its drop")]
    tasks: Tasks,
}

struct Endpoint {
    grant: EndpointGrant,
    client: EndpointClient,
}

impl Egress {
    /// What a plugin with these grants may call.
    pub fn new(
        endpoints: &BTreeMap<String, EndpointGrant>,
        secrets: Arc<Secrets>,
        network: &Network,
    ) -> Self {
        let tasks = Tasks::default();
        let endpoint = |grant: &EndpointGrant| Endpoint {
            client: network.client(Target::of(grant), &tasks),
            grant: grant.clone(),
        };
        Self {
            endpoints: endpoints
                .iter()
                .map(|(name, grant)| (name.clone(), endpoint(grant)))
                .collect(),
            secrets,
            tasks,
        }
    }

    /// Makes a call and waits for the whole answer, for `most` or the call's own timeout,
    /// whichever is shorter.
    ///
    /// # Errors
    /// [`FetchError`] if there is no answer; after `Timeout`, `Unavailable` and `TooLarge` the
    /// server may have done what it was asked.
    pub async fn fetch(
        &self,
        fetch: &Fetch,
        idempotency_key: &str,
        most: Duration,
    ) -> Result<Fetched, FetchError> {
        match self.exchange(fetch, idempotency_key, most).await {
            Ok(answer) => Ok(self.scrubbed(answer)),
            Err(error) => Err(error.map(|text| self.secrets.scrub_text(&text).into_owned())),
        }
    }

    /// An endpoint's name where it is granted, for labels that must not be the guest's choice.
    pub fn label<'a>(&self, endpoint: &'a str) -> &'a str {
        if self.endpoints.contains_key(endpoint) {
            endpoint
        } else {
            "other"
        }
    }

    async fn exchange(
        &self,
        fetch: &Fetch,
        idempotency_key: &str,
        most: Duration,
    ) -> Result<Fetched, FetchError> {
        let name = &fetch.endpoint;
        let endpoint = self
            .endpoints
            .get(name)
            .ok_or_else(|| FetchError::Denied(format!("no endpoint `{name}` is granted")))?;
        let request = request::request(fetch, &endpoint.grant, &self.secrets, idempotency_key)?;
        let most = fetch.timeout.unwrap_or(most).min(most);
        match tokio::time::timeout(most, endpoint.exchange(request)).await {
            Ok(answer) => {
                answer.map_err(|error| error.map(|text| format!("endpoint `{name}`: {text}")))
            }
            Err(_) => Err(FetchError::Timeout(format!(
                "endpoint `{name}`: the answer had not ended after {} ms",
                most.as_millis()
            ))),
        }
    }

    fn scrubbed(&self, answer: Fetched) -> Fetched {
        let scrubbed = |bytes: Vec<u8>| {
            let without_secrets = match self.secrets.scrub(&bytes) {
                Cow::Borrowed(_) => None,
                Cow::Owned(scrubbed) => Some(scrubbed),
            };
            without_secrets.unwrap_or(bytes)
        };
        Fetched {
            status: answer.status,
            headers: answer
                .headers
                .into_iter()
                .map(|(name, value)| (self.secrets.scrub_text(&name).into_owned(), scrubbed(value)))
                .collect(),
            body: scrubbed(answer.body),
        }
    }
}

impl Endpoint {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Fetched, FetchError> {
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|error| failure(&error))?.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        // Nothing is unpacked, so that these are all the bytes there are.
        let body = Limited::new(body, HTTP_RESPONSE_BODY_MAX).collect().await;
        Ok(Fetched {
            status: head.status.as_u16(),
            headers,
            body: body.map_err(|error| failure(&*error))?.to_bytes().into(),
        })
    }
}

impl Target {
    fn of(grant: &EndpointGrant) -> Self {
        Self {
            host: grant.origin.host().clone(),
            port: grant.origin.port(),
            private: grant.private,
        }
    }
}

impl FetchError {
    /// A word for it: a metric's label.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::TooLarge(_) => "too_large",
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Denied(text) => Self::Denied(change(text)),
            Self::Invalid(text) => Self::Invalid(change(text)),
            Self::TooLarge(text) => Self::TooLarge(change(text)),
            Self::Timeout(text) => Self::Timeout(change(text)),
            Self::Unavailable(text) => Self::Unavailable(change(text)),
        }
    }
}

/// How a call ended, as the label of a metric: the status, or the error's word.
pub fn status_label(answer: &Result<Fetched, FetchError>) -> String {
    match answer {
        // Servers choose the number; labels are bounded.
        Ok(answer) if (100..600).contains(&answer.status) => answer.status.to_string(),
        Ok(_) => "other".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

/// What a failed exchange is, by the innermost error that says so.
fn failure(error: &(dyn Error + 'static)) -> FetchError {
    let mut cause = error;
    loop {
        if cause.is::<LengthLimitError>() {
            return FetchError::TooLarge(format!(
                "the answer's body is over its limit of {HTTP_RESPONSE_BODY_MAX}"
            ));
        }
        if let Some(error) = cause.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::Resolve(ResolveError::Denied { .. }) => {
                    FetchError::Denied(error.to_string())
                }
                ConnectError::Resolve(ResolveError::Unresolved { .. })
                | ConnectError::Refused { .. }
                | ConnectError::Slow => FetchError::Unavailable(error.to_string()),
            };
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return FetchError::TooLarge("the answer's head is over its limit".to_owned());
            }
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return FetchError::Unavailable(cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
