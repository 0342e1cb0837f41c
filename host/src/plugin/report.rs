//! How an attempt ended: from what the guest answered, or why it did not, to a
//! [`Report`] with a stable outcome.

use std::borrow::Cow;
use std::time::Duration;

use wasmtime::Trap;
use wasmtime_wasi::{I32Exit, ResourceTableError};

use crate::clock::Timestamp;
use crate::config::units::readable_size;
use crate::kv::KvEffects;
use crate::run::{AttemptRecord, Outcome};

use super::bindings::exports::hookbay::plugin::handler as wit;
use super::imports::{Emitted, Passed};
use super::journal::Divergence;
use super::limits::{CALL_BYTES_MAX, DATA_MAX, Exceeded, HANDLES_MAX, SUMMARY_MAX};
use super::log::Log;
use super::secrets::Secrets;

/// How one attempt went.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    /// How long the plugin asked to wait.
    pub after: Option<Duration>,
    /// One line, of a success.
    pub summary: Option<String>,
    /// JSON text, of a success.
    pub data: Option<String>,
    /// What it cost and logged.
    pub record: AttemptRecord,
    /// What it read and wrote, of a success.
    pub effects: KvEffects,
    /// The events that follow from it, of a success.
    pub emitted: Vec<Emitted>,
    /// Where it left the recording that it was executed from, if it was and did.
    pub divergence: Option<Divergence>,
}

impl Report {
    /// The report of a run that no attempt can ever carry out.
    pub fn permanent(message: String, now: Timestamp) -> Self {
        Self::of_ours(
            Exceeded {
                outcome: Outcome::Permanent,
                message,
            },
            now,
        )
    }

    /// The report of an attempt that the host itself could not carry out.
    pub(super) fn of_ours(failure: Exceeded, started_at: Timestamp) -> Self {
        let record = AttemptRecord {
            started_at,
            duration_us: 0,
            cpu_us: 0,
            memory_bytes: 0,
            egress_bytes: 0,
            calls_us: 0,
            logs: Vec::new(),
            journal: None,
        };
        report(Err(failure), record, Passed::default())
    }

    /// Takes the plugin's secrets out of every text.
    pub(super) fn scrub(&mut self, secrets: &Secrets) {
        let texts = [
            &mut self.error,
            &mut self.summary,
            &mut self.data,
            &mut self.record.journal,
        ];
        let lines = self.record.logs.iter_mut();
        let texts = texts.into_iter().flatten();
        for text in texts.chain(lines.map(|line| &mut line.message)) {
            if let Cow::Owned(clean) = secrets.scrub_text(text) {
                *text = clean;
            }
        }
    }
}

/// Says what a failed call means.
pub(super) fn classify(
    error: &wasmtime::Error,
    memory_refusal: Option<String>,
    log: &Log,
) -> Exceeded {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return exceeded.clone();
    }
    if let Some(exceeded) = of_wasmtime(error) {
        return exceeded;
    }
    if let Some(message) = memory_refusal {
        return Exceeded {
            outcome: Outcome::Memory,
            message,
        };
    }
    let cause = if let Some(exit) = error.downcast_ref::<I32Exit>() {
        format!("the guest exited with status {}", exit.0)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trap.to_string()
    } else {
        error.root_cause().to_string()
    };
    // A panic says why on stderr, right before it traps.
    let message = match log.last_words() {
        Some(words) => format!("{words} ({cause})"),
        None => cause,
    };
    Exceeded {
        outcome: Outcome::Trap,
        message,
    }
}

/// The bounds that wasmtime keeps for us, told apart by what it says of them: most of
/// these errors have no type of their own.
fn of_wasmtime(error: &wasmtime::Error) -> Option<Exceeded> {
    let said = error.root_cause().to_string();
    if said.contains("fuel allocated for hostcalls has been exhausted") {
        return Some(Exceeded {
            outcome: Outcome::Output,
            message: format!(
                "more than {} in one call or answer",
                readable_size(CALL_BYTES_MAX as u64)
            ),
        });
    }
    let is_table_full = matches!(
        error.downcast_ref::<ResourceTableError>(),
        Some(ResourceTableError::Full)
    );
    if is_table_full || said.contains("store handle limit exceeded") {
        let what = "resources open at once";
        return Some(Exceeded::calls(what, HANDLES_MAX));
    }
    None
}

/// What the guest answers.
type Answer = Result<wit::Success, wit::Failure>;

/// Refuses a success that is longer than it may be.
pub(super) fn checked(answer: Answer) -> Result<Answer, Exceeded> {
    if let Ok(success) = &answer {
        if success.summary.len() > SUMMARY_MAX {
            return Err(Exceeded::output("the summary, in bytes,", SUMMARY_MAX));
        }
        if let Some(data) = &success.data {
            if data.len() > DATA_MAX {
                return Err(Exceeded::output("the data, in bytes,", DATA_MAX));
            }
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(data) {
                let message = format!("the data of the success is not JSON: {error}");
                return Err(Exceeded {
                    outcome: Outcome::Output,
                    message,
                });
            }
        }
    }
    Ok(answer)
}

/// Puts together what an attempt came to.
pub(super) fn report(
    answer: Result<Answer, Exceeded>,
    record: AttemptRecord,
    passed: Passed,
) -> Report {
    let mut report = Report {
        outcome: Outcome::Succeeded,
        error: None,
        after: None,
        summary: None,
        data: None,
        record,
        effects: KvEffects::default(),
        emitted: Vec::new(),
        divergence: passed.divergence,
    };
    let cut = |mut reason: String| {
        reason.truncate(reason.floor_char_boundary(SUMMARY_MAX));
        Some(reason)
    };
    match answer {
        Ok(Ok(success)) => {
            report.summary = Some(success.summary);
            report.data = success.data;
            report.effects = passed.effects;
            report.emitted = passed.emitted;
        }
        Ok(Err(wit::Failure::Retry(retry))) => {
            report.outcome = Outcome::Retry;
            report.error = cut(retry.reason);
            report.after = retry.after_ms.map(Duration::from_millis);
        }
        Ok(Err(wit::Failure::Permanent(permanent))) => {
            report.outcome = Outcome::Permanent;
            report.error = cut(permanent.reason);
        }
        Err(exceeded) => {
            report.outcome = exceeded.outcome;
            report.error = cut(exceeded.message);
        }
    }
    report
}
