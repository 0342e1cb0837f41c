//! Why a request is not taken: what its sender is told, and what the operator is.
//!
//! Everything that is refused once its source is known is a [`Refusal`], with a stable code
//! and a text for log and quarantine. The sender learns the class of the failure alone.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;

use crate::config::units::readable_size;
use crate::gzip::InflateError;
use crate::http::Problem;
use crate::json::NotJson;
use crate::metrics::Received;
use crate::rate::Rate;

use super::fetched::NotFetched;
use super::schema::Mismatch;
use super::source::Source;
use super::verify::Rejection;

/// When a sender may find that a source is not paused any more.
const PAUSED_FOR: Duration = Duration::from_secs(60);

/// Why a request is not taken. The text names what was looked at, never a secret, a
/// signature or the body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the source takes {0}")]
    WrongMethod(String),
    #[error("{0} is in none of the source's `allow_ips`")]
    AddressNotAllowed(IpAddr),
    #[error("the body is larger than {limit} bytes")]
    TooLarge { announced: Option<u64>, limit: u64 },
    #[error("the body did not arrive within {0:?}")]
    SlowBody(Duration),
    #[error("the connection broke while the body was read")]
    Disconnected,
    #[error("the handshake's token is not the `verify_token` of the source's secret")]
    WrongToken,
    #[error("the handshake brings another secret than the source has")]
    OtherSecret,
    #[error("the subscription cannot be confirmed: {0}")]
    Unconfirmed(NotFetched),
    #[error(transparent)]
    NotGenuine(Rejection),
    #[error("over the source's `rate_limit` of {rate}")]
    OverRate { rate: Rate, wait: Duration },
    #[error("the body inflates to more than {limit} bytes")]
    InflatesTooLarge {
        limit: u64,
        /// Whether it is known whose it is.
        is_proven: bool,
    },
    #[error("{0}")]
    NotGzip(InflateError),
    #[error("the body has more than {limit} items")]
    TooManyItems { limit: usize },
    #[error("the body is not JSON: {0}")]
    NotJson(NotJson),
    #[error("the body does not match the source's `schema` at {0}")]
    SchemaMismatch(Mismatch),
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    #[error("the database does not take events now")]
    StoreAway,
    #[error("the source is paused")]
    Paused,
}

