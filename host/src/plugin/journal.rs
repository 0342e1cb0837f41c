//! The journal of one attempt: every host call with its answer and its time, in an
//! order in which the attempt can be executed again with nothing but this.
//!
//! Recording and playing are here; what is recorded is decided at the choke point
//! (`imports`), how long it is kept by the operator.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::RunContext;
use super::imports::call::{Call, Reply};
use super::limits::{JOURNAL_BYTES_MAX, JOURNAL_TEXT_MAX};

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
    /// Whether the guest succeeded. What the store finds when it commits that is not the
    /// guest's doing, nor in its calls.
    #[serde(default)]
    is_success: bool,
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
                is_success: false,
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
            entry.duration_ms = Some(to_us(ended_ms - entry.started_ms));
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

    /// The journal, when the guest has ended.
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

    /// Its JSON text. Escapes can make it six times as long as what it is of: one that is
    /// too long to keep is incomplete, and holds no calls.
    pub fn text(&self) -> String {
        let mut text = Bounded(Vec::new());
        if serde_json::to_writer(&mut text, self).is_ok() {
            return String::from_utf8(text.0).unwrap_or_default();
        }
        let emptied = Self {
            run: self.run.clone(),
            calls: Vec::new(),
            wall_ns: Vec::new(),
            monotonic_ns: Vec::new(),
            incomplete: Some(format!(
                "as JSON it is more than the {JOURNAL_TEXT_MAX} bytes that are kept of a journal"
            )),
            ..*self
        };
        serde_json::to_string(&emptied).unwrap_or_default()
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

    /// The same of an attempt whose guest has succeeded, or not.
    pub(super) fn ended(mut self, is_success: bool) -> Self {
        self.is_success = is_success;
        self
    }
}

/// What is written to it, up to a journal's length.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > JOURNAL_TEXT_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
    to_us(duration.as_secs_f64() * 1e3)
}

/// The same of what is in milliseconds already.
fn to_us(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Call, Journal, JournalError, Recorder, Reply, RunContext, Seed};
    use crate::plugin::imports::call::Blob;

    /// The journal of an attempt that wrote so many bytes of this value.
    fn journal(byte: u8, bytes: usize) -> Journal {
        let run = RunContext {
            id: "1".to_owned(),
            attempt: 1,
            max_attempts: 1,
            plugin: "p".to_owned(),
        };
        let mut recorder = Recorder::new(run, Seed([7; 32]), 0, 1 << 20, Instant::now());
        for _ in 0..bytes >> 20 {
            recorder.begin(&Call::KvSet {
                key: "k".to_owned(),
                value: Blob(vec![byte; 1 << 20]),
            });
            recorder.end(&Reply::Done);
        }
        recorder.into_journal()
    }

    #[test]
    fn what_is_kept_has_a_bound_however_it_is_written() {
        let whole = Journal::read(&journal(b'x', 15 << 20).text());
        assert_eq!(whole.map(|whole| whole.n_calls()), Ok(15));
        for (cut, n_calls, why) in [
            // More than is recorded at all.
            (journal(b'x', 17 << 20), 15, "a journal keeps"),
            // Six bytes of JSON for each.
            (journal(0, 15 << 20), 0, "as JSON it is more"),
        ] {
            let text = cut.text();
            assert!(text.len() < 33 << 20, "{}", text.len());
            let Err(JournalError::Incomplete(said)) = Journal::read(&text) else {
                panic!("what is not all there is read: {why}");
            };
            assert!(said.contains(why), "{said}");
            let kept: Journal = serde_json::from_str(&text).unwrap();
            assert_eq!(kept.n_calls(), n_calls);
        }
    }
}
