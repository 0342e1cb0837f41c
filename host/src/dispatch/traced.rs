//! The spans of an attempt: itself, and the calls that its plugin makes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::event::Event;
use crate::name::PluginName;
use crate::plugin::Report;
use crate::plugin::egress::{Blob, Fetch, FetchError, Fetched, Fetcher, HeaderValue, status_label};
use crate::run::{Claimed, Outcome};
use crate::traces::{Span, SpanId, SpanKind, TraceContext, Traces, Value};

/// Makes the calls of one attempt, each a span below the attempt's.
struct Traced {
    inner: Arc<dyn Fetcher>,
    traces: Traces,
    context: TraceContext,
}

/// What makes an attempt's calls, followed by spans if they are wanted.
pub(super) fn followed(
    inner: Arc<dyn Fetcher>,
    traces: &Traces,
    event: &Event,
    claimed: &Claimed,
) -> Arc<dyn Fetcher> {
    if !traces.is_on() {
        return inner;
    }
    let attempt = SpanId::of_attempt(&claimed.fence);
    Arc::new(Traced {
        inner,
        traces: traces.clone(),
        context: TraceContext::of_event(event).below(attempt),
    })
}

/// The span of an attempt that has ended.
pub(super) fn ended(
    traces: &Traces,
    event: &Event,
    plugin: &PluginName,
    claimed: &Claimed,
    report: &Report,
) {
    let took = Duration::from_micros(u64::try_from(report.record.duration_us).unwrap_or(0));
    let outcome = report.outcome;
    traces.ended(took, |start_ns, end_ns| Span {
        context: TraceContext::of_event(event),
        id: SpanId::of_attempt(&claimed.fence),
        name: format!("run {plugin}"),
        kind: SpanKind::Consumer,
        start_ns,
        end_ns,
        attributes: vec![
            ("hookbay.plugin", Value::Text(plugin.to_string())),
            ("hookbay.event.id", Value::Text(event.id.to_string())),
            ("hookbay.source", Value::Text(event.source.to_string())),
            ("hookbay.kind", Value::Text(event.kind.clone())),
            ("hookbay.run.id", Value::Text(claimed.fence.run.to_string())),
            ("hookbay.attempt", Value::Int(claimed.attempt.into())),
            ("hookbay.outcome", Value::Text(outcome.as_str().to_owned())),
        ],
        error: match outcome {
            Outcome::Succeeded => None,
            _ => Some(report.error.clone().unwrap_or_default()),
        },
    });
}

impl Fetcher for Traced {
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        idempotency_key: &'a str,
        most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let id = SpanId::random();
            let began = Instant::now();
            let answer = if self.traces.propagates() {
                let fetch = self.carrying(fetch, id);
                self.inner.fetch(&fetch, idempotency_key, most).await
            } else {
                self.inner.fetch(fetch, idempotency_key, most).await
            };
            self.traces.ended(began.elapsed(), |start_ns, end_ns| {
                let endpoint = &fetch.endpoint;
                let label = status_label(&answer);
                let status = match label.parse() {
                    Ok(status) => ("http.response.status_code", Value::Int(status)),
                    Err(_) => ("error.type", Value::Text(label)),
                };
                Span {
                    context: self.context,
                    id,
                    name: format!("{} {endpoint}", fetch.method),
                    kind: SpanKind::Client,
                    start_ns,
                    end_ns,
                    attributes: vec![
                        ("hookbay.endpoint", Value::Text(endpoint.clone())),
                        ("http.request.method", Value::Text(fetch.method.clone())),
                        status,
                    ],
                    error: answer.as_ref().err().map(ToString::to_string),
                }
            });
            answer
        })
    }
}

impl Traced {
    /// The call with the trace in its headers, in place of any that the plugin chose.
    fn carrying(&self, fetch: &Fetch, span: SpanId) -> Fetch {
        let mut fetch = fetch.clone();
        let is_other =
            |(name, _): &(String, HeaderValue)| !name.eq_ignore_ascii_case("traceparent");
        fetch.headers.retain(is_other);
        let value = HeaderValue::Plain(Blob(self.context.traceparent(span).into_bytes()));
        fetch.headers.push(("traceparent".to_owned(), value));
        fetch
    }
}
