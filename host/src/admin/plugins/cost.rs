//! What a plugin's attempts take, as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{Cost, Measure};

/// What the attempts of its last runs took.
#[derive(Serialize, ToSchema)]
#[schema(as = Cost)]
pub(super) struct CostJson {
    attempts: i64,
    duration_ms: MeasureJson,
    cpu_ms: MeasureJson,
    memory_bytes: MeasureJson,
    egress_bytes: MeasureJson,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Measure)]
struct MeasureJson {
    mean: f64,
    max: f64,
}

impl From<Cost> for CostJson {
    fn from(cost: Cost) -> Self {
        let whole = |of: Measure| MeasureJson {
            mean: of.mean as f64,
            max: of.max as f64,
        };
        let millis = |of: Measure| MeasureJson {
            mean: of.mean as f64 / 1000.0,
            max: of.max as f64 / 1000.0,
        };
        Self {
            attempts: cost.attempts,
            duration_ms: millis(cost.duration_us),
            cpu_ms: millis(cost.cpu_us),
            memory_bytes: whole(cost.memory_bytes),
            egress_bytes: whole(cost.egress_bytes),
        }
    }
}
