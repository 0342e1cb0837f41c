//! What a call says and what it is answered, in the form in which journals keep it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plugin::imports::call::Blob;

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
    /// At most [`HTTP_REQUEST_BODY_MAX`](crate::plugin::limits::HTTP_REQUEST_BODY_MAX) bytes.
    pub body: Option<Blob>,
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
    Plain(Blob),
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
    pub headers: Vec<(String, Blob)>,
    /// As it was sent, compressed or not.
    pub body: Blob,
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

impl Fetch {
    /// What it weighs, in bytes, about; secrets by their names.
    pub(in crate::plugin) fn weight(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.weight());
        let body = self.body.as_ref().map_or(0, |body| body.0.len());
        self.path.len() + headers.sum::<usize>() + body
    }
}

impl HeaderValue {
    fn weight(&self) -> usize {
        match self {
            Self::Plain(Blob(bytes)) => bytes.len(),
            Self::Secret {
                name,
                prefix,
                suffix,
            } => name.len() + prefix.len() + suffix.len(),
            Self::Basic { user, password } => user.weight() + password.weight(),
        }
    }
}

impl Credential {
    fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Secret(text) => text.len(),
        }
    }
}

impl Fetched {
    /// How its body is packed, if it says so and there is one.
    pub(super) fn packed(&self) -> Option<&str> {
        let mut encodings = self.headers.iter().filter_map(|(name, Blob(value))| {
            let value = std::str::from_utf8(value).unwrap_or("?").trim();
            (name == "content-encoding" && !value.eq_ignore_ascii_case("identity")).then_some(value)
        });
        encodings.next().filter(|_| !self.body.0.is_empty())
    }

    /// What it weighs, in bytes, about.
    pub(in crate::plugin) fn weight(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.0.len());
        headers.sum::<usize>() + self.body.0.len()
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

    /// Whether the request may have been sent before it failed.
    pub(in crate::plugin) const fn was_sent(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Unavailable(_) => true,
            Self::Denied(_) | Self::Invalid(_) | Self::TooLarge(_) => false,
        }
    }

    /// The same, saying something else.
    pub(super) fn map(self, change: impl FnOnce(String) -> String) -> Self {
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
