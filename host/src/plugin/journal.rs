//! The journal of one attempt: every host call with its answer and its time, in an
//! order in which the attempt can be executed again with nothing but this.
//!
//! Recording and playing are here; what is recorded is decided at the choke point
//! (`imports`), how long it is kept by the operator.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::RunContext;
use super::imports::call::{Call, Reply};
use super::limits::JOURNAL_BYTES_MAX;

mod file;
mod recording;

pub use file::{JournalFile, RecordedEnd, RecordedEvent, RecordedLine};
pub use recording::Divergence;
pub(super) use recording::{Diverged, Recording};

/// Which form of journal this host writes and reads.
const FORMAT: u32 = 1;

/// The recorded host calls of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    format: u32,
    /// Which attempt it is of.
    run: RunContext,
    /// What the guest's randomness grew from.
    seed: Seed,
    /// How many events led to the run's.
    depth: u32,
    /// How much memory the guest might have: what a growth answers hangs on it.
    memory_limit_bytes: u64,
    calls: Vec<Entry>,
    /// What the clocks said, in order, in nanoseconds.
    wall_ns: Vec<u64>,
    monotonic_ns: Vec<u64>,
    /// Why it is not all there, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incomplete: Option<String>,
}

/// One call: `{call, request, response, started_ms, duration_ms}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    call: Call,
    /// None: the attempt ended first.
    response: Option<Reply>,
    /// What the store had, where the attempt's own writes made something else of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed: Option<Reply>,
    /// Since the attempt began.
    started_ms: f64,
    duration_ms: Option<f64>,
}

/// What a guest's randomness grows from: 32 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(pub(super) [u8; 32]);

/// Why a journal cannot be executed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It is no journal, or one of another form.
    #[error("it is not a journal that this version can read: {0}")]
    Unreadable(String),
    /// Not everything was recorded.
    #[error("the journal is incomplete: {0}")]
    Incomplete(String),
    /// It ended because of time that passed or a host that went.
    #[error("the attempt ended with `{0}`, which its calls do not explain: it cannot be repeated")]
    Timed(String),
}

/// Writes the journal of an attempt while it runs.
pub(super) struct Recorder {
    journal: Journal,
    begun: Instant,
    weight: usize,
}

impl Recorder {
    pub(super) fn new(
        run: RunContext,
        seed: Seed,
        depth: u32,
        memory_limit_bytes: u64,
        begun: Instant,
    ) -> Self {
        Self {
            journal: Journal {
                format: FORMAT,
                run,
                seed,
                depth,
                memory_limit_bytes,
                calls: Vec::new(),
                wall_ns: Vec::new(),
                monotonic_ns: Vec::new(),
                incomplete: None,
            },
            begun,
            weight: 0,
        }
    }

    /// Notes a call that begins.
    pub(super) fn begin(&mut self, call: &Call) {
        self.weigh(call.weight());
        if self.journal.incomplete.is_some() {
            return;
        }
        self.journal.calls.push(Entry {
            call: call.clone(),
            response: None,
            committed: None,
            started_ms: as_ms(self.begun.elapsed()),
            duration_ms: None,
        });
    }

    /// Notes what the store had under what was asked.
    pub(super) fn committed(&mut self, reply: Reply) {
        self.weigh(reply.weight());
        if let Some(entry) = self.open() {
            entry.committed = Some(reply);
        }
    }

    /// Notes what the call answered.
    pub(super) fn end(&mut self, reply: &Reply) {
        self.weigh(reply.weight());
        let ended_ms = as_ms(self.begun.elapsed());
        if let Some(entry) = self.open() {
            entry.duration_ms = Some(ended_ms - entry.started_ms);
            if entry.committed.as_ref() == Some(reply) {
                entry.committed = None;
            }
            entry.response = Some(reply.clone());
        }
    }

    pub(super) fn wall_ns(&mut self, reading: u64) {
        self.journal.wall_ns.push(reading);
    }

    pub(super) fn monotonic_ns(&mut self, reading: u64) {
        self.journal.monotonic_ns.push(reading);
    }

    pub(super) fn into_journal(self) -> Journal {
        self.journal
    }

    /// The call that is under way, as long as everything is recorded.
    fn open(&mut self) -> Option<&mut Entry> {
        if self.journal.incomplete.is_some() {
            return None;
        }
        self.journal.calls.last_mut()
    }

    fn weigh(&mut self, bytes: usize) {
        const ENTRY: usize = 64;
        self.weight = self.weight.saturating_add(bytes + ENTRY);
        if self.weight > JOURNAL_BYTES_MAX && self.journal.incomplete.is_none() {
            self.journal.incomplete = Some(format!(
                "the attempt's calls are more than the {JOURNAL_BYTES_MAX} bytes that a journal keeps"
            ));
        }
    }
}

impl Journal {
    /// Reads a journal from its JSON text.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be executed again.
    pub fn read(text: &str) -> Result<Self, JournalError> {
        let journal: Self = serde_json::from_str(text)
            .map_err(|error| JournalError::Unreadable(error.to_string()))?;
        if journal.format != FORMAT {
            let problem = format!("it has form {}, known is {FORMAT}", journal.format);
            return Err(JournalError::Unreadable(problem));
        }
        match &journal.incomplete {
            None => Ok(journal),
            Some(why) => Err(JournalError::Incomplete(why.clone())),
        }
    }

    /// Its JSON text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// How many calls it holds.
    pub fn n_calls(&self) -> usize {
        self.calls.len()
    }

    /// Which attempt it is of.
    pub fn run(&self) -> &RunContext {
        &self.run
    }

    /// How much memory the guest might have.
    pub fn memory_limit_bytes(&self) -> u64 {
        self.memory_limit_bytes
    }

    pub(super) fn seed(&self) -> Seed {
        self.seed
    }
}

impl Serialize for Seed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut seed).map_err(serde::de::Error::custom)?;
        Ok(Self(seed))
    }
}

/// Milliseconds to the microsecond.
fn as_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
