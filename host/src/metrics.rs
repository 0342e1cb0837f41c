//! What this host counts: `/metrics`, and per minute for charts.
//!
//! Counters live in memory; the queue's depth is read from the store when it is
//! asked for. `kind` labels come from verified requests only and are bounded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::event::Event;
use crate::name::PluginName;
use crate::retry::Next;
use crate::run::{AttemptRecord, Outcome};
use crate::traces::Traces;

mod bill;
mod labels;
mod minutes;
mod proof;

use labels::{
    DepthLabels, EgressLabels, OutcomeLabels, PluginLabel, ReasonLabels, ReceivedLabels,
    ResultLabel, RunLabels, SourceLabel, StateLabel,
};
pub use minutes::{Latencies, Minutes};
pub use proof::{Proofs, SetAside};

use bill::Bill;

/// Distinct kinds per source before all others are `other`.
const KINDS_MAX: usize = 100;

/// Upper bounds of the latency buckets, in seconds.
pub(crate) const BUCKETS_S: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// What became of a request at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Stored.
    Accepted,
    /// Known already.
    Duplicate,
    /// A question of the sender's that is answered and not stored.
    Handshake,
    /// Refused, by what it was.
    Rejected,
    /// Not taken, for want of room or of the database.
    Unavailable,
}

/// Makes the histograms of a family.
#[derive(Clone, Debug)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS_S)
    }
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    received: Family<ReceivedLabels, Counter>,
    ingest: Family<SourceLabel, Histogram, Seconds>,
    verification_failures: Family<ReasonLabels, Counter>,
    duplicates: Family<SourceLabel, Counter>,
    runs: Family<RunLabels, Counter>,
    attempts: Family<OutcomeLabels, Counter>,
    postponed: Family<PluginLabel, Counter>,
    run: Family<PluginLabel, Histogram, Seconds>,
    bill: Bill,
    queue_depth: Family<DepthLabels, Gauge>,
    queue_oldest: Family<PluginLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
    oldest_snapshot: Gauge<f64, std::sync::atomic::AtomicU64>,
    plugins: Family<StateLabel, Gauge>,
    plugin_loads: Family<ResultLabel, Counter>,
    egress: Family<EgressLabels, Counter>,
    kinds: Mutex<HashMap<String, HashSet<String>>>,
    failures: Mutex<Failures>,
    /// The same per minute, for charts.
    pub minutes: Minutes,
    /// What is counted of proofs.
    pub proofs: Proofs,
    /// Where spans of it go.
    pub traces: Traces,
}

/// What has failed since the start, for whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// Requests that were not genuine, by source.
    pub verification: BTreeMap<String, u64>,
    /// Runs that died, by plugin.
    pub dead_runs: BTreeMap<String, u64>,
}

