//! What senders are told, and the one line that the log has for each webhook.
//!
//! The sender learns the class of a failure; the log says exactly what it was.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::event::EventId;
use crate::metrics::{Metrics, Received};
use crate::store::Ingested;
use crate::traces::{Span, SpanId, SpanKind, TraceContext, Value};

use super::handshake::Answer;
use super::refusal::Refusal;
use super::source::Source;

/// What is known of a request once it is proven genuine.
pub(super) struct About {
    /// The ids that its events will have.
    pub(super) ids: Vec<EventId>,
    /// The kind of all of them; `several` if they differ.
    pub(super) kind: String,
    pub(super) delivery_id: Option<String>,
    pub(super) is_handshake: bool,
    /// The trace that it belongs to.
    pub(super) trace: TraceContext,
    /// What its sender expects, if it is a question.
    pub(super) answer: Option<Answer>,
    /// Position of the secret that proved it.
    pub(super) secret: Option<usize>,
}

/// One request on its way to an answer; logs and counts it when it has one, or
/// when its sender went away before.
pub(super) struct Receipt<'a> {
    source: &'a Source,
    metrics: &'a Metrics,
    request_id: EventId,
    remote: IpAddr,
    started: Instant,
    about: Option<About>,
    is_answered: bool,
}

impl<'a> Receipt<'a> {
    pub(super) fn new(
        source: &'a Source,
        metrics: &'a Metrics,
        request_id: EventId,
        remote: IpAddr,
        started: Instant,
    ) -> Self {
        Self {
            source,
            metrics,
            request_id,
            remote,
            started,
            about: None,
            is_answered: false,
        }
    }

    /// Notes what a genuine request is about.
    pub(super) fn is_about(&mut self, about: About) {
        if let Some(position) = about.secret {
            let source = self.source.config.name.as_str();
            self.metrics.proofs.secret_matched(source, position);
        }
        self.about = Some(about);
    }

