//! Sends spans to a collector: OTLP over HTTP with JSON, in batches.
//!
//! Written here and not taken from the `opentelemetry` crates, whose exporter brings an
//! HTTP client and a Protobuf runtime of its own for what is one JSON object. It goes
//! through the client that plugins call with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{EndpointGrant, OtlpConfig};
use crate::plugin::egress::{Blob, Egress, Fetch, Fetcher as _, HeaderValue, Network};
use crate::plugin::secrets::Secrets;

use super::{Span, Traces, Value};

/// The grant's name, which problems mention.
const ENDPOINT: &str = "otlp";
/// The name of the secret for the collector.
const AUTHORIZATION: &str = "authorization";
/// Spans of one request: far below what the client sends at once.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const EVERY: Duration = Duration::from_secs(2);
/// From the look-up to the end of the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest text of an attribute.
const TEXT_CHARS_MAX: usize = 200;

/// Sends what a [`Traces`] takes.
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    traces: Traces,
    egress: Egress,
    path: String,
    is_authorized: bool,
    /// What all spans are of.
    resource: Json,
    /// Whether the last batch was lost, so that it is said once.
    is_failing: bool,
}

/// Traces as the configuration has them, and what sends them if they are on.
pub fn of(
    config: Option<&OtlpConfig>,
    clock: &Clock,
    network: &Network,
    host_name: &str,
) -> (Traces, Option<Exporter>) {
    let Some(config) = config else {
        return (Traces::default(), None);
    };
    let (traces, spans) = Traces::new(clock.clone(), config.propagate);
    let exporter = Exporter::new(config, (traces.clone(), spans), network, host_name);
    (traces, Some(exporter))
}

impl Exporter {
    /// An exporter to the collector that the configuration names.
    pub fn new(
        config: &OtlpConfig,
        (traces, spans): (Traces, mpsc::Receiver<Span>),
        network: &Network,
        host_name: &str,
    ) -> Self {
        let secrets = config.authorization.clone();
        let secrets: BTreeMap<_, _> = secrets
            .map(|secret| (AUTHORIZATION.to_owned(), secret))
            .into_iter()
            .collect();
        let grant = EndpointGrant {
            origin: config.origin.clone(),
            secrets: BTreeSet::from([AUTHORIZATION.to_owned()]),
            private: true,
        };
        let grants = BTreeMap::from([(ENDPOINT.to_owned(), grant)]);
        let resource = [
            ("service.name", config.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("host.name", host_name),
        ];
        let resource = resource.map(|(key, text)| attribute(key, &Value::Text(text.to_owned())));
        Self {
            spans,
            traces,
            is_authorized: !secrets.is_empty(),
            egress: Egress::new(&grants, Arc::new(Secrets::new(&secrets)), network),
            path: config.path.clone(),
            resource: json!({ "attributes": resource }),
            is_failing: false,
        }
    }

    /// Runs until `stop`, and sends what waits then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let is_over = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            loop {
                while batch.len() < BATCH_MAX
                    && let Ok(span) = self.spans.try_recv()
                {
                    batch.push(span);
                }
                if batch.is_empty() {
                    break;
                }
                self.send(&batch).await;
                batch.clear();
                if self.is_failing {
                    break;
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// Sends once: a collector that is away loses what is sent meanwhile.
    async fn send(&mut self, batch: &[Span]) {
        let spans: Vec<Json> = batch.iter().map(span_json).collect();
        let scope = json!({ "name": "hookbay", "version": env!("CARGO_PKG_VERSION") });
        let body = json!({ "resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] });
        let plain = |text: &str| HeaderValue::Plain(Blob(text.as_bytes().to_vec()));
        let mut headers = vec![("content-type".to_owned(), plain("application/json"))];
        if self.is_authorized {
            let value = HeaderValue::Secret {
                name: AUTHORIZATION.to_owned(),
                prefix: String::new(),
                suffix: String::new(),
            };
            headers.push(("authorization".to_owned(), value));
        }
        let fetch = Fetch {
            endpoint: ENDPOINT.to_owned(),
            path: self.path.clone(),
            method: "POST".to_owned(),
            headers,
            body: Some(Blob(body.to_string().into_bytes())),
            timeout: Some(WITHIN),
            idempotency_header: None,
        };
        let problem = match self.egress.fetch(&fetch, "", WITHIN).await {
            Ok(answer) if (200..300).contains(&answer.status) => None,
            Ok(answer) => Some(format!("the answer is {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        let dropped = self.traces.take_dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "more spans came than the collector takes");
        }
        let was_failing = std::mem::replace(&mut self.is_failing, problem.is_some());
        match problem {
            Some(problem) if !was_failing => {
                tracing::warn!(
                    problem,
                    "spans cannot be delivered; they are lost until they can"
                );
            }
            None if was_failing => tracing::info!("spans are delivered again"),
            Some(_) | None => {}
        }
    }
}

/// A span as OTLP has it in JSON: ids in hexadecimal, numbers of 64 bits as text.
fn span_json(span: &Span) -> Json {
    let attributes = span.attributes.iter();
    let attributes: Vec<Json> = attributes
        .map(|(key, value)| attribute(key, value))
        .collect();
    let mut json = json!({
        "traceId": hex::encode(span.context.trace),
        "spanId": hex::encode(span.id.0),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = span.context.span {
        json["parentSpanId"] = hex::encode(parent).into();
    }
    if let Some(error) = &span.error {
        json["status"] = json!({ "code": 2, "message": shortened(error) });
    }
    json
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({ "stringValue": shortened(text) }),
        Value::Int(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