/// How deep one plugin's queue is.
#[derive(Clone, Debug)]
pub struct Depth {
    /// The plugin's name.
    pub plugin: String,
    /// Runs per state.
    pub states: Vec<(&'static str, i64)>,
    /// How long the next run has waited.
    pub oldest: Option<Duration>,
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hookbay"),
            received: Family::default(),
            ingest: Family::new_with_constructor(Seconds),
            verification_failures: Family::default(),
            duplicates: Family::default(),
            runs: Family::default(),
            attempts: Family::default(),
            postponed: Family::default(),
            run: Family::new_with_constructor(Seconds),
            bill: Bill::new(),
            queue_depth: Family::default(),
            queue_oldest: Family::default(),
            oldest_snapshot: Gauge::default(),
            plugins: Family::default(),
            plugin_loads: Family::default(),
            egress: Family::default(),
            kinds: Mutex::default(),
            failures: Mutex::default(),
            minutes: Minutes::default(),
            proofs: Proofs::default(),
            traces: Traces::default(),
        };
        metrics.register();
        metrics
    }

    /// The same, with spans that go there.
    pub fn tracing(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        self.proofs.register(registry);
        registry.register(
            "webhooks_received",
            "Requests to sources, by what became of them",
            self.received.clone(),
        );
        registry.register_with_unit(
            "ingest",
            "From the request's head to its answer",
            Unit::Seconds,
            self.ingest.clone(),
        );
        registry.register(
            "verification_failures",
            "Requests that were not genuine",
            self.verification_failures.clone(),
        );
        registry.register(
            "duplicates",
            "Deliveries that had come before",
            self.duplicates.clone(),
        );
        registry.register("runs", "Finished runs", self.runs.clone());
        registry.register(
            "attempts",
            "Attempts that have ended",
            self.attempts.clone(),
        );
        registry.register(
            "runs_postponed",
            "Runs put back for other hosts: this one lacks the key of their event",
            self.postponed.clone(),
        );
        registry.register_with_unit("run", "Time of an attempt", Unit::Seconds, self.run.clone());
        self.bill.register(registry);
        registry.register(
            "queue_depth",
            "Unfinished runs of the whole cluster",
            self.queue_depth.clone(),
        );
        registry.register_with_unit(
            "queue_oldest",
            "Age of the next run",
            Unit::Seconds,
            self.queue_oldest.clone(),
        );
        registry.register_with_unit(
            "oldest_snapshot",
            "Age of the oldest open transaction that keeps removed rows",
            Unit::Seconds,
            self.oldest_snapshot.clone(),
        );
        registry.register("plugins", "Plugins by state", self.plugins.clone());
        registry.register(
            "plugin_loads",
            "Files that were loaded as plugins",
            self.plugin_loads.clone(),
        );
        registry.register(
            "egress_requests",
            "Calls of plugins to their endpoints, by status or error",
            self.egress.clone(),
        );
    }

    /// A request to a source was answered; `kind` only if it was verified.
    pub fn webhook_received(
        &self,
        source: &str,
        kind: Option<&str>,
        received: Received,
        took: Duration,
    ) {
        let labels = ReceivedLabels {
            source: source.to_owned(),
            kind: kind
                .map(|kind| self.bounded_kind(source, kind))
                .unwrap_or_default(),
            result: received.as_str().to_owned(),
        };
        self.received.get_or_create(&labels).inc();
        let source_label = SourceLabel {
            source: source.to_owned(),
        };
        self.ingest
            .get_or_create(&source_label)
            .observe(took.as_secs_f64());
        if received == Received::Duplicate {
            self.duplicates.get_or_create(&source_label).inc();
        }
        self.minutes.webhook_received(source, received, took);
    }

    /// A request was not genuine.
    pub fn verification_failed(&self, source: &str, reason: &str) {
        let labels = ReasonLabels {
            source: source.to_owned(),
            reason: reason.to_owned(),
        };
        self.verification_failures.get_or_create(&labels).inc();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.verification.entry(source.to_owned()).or_default() += 1;
    }

    /// An attempt was recorded; of a damaged event nothing is known.
    pub fn attempt_ended(
        &self,
        event: Option<&Event>,
        plugin: &PluginName,
        record: &AttemptRecord,
        outcome: Outcome,
        next: Next,
    ) {
        let took = Duration::from_micros(u64::try_from(record.duration_us).unwrap_or(0));
        let label = PluginLabel {
            plugin: plugin.to_string(),
        };
        let labels = OutcomeLabels {
            plugin: plugin.to_string(),
            outcome: outcome.as_str().to_owned(),
        };
        self.attempts.get_or_create(&labels).inc();
        self.run.get_or_create(&label).observe(took.as_secs_f64());
        self.bill.add(&label, record);
        if matches!(next, Next::Succeeded | Next::Dead | Next::Cancelled) {
            let source = event.map_or("", |event| event.source.as_str());
            let kind = event.map_or("", |event| &event.kind);
            let labels = RunLabels {
                plugin: plugin.to_string(),
                source: source.to_owned(),
                kind: self.bounded_kind(source, kind),
                outcome: outcome.as_str().to_owned(),
            };
            self.runs.get_or_create(&labels).inc();
        }
        if next == Next::Dead {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.dead_runs.entry(plugin.to_string()).or_default() += 1;
        }
        self.minutes.attempt_ended(plugin.as_str(), next, took);
    }

    /// A run was put back, since this host lacks the key of its event.
    pub fn run_postponed(&self, plugin: &PluginName) {
        let plugin = plugin.to_string();
        self.postponed.get_or_create(&PluginLabel { plugin }).inc();
    }

    /// What has failed since the start.
    pub fn failures(&self) -> Failures {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.clone()
    }

    /// A file was loaded, or could not be.
    pub fn plugin_loaded(&self, is_ok: bool) {
        let result = if is_ok { "ok" } else { "refused" };
        self.plugin_loads
            .get_or_create(&ResultLabel {
                result: result.to_owned(),
            })
            .inc();
    }

    /// A plugin has called an endpoint; the labels are bounded by whoever calls
    /// (`Egress::label`, `status_label`).
    pub fn egress_requested(&self, plugin: &PluginName, endpoint: &str, status: &str) {
        let labels = EgressLabels {
            plugin: plugin.to_string(),
            endpoint: endpoint.to_owned(),
            status: status.to_owned(),
        };
        self.egress.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`, with the queue, the database and the plugins as they are now.
    pub fn text(
        &self,
        depths: &[Depth],
        oldest_snapshot: Duration,
        plugins: &[(&'static str, i64)],
    ) -> String {
        self.oldest_snapshot.set(oldest_snapshot.as_secs_f64());
        self.queue_depth.clear();
        self.queue_oldest.clear();
        self.plugins.clear();
        for depth in depths {
            for (state, count) in &depth.states {
                let labels = DepthLabels {
                    plugin: depth.plugin.clone(),
                    state: (*state).to_owned(),
                };
                self.queue_depth.get_or_create(&labels).set(*count);
            }
            let oldest = depth.oldest.unwrap_or_default().as_secs_f64();
            self.queue_oldest
                .get_or_create(&PluginLabel {
                    plugin: depth.plugin.clone(),
                })
                .set(oldest);
        }
        for (state, count) in plugins {
            self.plugins
                .get_or_create(&StateLabel {
                    state: (*state).to_owned(),
                })
                .set(*count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }

    /// The kind as a label: itself for the first hundred of a source.
    fn bounded_kind(&self, source: &str, kind: &str) -> String {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains_key(source) {
            kinds.insert(source.to_owned(), HashSet::new());
        }
        let Some(seen) = kinds.get_mut(source) else {
            return "other".to_owned();
        };
        if seen.contains(kind) {
            return kind.to_owned();
        }
        if seen.len() >= KINDS_MAX {
            return "other".to_owned();
        }
        seen.insert(kind.to_owned());
        kind.to_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Received {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
        }
    }
}
