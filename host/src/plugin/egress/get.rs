//! One document from a public address, for the host itself: the same guard as for plugins,
//! and nothing kept open.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use url::Url;

use crate::config::HttpOrigin;

use super::client::{Network, Tasks};
use super::resolve::Target;
use super::{FetchError, failure};

/// From the look-up to the end of the answer.
const WITHIN: Duration = Duration::from_secs(5);
/// Longest body.
const BYTES_MAX: usize = 64 << 10;

impl Network {
    /// The body of a successful answer to GET over TLS.
    ///
    /// # Errors
    /// [`FetchError`] if there is none: redirects are not followed.
    pub async fn get(&self, url: &Url) -> Result<Bytes, FetchError> {
        match tokio::time::timeout(WITHIN, self.get_patiently(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout(format!(
                "the answer had not ended after {} s",
                WITHIN.as_secs()
            ))),
        }
    }

    async fn get_patiently(&self, url: &Url) -> Result<Bytes, FetchError> {
        let invalid = |error: &dyn std::fmt::Display| FetchError::Invalid(error.to_string());
        if url.scheme() != "https" {
            return Err(invalid(&"the address is not one of `https`"));
        }
        let origin: HttpOrigin = url
            .origin()
            .ascii_serialization()
            .parse()
            .map_err(|error| invalid(&error))?;
        let target = Target {
            host: origin.host().clone(),
            port: origin.port(),
            private: false,
        };
        let tasks = Tasks::default();
        let client = self.client(target, &tasks);
        let request = Request::get(url.as_str())
            .body(Full::default())
            .map_err(|error| invalid(&error))?;
        let answer = client.request(request).await;
        let (head, body) = answer.map_err(|error| failure(&error))?.into_parts();
        if !head.status.is_success() {
            let status = head.status.as_u16();
            return Err(FetchError::Unavailable(format!("it answers {status}")));
        }
        let body = Limited::new(body, BYTES_MAX).collect().await;
        Ok(body.map_err(|error| failure(&*error))?.to_bytes())
    }
}