    /// Answers what is stored, now or before.
    pub(super) fn acknowledge(mut self, ingested: &[Ingested]) -> Response<Body> {
        let about = self.about.as_ref();
        let own_ids = about.map_or(&[][..], |about| &about.ids);
        let ids = known_as(own_ids, ingested);
        let (status, word, received) = if is_duplicate(ingested) {
            (StatusCode::OK, "duplicate", Received::Duplicate)
        } else if about.is_some_and(|about| about.is_handshake) {
            (StatusCode::ACCEPTED, "pong", Received::Accepted)
        } else {
            (StatusCode::ACCEPTED, "accepted", Received::Accepted)
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
                    None => answer(status, "application/json", told(word, &ids)),
                }
            }
        };
        self.answered(received, answer.status(), word, &ids, None);
        answer
    }

    /// Answers what is a question and no event.
    pub(super) fn answer_question(mut self, answer: Answer) -> Response<Body> {
        let response = answer.response();
        self.answered(
            Received::Handshake,
            response.status(),
            "handshake",
            &[],
            None,
        );
        response
    }

    /// Answers what is not taken and comes too often from one address: a status, and no
    /// line in the log but one now and then.
    pub(super) fn refuse_barely(mut self, refusal: &Refusal, is_news: bool) -> Response<Body> {
        self.is_answered = true;
        let source = self.source.config.name.as_str();
        self.metrics.verification_failed(source, refusal.code());
        let took = self.started.elapsed();
        self.metrics
            .webhook_received(source, None, refusal.received(), took);
        if is_news {
            tracing::warn!(
                source, remote = %self.remote,
                "an address fails verification too often; its failures are only counted now"
            );
        }
        let mut bare = Response::new(Body::empty());
        *bare.status_mut() = refusal.status(self.source);
        bare
    }

    /// Answers what is not taken.
    pub(super) fn refuse(mut self, refusal: &Refusal) -> Response<Body> {
        let answer = refusal
            .problem(self.source)
            .into_response_to(&self.request_id.to_string());
        if refusal.is_failed_proof() || matches!(refusal, Refusal::NotGenuine(_)) {
            self.metrics
                .verification_failed(self.source.config.name.as_str(), refusal.code());
        }
        self.answered(
            refusal.received(),
            answer.status(),
            "refused",
            &[],
            Some(refusal),
        );
        answer
    }

    fn answered(
        &mut self,
        received: Received,
        status: StatusCode,
        word: &str,
        ids: &[EventId],
        why: Option<&Refusal>,
    ) {
        self.is_answered = true;
        let source = self.source.config.name.as_str();
        let (kind, delivery_id) = self.kind_and_delivery();
        let took = self.started.elapsed();
        self.metrics.webhook_received(source, kind, received, took);
        let status = status.as_u16();
        self.trace(status, word, took, why);
        let duration_ms = took.as_micros() as f64 / 1000.0;
        let events = (ids.len() > 1).then_some(ids.len());
        match (ids.first(), why) {
            (Some(event), _) => tracing::info!(
                source, kind, delivery_id, event_id = %event, events, remote = %self.remote, status, duration_ms, "webhook {word}"
            ),
            (None, Some(why)) => tracing::warn!(
                source, kind, delivery_id, request_id = %self.request_id, remote = %self.remote, status, duration_ms, code = why.code(), %why, "webhook {word}"
            ),
            (None, None) => tracing::info!(
                source, request_id = %self.request_id, remote = %self.remote, status, duration_ms, "webhook {word}"
            ),
        }
    }

    /// The request as a span, for whoever wants it.
    fn trace(&self, status: u16, word: &str, took: Duration, why: Option<&Refusal>) {
        let about = self.about.as_ref();
        self.metrics.traces.ended(took, |start_ns, end_ns| {
            let first = about.and_then(|about| about.ids.first());
            let id = first.copied().unwrap_or(self.request_id);
            let source = self.source.config.name.as_str();
            let mut attributes = vec![
                ("http.response.status_code", Value::Int(status.into())),
                ("hookbay.source", Value::Text(source.to_owned())),
                ("hookbay.result", Value::Text(word.to_owned())),
                ("hookbay.event.id", Value::Text(id.to_string())),
            ];
            if let Some(about) = about {
                attributes.push(("hookbay.kind", Value::Text(about.kind.clone())));
            }
            Span {
                context: about.map_or_else(|| TraceContext::own(id), |about| about.trace),
                id: SpanId::of_request(id),
                name: format!("webhook {source}"),
                kind: SpanKind::Server,
                start_ns,
                end_ns,
                attributes,
                error: why.map(|why| why.code().to_owned()),
            }
        });
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
            let event_id = self.about.as_ref().and_then(|about| about.ids.first());
            let event_id = event_id.map(EventId::to_string);
            tracing::info!(
                source, kind, delivery_id, event_id, request_id = %self.request_id, remote = %self.remote,
                "the sender went away before its answer"
            );
        }
    }
}

/// The ids by which events are known: their own, or those of the ones that they repeat.
pub(super) fn known_as(own: &[EventId], ingested: &[Ingested]) -> Vec<EventId> {
    let known = own
        .iter()
        .zip(ingested)
        .map(|(own, ingested)| match ingested {
            Ingested::Duplicate(first) => *first,
            Ingested::New | Ingested::Conflict => *own,
        });
    known.collect()
}

/// Whether all that a request says had come before.
pub(super) fn is_duplicate(ingested: &[Ingested]) -> bool {
    let is_known = |ingested: &Ingested| matches!(ingested, Ingested::Duplicate(_));
    ingested.iter().all(is_known)
}

/// Our own acknowledgement.
fn told(word: &str, ids: &[EventId]) -> String {
    match ids {
        [one] => format!(r#"{{"status":"{word}","event_id":"{one}"}}"#),
        several => serde_json::json!({ "status": word, "event_ids": several }).to_string(),
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