impl Refusal {
    /// A stable code, for whoever sorts refusals.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::WrongMethod(_) => "wrong_method",
            Self::AddressNotAllowed(_) => "address_not_allowed",
            Self::TooLarge { .. } => "too_large",
            Self::SlowBody(_) => "slow_body",
            Self::Disconnected => "disconnected",
            Self::WrongToken => "wrong_verify_token",
            Self::OtherSecret => "other_secret",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::NotGenuine(rejection) => rejection.code(),
            Self::OverRate { .. } => "over_rate",
            Self::InflatesTooLarge { .. } => "inflates_too_large",
            Self::NotGzip(_) => "not_gzip",
            Self::TooManyItems { .. } => "too_many_items",
            Self::NotJson(_) => "not_json",
            Self::SchemaMismatch(_) => "schema_mismatch",
            Self::Overloaded(_) => "overloaded",
            Self::StoreAway => "store_away",
            Self::Paused => "paused",
        }
    }

    /// The status that the sender is answered with.
    pub(super) fn status(&self, source: &Source) -> StatusCode {
        self.problem(source).status()
    }

    /// What the sender is told.
    pub(super) fn problem(&self, source: &Source) -> Problem {
        let name = &source.config.name;
        let (refused, malformed, overloaded) = statuses(source);
        match self {
            Self::WrongMethod(methods) => {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
                    .detail(format!("webhooks are sent with {methods}"))
                    .allow(methods.clone())
            }
            Self::AddressNotAllowed(_) => {
                Problem::new(StatusCode::FORBIDDEN, "address not allowed")
                    .detail(format!("source `{name}` does not take webhooks from here"))
            }
            Self::TooLarge { announced, limit } => {
                let given = announced.map_or_else(|| "more".to_owned(), readable_size);
                let limit = readable_size(*limit);
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large").detail(format!(
                    "the body has {given}, source `{name}` allows {limit}"
                ))
            }
            Self::SlowBody(_) => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "body too slow").detail(self.to_string())
            }
            Self::Disconnected => {
                Problem::new(StatusCode::BAD_REQUEST, "incomplete body").detail(self.to_string())
            }
            Self::WrongToken => Problem::new(StatusCode::FORBIDDEN, "not verified")
                .detail("the token is not the one that was agreed".to_owned()),
            Self::OtherSecret => Problem::new(refused, "not verified")
                .detail("the secret is not the one that was agreed".to_owned()),
            Self::Unconfirmed(_) => Problem::new(overloaded, "unavailable")
                .detail("the subscription cannot be confirmed now; send it again later".to_owned())
                .retry_after(Duration::from_secs(5)),
            // Neither genuine nor not: the sender is asked to come again.
            Self::NotGenuine(rejection) if !rejection.is_verdict() => {
                Problem::new(overloaded, "unavailable")
                    .detail("the request cannot be verified now; send it again later".to_owned())
                    .retry_after(Duration::from_secs(5))
            }
            Self::NotGenuine(_) => Problem::new(refused, "not verified")
                .detail("the request's signature is missing, wrong or out of date".to_owned()),
            Self::OverRate { wait, .. } => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many webhooks")
                    .detail("this source takes no more of them now; send it again later".to_owned())
                    .retry_after(*wait)
            }
            Self::InflatesTooLarge { .. } | Self::TooManyItems { .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large")
                    .detail(self.to_string())
            }
            Self::NotGzip(_) => Problem::new(malformed, "not gzip").detail(self.to_string()),
            Self::NotJson(_) => Problem::new(malformed, "not JSON").detail(self.to_string()),
            Self::SchemaMismatch(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not as agreed").detail(format!(
                    "the body does not match the schema of source `{name}`"
                ))
            }
            Self::Overloaded(_) => Problem::new(overloaded, "overloaded")
                .detail("too much work waits; send it again later".to_owned())
                .retry_after(Duration::from_secs(1)),
            Self::StoreAway => Problem::new(overloaded, "unavailable")
                .detail("events cannot be stored now; send it again later".to_owned())
                .retry_after(Duration::from_secs(5)),
            Self::Paused => Problem::new(overloaded, "paused")
                .detail(format!("source `{name}` is paused; send it again later"))
                .retry_after(PAUSED_FOR),
        }
    }

    /// Whether it is a failure to prove who sends.
    pub(super) const fn is_failed_proof(&self) -> bool {
        match self {
            Self::NotGenuine(rejection) => rejection.is_verdict(),
            Self::WrongToken
            | Self::OtherSecret
            | Self::InflatesTooLarge {
                is_proven: false, ..
            } => true,
            _ => false,
        }
    }

    /// Whether it is about what a sender says who has proven who it is.
    pub(super) const fn is_of_the_proven(&self) -> bool {
        matches!(
            self,
            Self::NotGzip(_)
                | Self::NotJson(_)
                | Self::SchemaMismatch(_)
                | Self::TooManyItems { .. }
                | Self::InflatesTooLarge {
                    is_proven: true,
                    ..
                }
        )
    }

    /// How it is counted.
    pub(super) const fn received(&self) -> Received {
        match self {
            Self::NotGenuine(rejection) if !rejection.is_verdict() => Received::Unavailable,
            Self::Unconfirmed(_) | Self::Overloaded(_) | Self::StoreAway | Self::Paused => {
                Received::Unavailable
            }
            Self::WrongMethod(_)
            | Self::AddressNotAllowed(_)
            | Self::TooLarge { .. }
            | Self::SlowBody(_)
            | Self::Disconnected
            | Self::WrongToken
            | Self::OtherSecret
            | Self::NotGenuine(_)
            | Self::OverRate { .. }
            | Self::InflatesTooLarge { .. }
            | Self::NotGzip(_)
            | Self::TooManyItems { .. }
            | Self::NotJson(_)
            | Self::SchemaMismatch(_) => Received::Rejected,
        }
    }
}

/// What the source's provider must be answered where a request is not proven, is not what
/// it must be, or cannot be taken now.
fn statuses(source: &Source) -> (StatusCode, StatusCode, StatusCode) {
    let rules = &source.config.provider.acknowledgement;
    let status = |own: Option<u16>, usual| {
        own.and_then(|own| StatusCode::from_u16(own).ok())
            .unwrap_or(usual)
    };
    (
        status(rules.refused, StatusCode::UNAUTHORIZED),
        status(rules.malformed, StatusCode::BAD_REQUEST),
        status(rules.overloaded, StatusCode::SERVICE_UNAVAILABLE),
    )
}
