//! What the API counts over time, as charts.

use serde::Deserialize;

use super::api::with_query;
use super::chart::{Chart, Form, Series};
use super::shown;

/// What happened over time, and what waits now.
#[derive(Deserialize)]
pub(super) struct Stats {
    pub(super) step_s: i64,
    pub(super) series: Vec<Step>,
    pub(super) queue: Vec<Queue>,
    pub(super) attempts: Vec<Attempts>,
}

/// How the attempts of a plugin ended in the last hour.
#[derive(Deserialize)]
pub(super) struct Attempts {
    pub(super) plugin: String,
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) dead: i64,
    pub(super) last_succeeded_at: Option<String>,
    /// Those that failed after the minute in which one succeeded last.
    pub(super) failed_since: i64,
}

/// What happened in one step.
#[derive(Deserialize)]
pub(super) struct Step {
    pub(super) at: String,
    pub(super) received: i64,
    pub(super) duplicates: i64,
    pub(super) rejected: i64,
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) dead: i64,
    pub(super) ack_p50_ms: Option<f64>,
    pub(super) ack_p99_ms: Option<f64>,
    pub(super) run_p50_ms: Option<f64>,
    pub(super) run_p99_ms: Option<f64>,
    /// How many runs were not over at its end.
    #[serde(default)]
    pub(super) queued: Option<i64>,
}

/// What waits for one plugin.
#[derive(Deserialize)]
pub(super) struct Queue {
    pub(super) plugin: String,
    pub(super) ready: i64,
    pub(super) running: i64,
    pub(super) waiting: i64,
    pub(super) blocked: i64,
    pub(super) oldest_s: Option<f64>,
}

impl Stats {
    /// Everything over time, drawn.
    pub(super) fn charts(&self) -> Vec<Chart> {
        let times = self.times();
        let counts = |title, series| Chart::new(title, Form::Stacked, &times, series, whole);
        let latencies = |title, series| Chart::new(title, Form::Lines, &times, series, millis);
        let webhooks = vec![
            self.counted("new", "info", |step| step.received),
            self.counted("duplicate", "quiet", |step| step.duplicates),
            self.counted("refused", "bad", |step| step.rejected),
        ];
        let attempts = vec![
            self.counted("succeeded", "good", |step| step.succeeded),
            self.counted("failed", "warn", |step| step.failed),
        ];
        let dead = vec![self.counted("dead", "bad", |step| step.dead)];
        let acknowledged = vec![
            self.measured("median", "info", |step| step.ack_p50_ms),
            self.measured("99 %", "warn", |step| step.ack_p99_ms),
        ];
        let took = vec![
            self.measured("median", "info", |step| step.run_p50_ms),
            self.measured("99 %", "warn", |step| step.run_p99_ms),
        ];
        let queue = vec![self.queued()];
        vec![
            counts("Webhooks", webhooks),
            counts("Attempts", attempts),
            Chart::new("Queue", Form::Lines, &times, queue, whole),
            counts("Runs that died", dead),
            latencies("Acknowledged within", acknowledged),
            latencies("Attempts took", took),
        ]
    }

    /// Each step's time: of a day, or a date where steps are long.
    fn times(&self) -> Vec<String> {
        let from = if self.step_s >= 3600 { 5 } else { 11 };
        let time = |step: &Step| {
            let moment = shown::moment(&step.at);
            moment.get(from..16).unwrap_or(&moment).to_owned()
        };
        self.series.iter().map(time).collect()
    }

    fn counted(&self, name: &'static str, class: &'static str, of: fn(&Step) -> i64) -> Series {
        let values = self.series.iter().map(of);
        Series {
            name,
            class,
            total: shown::count(values.clone().sum::<i64>()),
            values: values.map(|value| Some(value as f64)).collect(),
        }
    }

    fn measured(
        &self,
        name: &'static str,
        class: &'static str,
        of: fn(&Step) -> Option<f64>,
    ) -> Series {
        let values: Vec<Option<f64>> = self.series.iter().map(of).collect();
        let last = values.iter().rev().find_map(|value| *value);
        Series {
            name,
            class,
            total: last.map_or_else(|| shown::NOTHING.to_owned(), shown::millis),
            values,
        }
    }

    /// How many runs waited, step by step.
    fn queued(&self) -> Series {
        let values = self.series.iter().map(|step| step.queued);
        Series {
            name: "in the queue",
            class: "violet",
            values: values.map(|value| Some(value? as f64)).collect(),
            total: shown::count(self.queue.iter().map(Queue::all).sum::<i64>()),
        }
    }
}

fn whole(value: f64) -> String {
    shown::count(value.round() as i64)
}

fn millis(value: f64) -> String {
    shown::millis(value)
}

impl Queue {
    /// All that is not over.
    pub(super) fn all(&self) -> i64 {
        self.ready + self.running + self.waiting + self.blocked
    }

    /// Its runs.
    pub(super) fn address(&self) -> String {
        with_query("/runs", &[("plugin", Some(&self.plugin))])
    }
}
