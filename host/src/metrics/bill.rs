//! What attempts cost, summed per plugin: the resource bill that each attempt has in the API.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::run::AttemptRecord;

use super::PluginLabel;

/// Upper bounds of the buckets of peak memory: 1 MiB to 1 GiB.
const BUCKETS_BYTES: [f64; 6] = [
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// Seconds, added up.
type Seconds = Family<PluginLabel, Counter<f64, AtomicU64>>;

/// Makes the histograms of memory.
#[derive(Clone, Debug)]
struct Sizes;

impl MetricConstructor<Histogram> for Sizes {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS_BYTES)
    }
}

/// The sums.
pub(super) struct Bill {
    cpu: Seconds,
    host_calls: Seconds,
    egress: Family<PluginLabel, Counter>,
    memory: Family<PluginLabel, Histogram, Sizes>,
}

impl Bill {
    pub(super) fn new() -> Self {
        Self {
            cpu: Family::default(),
            host_calls: Family::default(),
            egress: Family::default(),
            memory: Family::new_with_constructor(Sizes),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "run_cpu",
            "CPU time of guests",
            Unit::Seconds,
            self.cpu.clone(),
        );
        registry.register_with_unit(
            "run_host_calls",
            "Time of guests in calls of the host",
            Unit::Seconds,
            self.host_calls.clone(),
        );
        registry.register_with_unit(
            "run_egress",
            "What guests sent and received",
            Unit::Bytes,
            self.egress.clone(),
        );
        registry.register_with_unit(
            "run_memory",
            "Peak memory of an attempt",
            Unit::Bytes,
            self.memory.clone(),
        );
    }

    /// Adds one attempt.
    pub(super) fn add(&self, plugin: &PluginLabel, record: &AttemptRecord) {
        let natural = |number: i64| u64::try_from(number).unwrap_or(0);
        let seconds = |us| Duration::from_micros(natural(us)).as_secs_f64();
        self.cpu
            .get_or_create(plugin)
            .inc_by(seconds(record.cpu_us));
        self.host_calls
            .get_or_create(plugin)
            .inc_by(seconds(record.calls_us));
        self.egress
            .get_or_create(plugin)
            .inc_by(natural(record.egress_bytes));
        let memory = natural(record.memory_bytes) as f64;
        self.memory.get_or_create(plugin).observe(memory);
    }
}
