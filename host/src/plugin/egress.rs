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
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Request;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::config::{EndpointGrant, HttpOrigin};

use super::limits::HTTP_RESPONSE_BODY_MAX;
use super::secrets::Secrets;

mod address;
mod client;
mod exchange;
mod get;
mod request;
mod resolve;

pub use crate::plugin::imports::call::Blob;
pub use client::Network;
pub use exchange::{Credential, Fetch, FetchError, Fetched, HeaderValue, status_label};
pub(in crate::plugin) use request::is_ours;
pub use resolve::{Resolve, SystemResolver};

use client::{ConnectError, EndpointClient, Tasks};
use resolve::{ResolveError, Target};

/// Makes the calls of one plugin: [`Egress`] in a host, a table on the bench.
pub trait Fetcher: Send + Sync {
    /// Makes a call and waits for the whole answer, `most` so long.
    ///
    /// # Errors
    /// [`FetchError`] if there is no answer.
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        idempotency_key: &'a str,
        most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>>;
}

/// Makes no call: nothing is granted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

/// What one plugin may call, with the connections that it keeps.
pub struct Egress {
    endpoints: BTreeMap<String, Endpoint>,
    secrets: Arc<Secrets>,
    /// Where connections live.
    runtime: Handle,
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
            runtime: network.runtime(),
            tasks,
        }
    }

    /// An endpoint's name where it is granted, for labels that must not be the guest's choice.
    pub fn label(&self, endpoint: &str) -> &str {
        self.granted(endpoint).map_or("other", |(name, _)| name)
    }

    /// The endpoint of this name; of this origin, where a guest knows only that.
    fn granted(&self, endpoint: &str) -> Option<(&str, &Endpoint)> {
        let named = self.endpoints.get_key_value(endpoint);
        let of_origin = || {
            let origin: HttpOrigin = endpoint.parse().ok()?;
            let mut endpoints = self.endpoints.iter();
            endpoints.find(|(_, endpoint)| endpoint.grant.origin == origin)
        };
        let (name, endpoint) = named.or_else(of_origin)?;
        Some((name.as_str(), endpoint))
    }

    async fn exchange(
        &self,
        fetch: &Fetch,
        idempotency_key: &str,
        most: Duration,
    ) -> Result<Fetched, FetchError> {
        let granted = self.granted(&fetch.endpoint);
        let (name, endpoint) = granted.ok_or_else(|| not_granted(&fetch.endpoint))?;
        let request = request::request(fetch, &endpoint.grant, &self.secrets, idempotency_key)?;
        let most = fetch.timeout.unwrap_or(most).min(most);
        // Who waits here may be on a guest's thread, where nothing is sent or received.
        let mut exchanging = JoinSet::new();
        exchanging.spawn_on(exchange(endpoint.client.clone(), request), &self.runtime);
        let answer = match tokio::time::timeout(most, exchanging.join_next()).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(_)) | None) => Err(FetchError::Unavailable("it was cut off".to_owned())),
            Err(_) => Err(FetchError::Timeout(format!(
                "the answer had not ended after {} ms",
                most.as_millis()
            ))),
        };
        answer.map_err(|error| error.map(|text| format!("endpoint `{name}`: {text}")))
    }

    /// The answer without secrets.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`] if none can be looked for in it.
    fn scrubbed(&self, answer: Fetched) -> Result<Fetched, FetchError> {
        if let Some(encoding) = answer.packed().filter(|_| !self.secrets.is_empty()) {
            return Err(FetchError::Unavailable(format!(
                "the answer comes as `{encoding}`, which was not asked for, and cannot be \
                 searched for the plugin's secrets"
            )));
        }
        let scrubbed = |Blob(bytes): Blob| {
            let without_secrets = match self.secrets.scrub(&bytes) {
                Cow::Borrowed(_) => None,
                Cow::Owned(scrubbed) => Some(scrubbed),
            };
            Blob(without_secrets.unwrap_or(bytes))
        };
        Ok(Fetched {
            status: answer.status,
            headers: answer
                .headers
                .into_iter()
                .map(|(name, value)| (self.secrets.scrub_text(&name).into_owned(), scrubbed(value)))
                .collect(),
            body: scrubbed(answer.body),
        })
    }
}

impl Fetcher for Egress {
    /// The call's own timeout holds where it is shorter than `most`. After `Timeout`,
    /// `Unavailable` and `TooLarge` the server may have done what it was asked.
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        idempotency_key: &'a str,
        most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let answer = self.exchange(fetch, idempotency_key, most).await;
            answer
                .and_then(|answer| self.scrubbed(answer))
                .map_err(|error| error.map(|text| self.secrets.scrub_text(&text).into_owned()))
        })
    }
}

impl Fetcher for Nothing {
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        _idempotency_key: &'a str,
        _most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async { Err(not_granted(&fetch.endpoint)) })
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

async fn exchange(
    client: EndpointClient,
    request: Request<Full<Bytes>>,
) -> Result<Fetched, FetchError> {
    let answer = client.request(request).await;
    let (head, body) = answer.map_err(|error| failure(&error))?.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), Blob(value.as_bytes().to_vec())))
        .collect();
    // Nothing is unpacked, so that these are all the bytes there are.
    let body = Limited::new(body, HTTP_RESPONSE_BODY_MAX).collect().await;
    Ok(Fetched {
        status: head.status.as_u16(),
        headers,
        body: Blob(body.map_err(|error| failure(&*error))?.to_bytes().into()),
    })
}

fn not_granted(endpoint: &str) -> FetchError {
    FetchError::Denied(format!("no endpoint `{endpoint}` is granted"))
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
        let error = cause.downcast_ref::<hyper::Error>();
        if error.is_some_and(hyper::Error::is_parse_too_large) {
            return FetchError::TooLarge("the answer's head is over its limit".to_owned());
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return FetchError::Unavailable(cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
