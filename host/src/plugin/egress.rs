//! Stand-in until egress is merged.
#![allow(missing_docs, reason = "stand-in")]
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::imports::call::Blob;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    pub endpoint: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, HeaderValue)>,
    pub body: Option<Blob>,
    pub timeout: Option<Duration>,
    pub idempotency_header: Option<String>,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    Plain(Blob),
    Secret {
        name: String,
        prefix: String,
        suffix: String,
    },
    Basic {
        user: Credential,
        password: Credential,
    },
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    Text(String),
    Secret(String),
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    pub status: u16,
    pub headers: Vec<(String, Blob)>,
    pub body: Blob,
}
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FetchError {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    Unavailable(String),
}
impl Fetch {
    pub fn weight(&self) -> usize {
        self.path.len() + self.body.as_ref().map_or(0, |b| b.0.len())
    }
}
impl Fetched {
    pub fn weight(&self) -> usize {
        self.body.0.len()
    }
}
impl FetchError {
    pub fn was_sent(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unavailable(_))
    }
}
pub trait Fetcher: Send + Sync {
    fn fetch<'a>(
        &'a self,
        request: &'a Fetch,
        idempotency_key: &'a str,
        most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>>;
}
#[derive(Default)]
pub struct Nothing;
impl Fetcher for Nothing {
    fn fetch<'a>(
        &'a self,
        request: &'a Fetch,
        _: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            Err(FetchError::Denied(format!(
                "no endpoint `{}` is granted",
                request.endpoint
            )))
        })
    }
}
