//! What senders are told, and the one line that the log has for each webhook.
//!
//! The sender learns the class of a failure; the log says exactly what it was.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::config::units::readable_size;
use crate::event::EventId;
use crate::http::Problem;
use crate::json::NotJson;
use crate::metrics::{Metrics, Received};
use crate::store::Ingested;

use super::handshake::Answer;
use super::source::Source;
use super::verify::Rejection;
use super::wrong_method;

/// When a sender may find that a source is not paused any more.
const PAUSED_FOR: Duration = Duration::from_secs(60);

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { announced: Option<u64>, limit: u64 },
    #[error("the body did not arrive within {0:?}")]
    SlowBody(Duration),
    #[error("the connection broke while the body was read")]
    Disconnected,
    #[error("nothing but a handshake comes by this method")]
    WrongMethod,
    #[error("the handshake's token is not the `verify_token` of the source's secret")]
    WrongToken,
    #[error(transparent)]
    NotGenuine(Rejection),
    #[error("the body is not JSON: {0}")]
    NotJson(NotJson),
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    #[error("the database does not take events now")]
    StoreAway,
    #[error("the source is paused")]
    Paused,
}

impl Refusal {
    fn problem(&self, source: &Source) -> Problem {
        let name = &source.config.name;
        let rules = &source.config.provider.acknowledgement;
        let status = |own: Option<u16>, usual| {
            own.and_then(|own| StatusCode::from_u16(own).ok())
                .unwrap_or(usual)
        };
        let refused = status(rules.refused, StatusCode::UNAUTHORIZED);
        let malformed = status(rules.malformed, StatusCode::BAD_REQUEST);
        let overloaded = status(rules.overloaded, StatusCode::SERVICE_UNAVAILABLE);
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
            Self::WrongMethod => wrong_method(source),
            Self::WrongToken => Problem::new(StatusCode::FORBIDDEN, "not verified")
                .detail("the token is not the one that was agreed".to_owned()),
            // Neither genuine nor not: the sender is asked to come again.
            Self::NotGenuine(Rejection::NeedsKey(_)) => Problem::new(overloaded, "unavailable")
                .detail(
                    "the sender's certificate cannot be had now; send it again later".to_owned(),
                )
                .retry_after(Duration::from_secs(5)),
            Self::NotGenuine(_) => Problem::new(refused, "not verified")
                .detail("the request's signature is missing, wrong or out of date".to_owned()),
            Self::NotJson(_) => Problem::new(malformed, "not JSON").detail(self.to_string()),
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

    fn received(&self) -> Received {
        match self {
            Self::NotGenuine(Rejection::NeedsKey(_)) => Received::Unavailable,
            Self::TooLarge { .. }
            | Self::SlowBody(_)
            | Self::Disconnected
            | Self::WrongMethod
            | Self::WrongToken
            | Self::NotGenuine(_)
            | Self::NotJson(_) => Received::Rejected,
            Self::Overloaded(_) | Self::StoreAway | Self::Paused => Received::Unavailable,
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
    /// What its sender expects, if it is a question.
    pub(super) answer: Option<Answer>,
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
        let provider = &self.source.config.provider.acknowledgement;
        let answer = match (
            about.and_then(|about| about.answer.as_ref()),
            &self.source.config.ack,
        ) {
            (Some(expected), _) => expected.response(),
            (None, Some(ack)) => answer(ack.status, &ack.content_type, ack.body.clone()),
            (None, None) => {
                let status = provider.status.unwrap_or(status.as_u16());
                match &provider.body {
                    Some((body, content_type)) => answer(status, content_type, body.clone()),
                    None => {
                        let body = format!(r#"{{"status":"{word}","event_id":"{event}"}}"#);
                        answer(status, "application/json", body)
                    }
                }
            }
        };
        self.answered(received, answer.status(), word, Some(event), None);
        answer
    }

    /// Answers what is a question and no event.
    pub(super) fn answer_question(mut self, answer: Answer) -> Response<Body> {
        let response = answer.response();
        self.answered(
            Received::Handshake,
            response.status(),
            "handshake",
            None,
            None,
        );
        response
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
            (None, Some(why)) => tracing::warn!(
                source, kind, delivery_id, request_id = %self.request_id, status, duration_ms, why, "webhook {word}"
            ),
            (None, None) => tracing::info!(
                source, request_id = %self.request_id, status, duration_ms, "webhook {word}"
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

impl Answer {
    fn response(&self) -> Response<Body> {
        let mut response = answer(self.status, &self.content_type, self.body.clone());
        let headers = response.headers_mut();
        // A value that is given back must not become a page in somebody's browser.
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some((name, value)) = &self.header
            && let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            headers.insert(name, value);
        }
        response
    }
}

fn answer(status: u16, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    // Both were checked when they were read.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}
