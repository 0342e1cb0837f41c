//! Traces: what happened to one webhook, as spans for an OpenTelemetry collector.
//!
//! Off unless `[otlp]` is set; then each webhook is a span, each attempt one below it,
//! and each call of a plugin one below that. Nothing is stored for it: the trace is the
//! sender's where the request has a `traceparent` (W3C Trace Context), else it has the
//! event's id as its own, and the ids of spans follow from what they are of. So any host
//! adds to a trace that another began, after a restart too.
//!
//! Spans wait in a queue with a bound; what does not fit is counted and dropped, since
//! nobody waits for a collector. [`export`] sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::event::{Event, EventId, Headers};
use crate::run::Fence;

pub mod export;

/// Spans that wait at most.
const WAITING_MAX: usize = 8192;

/// Where spans go; a handle.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Queue>>);

struct Queue {
    spans: mpsc::Sender<Span>,
    dropped: AtomicU64,
    clock: Clock,
    propagates: bool,
}

/// Which trace something belongs to, and which span of it is its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: Option<[u8; 8]>,
}

/// Names a span within its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

/// What a span is of, as OpenTelemetry numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request that came in.
    Server = 2,
    /// A request that went out.
    Client = 3,
    /// Work that waited in a queue.
    Consumer = 5,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace and the parent.
    pub context: TraceContext,
    /// Its own id.
    pub id: SpanId,
    /// What it is, with few different values.
    pub name: String,
    /// What it is of.
    pub kind: SpanKind,
    /// From when.
    pub start_ns: u64,
    /// Until when.
    pub end_ns: u64,
    /// More about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

impl TraceContext {
    /// The context of a request: the sender's, or a trace of the event's own.
    pub fn of_request(id: EventId, headers: &Headers) -> Self {
        let given = headers.text("traceparent").and_then(Self::parse);
        given.unwrap_or_else(|| Self::own(id))
    }

    /// A trace of an event's or a request's own.
    pub fn own(id: EventId) -> Self {
        let mut trace = [0; 16];
        trace.copy_from_slice(id.as_bytes());
        Self { trace, span: None }
    }

    /// The context of the attempts for a stored event: below its request's span.
    pub fn of_event(event: &Event) -> Self {
        Self {
            span: Some(SpanId::of_request(event.id).0),
            ..Self::of_request(event.id, &event.headers)
        }
    }

    /// The same trace, below this span.
    pub fn below(self, span: SpanId) -> Self {
        Self {
            span: Some(span.0),
            ..self
        }
    }

    /// Reads `traceparent` of version 00, and what a later one shares with it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_hex = |part: &str, length| part.len() == length && part.chars().all(is_lower);
        let is_form = is_hex(version, 2) && version != "ff" && is_hex(flags, 2);
        if !is_form || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let mut context = Self {
            trace: [0; 16],
            span: Some([0; 8]),
        };
        hex::decode_to_slice(trace, &mut context.trace).ok()?;
        let span_bytes = context.span.as_mut()?;
        hex::decode_to_slice(span, span_bytes).ok()?;
        let is_named = context.trace != [0; 16] && *span_bytes != [0; 8];
        (is_named && is_hex(trace, 32) && is_hex(span, 16)).then_some(context)
    }

    /// What goes along with a request that a span of this trace makes.
    pub fn traceparent(self, span: SpanId) -> String {
        format!("00-{}-{}-01", hex::encode(self.trace), hex::encode(span.0))
    }
}

impl SpanId {
    /// The span of a request.
    pub fn of_request(id: EventId) -> Self {
        Self::of("request", id.as_bytes())
    }

    /// The span of an attempt.
    pub fn of_attempt(fence: &Fence) -> Self {
        let of = [fence.run.0, fence.owner.0, fence.lease_no];
        Self::of("attempt", &of.map(i64::to_be_bytes).concat())
    }

    /// One of its own.
    pub fn random() -> Self {
        Self(rand::random())
    }

    fn of(what: &str, id: &[u8]) -> Self {
        let hash = Sha256::digest([what.as_bytes(), id].concat());
        let mut span = [0; 8];
        span.copy_from_slice(&hash[..8]);
        Self(span)
    }
}

impl Traces {
    /// A queue, and its end that is to be sent.
    pub fn new(clock: Clock, propagates: bool) -> (Self, mpsc::Receiver<Span>) {
        let (spans, queue) = mpsc::channel(WAITING_MAX);
        let dropped = AtomicU64::new(0);
        let queued = Queue {
            spans,
            dropped,
            clock,
            propagates,
        };
        (Self(Some(Arc::new(queued))), queue)
    }

    /// Whether anybody wants spans: nothing need be prepared otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether calls of plugins carry the trace along.
    pub fn propagates(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.propagates)
    }

    /// Has a span sent that ends now and took so long; it is made only if it is wanted.
    pub fn ended(&self, took: Duration, span: impl FnOnce(u64, u64) -> Span) {
        let Some(queue) = &self.0 else { return };
        let end_ns = u64::try_from(queue.clock.now().millis()).unwrap_or(0) * 1_000_000;
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let span = span(end_ns.saturating_sub(took_ns), end_ns);
        if queue.spans.try_send(span).is_err() {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many spans did not fit since this was last asked.
    fn take_dropped(&self) -> u64 {
        let queue = self.0.as_ref();
        queue.map_or(0, |queue| queue.dropped.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    #[test]
    fn traceparents_are_read_and_others_are_not() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let good = format!("00-{trace}-{span}-01");
        let context = TraceContext::parse(&good).unwrap();
        assert_eq!(hex::encode(context.trace), trace);
        assert_eq!(context.span.map(hex::encode).as_deref(), Some(span));
        assert!(TraceContext::parse(&format!("cc-{trace}-{span}-01-more")).is_some());
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("{good}-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", &trace[1..]),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}"),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }
}
