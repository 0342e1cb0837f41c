//! What is counted of proofs: which secrets match, and what became of requests that were
//! refused.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What became of a refused request that may be an event after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// It is in quarantine.
    Kept,
    /// Its source has had as many as it may have set aside at a time.
    OverRate,
    /// Too many wait to be written.
    QueueFull,
    /// Quarantine is full.
    Full,
    /// The database did not take it.
    StoreAway,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SetAsideLabels {
    source: String,
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SecretLabels {
    source: String,
    n: u32,
}

/// The counters.
#[derive(Default)]
pub struct Proofs {
    quarantine: Family<SetAsideLabels, Counter>,
    secret_matches: Family<SecretLabels, Counter>,
}

impl Proofs {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "quarantine",
            "Refused requests, by whether they were set aside",
            self.quarantine.clone(),
        );
        registry.register(
            "secret_matches",
            "Genuine requests, by the secret that proved them, from 1 in the configuration's order",
            self.secret_matches.clone(),
        );
    }

    /// So many refused requests were set aside, or were not.
    pub fn set_aside(&self, source: &str, what: SetAside, count: u64) {
        if count == 0 {
            return;
        }
        let labels = SetAsideLabels {
            source: source.to_owned(),
            result: what.as_str().to_owned(),
        };
        self.quarantine.get_or_create(&labels).inc_by(count);
    }

    /// A secret, by its position from 0, proved a request.
    pub fn secret_matched(&self, source: &str, position: usize) {
        let labels = SecretLabels {
            source: source.to_owned(),
            n: u32::try_from(position + 1).unwrap_or(u32::MAX),
        };
        self.secret_matches.get_or_create(&labels).inc();
    }
}

impl SetAside {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::OverRate => "over_rate",
            Self::QueueFull => "queue_full",
            Self::Full => "full",
            Self::StoreAway => "store_away",
        }
    }
}
