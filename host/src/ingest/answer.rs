//! What senders are told, and the one line that the log has for each webhook.
//!
//! The sender learns the class of a failure; the log says exactly what it was.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::config::units::readable_size;
use crate::event::EventId;
use crate::http::Problem;
use crate::json::NotJson;
use crate::metrics::{Metrics, Received};
use crate::store::Ingested;

use super::source::Source;
use super::verify::Rejection;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { announced: Option<u64>, limit: u64 },
    #[error("the body did not arrive within {0:?}")]
    SlowBody(Duration),
    #[error("the connection broke while the body was read")]
    Disconnected,
    #[error(transparent)]
    NotGenuine(Rejection),
    #[error("the body is not JSON: {0}")]
    NotJson(NotJson),
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    #[error("the database does not take events now")]
    StoreAway,
}

impl Refusal {
    fn problem(&self, source: &Source) -> Problem {
        let name = &source.config.name;
        match self {
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
            Self::NotGenuine(_) => Problem::new(StatusCode::UNAUTHORIZED, "not verified")
                .detail("the request's signature is missing, wrong or out of date".to_owned()),
            Self::NotJson(_) => {
                Problem::new(StatusCode::BAD_REQUEST, "not JSON").detail(self.to_string())
            }
            Self::Overloaded(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded")
                .detail("too much work waits; send it again later".to_owned())
                .retry_after(Duration::from_secs(1)),
            Self::StoreAway => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
                .detail("events cannot be stored now; send it again later".to_owned())
                .retry_after(Duration::from_secs(5)),
        }
    }

    fn received(&self) -> Received {
        match self {
            Self::TooLarge { .. }
            | Self::SlowBody(_)
            | Self::Disconnected
            | Self::NotGenuine(_)
            | Self::NotJson(_) => Received::Rejected,
            Self::Overloaded(_) | Self::StoreAway => Received::Unavailable,
        }
    }
}

/// What is known of a request once it is proven genuine.
pub(super) struct About {
    /// The id its event will have.
    pub(super) id: EventId,
    pub(super) kind: String,
    pub(super) delivery_id: Option<String>,
    pub(super) is_handshake: bool,
}

/// One request on its way to an answer; logs and counts it when it has one, or
/// when its sender went away before.
pub(super) struct Receipt<'a> {
    source: &'a Source,
    metrics: &'a Metrics,
    request_id: EventId,
    started: Instant,
    about: Option<About>,
    is_answered: bool,
}

impl<'a> Receipt<'a> {
    pub(super) fn new(
        source: &'a Source,
        metrics: &'a Metrics,
        request_id: EventId,
        started: Instant,
    ) -> Self {
        Self {
            source,
            metrics,
            request_id,
            started,
            about: None,
            is_answered: false,
        }
    }

    /// Notes what a genuine request is about.
    pub(super) fn is_about(&mut self, about: About) {
        self.about = Some(about);
    }

    /// Answers what is stored, now or before.
    pub(super) fn acknowledge(mut self, ingested: Ingested) -> Response<Body> {
        let about = self.about.as_ref();
        let own_id = about.map_or(self.request_id, |about| about.id);
        let is_handshake = about.is_some_and(|about| about.is_handshake);
        let (status, word, event, received) = match ingested {
            Ingested::Duplicate(first) => (StatusCode::OK, "duplicate", first, Received::Duplicate),
            Ingested::New | Ingested::Conflict if is_handshake => {
                (StatusCode::ACCEPTED, "pong", own_id, Received::Accepted)
            }
            Ingested::New | Ingested::Conflict => {
                (StatusCode::ACCEPTED, "accepted", own_id, Received::Accepted)
            }
        };
        let answer = match &self.source.config.ack {
            Some(ack) => {
                let status = StatusCode::from_u16(ack.status).unwrap_or(StatusCode::OK);
                answer(status, &ack.content_type, ack.body.clone())
            }
            None => {
                let body = format!(r#"{{"status":"{word}","event_id":"{event}"}}"#);
                answer(status, "application/json", body)
            }
        };
        self.answered(received, answer.status(), word, Some(event), None);
        answer
    }

    /// Answers what is not taken.
    pub(super) fn refuse(mut self, refusal: Refusal) -> Response<Body> {
        let answer = refusal
            .problem(self.source)
            .into_response_to(&self.request_id.to_string());
        if let Refusal::NotGenuine(rejection) = &refusal {
            self.metrics
                .verification_failed(self.source.config.name.as_str(), rejection.code());
        }
        let why = refusal.to_string();
        self.answered(
            refusal.received(),
            answer.status(),
            "refused",
            None,
            Some(&why),
        );
        answer
    }

    fn answered(
        &mut self,
        received: Received,
        status: StatusCode,
        word: &str,
        event: Option<EventId>,
        why: Option<&str>,
    ) {
        self.is_answered = true;
        let source = self.source.config.name.as_str();
        let (kind, delivery_id) = self.kind_and_delivery();
        let took = self.started.elapsed();
        self.metrics.webhook_received(source, kind, received, took);
        let status = status.as_u16();
        let duration_ms = took.as_micros() as f64 / 1000.0;
        match (event, why) {
            (Some(event), _) => tracing::info!(
                source, kind, delivery_id, event_id = %event, status, duration_ms, "webhook {word}"
            ),
            (None, why) => tracing::warn!(
                source, kind, delivery_id, request_id = %self.request_id, status, duration_ms, why, "webhook {word}"
            ),
        }
    }

    fn kind_and_delivery(&self) -> (Option<&str>, Option<&str>) {
        let about = self.about.as_ref();
        let kind = about.map(|about| about.kind.as_str());
        (kind, about.and_then(|about| about.delivery_id.as_deref()))
    }
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let source = self.source.config.name.as_str();
            let (kind, delivery_id) = self.kind_and_delivery();
            let event_id = self.about.as_ref().map(|about| about.id.to_string());
            tracing::info!(
                source, kind, delivery_id, event_id, request_id = %self.request_id,
                "the sender went away before its answer"
            );
        }
    }
}

fn answer(status: StatusCode, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    // The configuration has checked it.
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}
