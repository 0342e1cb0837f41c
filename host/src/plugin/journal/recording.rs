//! Plays a journal back: gives each call the answer it had, and finds the first call
//! that was not made then.

use std::fmt;

use crate::plugin::imports::call::{Call, Reply};

use super::Journal;

/// Longest text of a call or an answer in a difference, in bytes.
const SHOWN_MAX: usize = 2000;

/// A journal while it is played.
pub(in crate::plugin) struct Recording {
    journal: Journal,
    /// Calls that have begun.
    n_begun: usize,
    n_wall: usize,
    n_monotonic: usize,
    divergence: Option<Divergence>,
}

/// Where an attempt first did something else than its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Which call, from 1; none if it is the end that differs.
    pub call: Option<usize>,
    /// What the recording has.
    pub recorded: String,
    /// What happened now.
    pub now: String,
}

/// Ends an attempt that has left its recording.
#[derive(Debug, thiserror::Error)]
#[error("the attempt differs from its recording")]
pub(in crate::plugin) struct Diverged;

impl Recording {
    pub(in crate::plugin) fn new(journal: Journal) -> Self {
        Self {
            journal,
            n_begun: 0,
            n_wall: 0,
            n_monotonic: 0,
            divergence: None,
        }
    }

    /// Goes on to the next call, if it is the one that was made then.
    pub(in crate::plugin) fn begin(&mut self, call: &Call) -> Result<(), Diverged> {
        let entry = self.journal.calls.get(self.n_begun);
        self.n_begun += 1;
        match entry {
            Some(entry) if entry.call == *call => Ok(()),
            other => {
                let recorded = match other {
                    Some(entry) => shown(&entry.call),
                    None => "no further call".to_owned(),
                };
                Err(self.diverged(recorded, shown(call)))
            }
        }
    }

    /// Compares what the call answers now with what it answered then.
    pub(in crate::plugin) fn end(&mut self, reply: &Reply) -> Result<(), Diverged> {
        let recorded = self.entry().and_then(|entry| entry.response.as_ref());
        if recorded == Some(reply) {
            return Ok(());
        }
        let recorded = match recorded {
            Some(recorded) => format!("the answer {}", shown(recorded)),
            None => "no answer".to_owned(),
        };
        Err(self.diverged(recorded, format!("the answer {}", shown(reply))))
    }

    /// What the call that has begun was answered from outside.
    pub(in crate::plugin) fn answer(&self) -> Option<&Reply> {
        let entry = self.entry()?;
        entry.committed.as_ref().or(entry.response.as_ref())
    }

    /// The next look at the wall clock; none if there was none.
    pub(in crate::plugin) fn wall_ns(&mut self) -> Option<u64> {
        let reading = self.journal.wall_ns.get(self.n_wall).copied();
        self.n_wall += 1;
        if reading.is_none() {
            self.diverged(
                format!("{} looks at the wall clock", self.journal.wall_ns.len()),
                "one more".to_owned(),
            );
        }
        reading
    }

    /// The next look at the monotonic clock; none if there was none.
    pub(in crate::plugin) fn monotonic_ns(&mut self) -> Option<u64> {
        let reading = self.journal.monotonic_ns.get(self.n_monotonic).copied();
        self.n_monotonic += 1;
        if reading.is_none() {
            let looks = self.journal.monotonic_ns.len();
            self.diverged(
                format!("{looks} looks at the monotonic clock"),
                "one more".to_owned(),
            );
        }
        reading
    }

    pub(in crate::plugin) fn depth(&self) -> u32 {
        self.journal.depth
    }

    /// The first difference; calls and looks at a clock that were not made again are one.
    pub(in crate::plugin) fn into_divergence(self) -> Option<Divergence> {
        if self.divergence.is_some() {
            return self.divergence;
        }
        if let Some(entry) = self.journal.calls.get(self.n_begun) {
            return Some(Divergence {
                call: Some(self.n_begun + 1),
                recorded: shown(&entry.call),
                now: "the end of the attempt".to_owned(),
            });
        }
        let looks = [
            ("wall", self.journal.wall_ns.len(), self.n_wall),
            (
                "monotonic",
                self.journal.monotonic_ns.len(),
                self.n_monotonic,
            ),
        ];
        let missing = looks.iter().find(|(_, recorded, now)| recorded > now);
        missing.map(|(clock, recorded, now)| Divergence {
            call: None,
            recorded: format!("{recorded} looks at the {clock} clock"),
            now: format!("{now}"),
        })
    }

    fn entry(&self) -> Option<&super::Entry> {
        self.journal.calls.get(self.n_begun.checked_sub(1)?)
    }

    fn diverged(&mut self, recorded: String, now: String) -> Diverged {
        let call = Some(self.n_begun.max(1));
        self.divergence.get_or_insert(Divergence {
            call,
            recorded,
            now,
        });
        Diverged
    }
}

fn shown(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    if text.len() > SHOWN_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_MAX));
        text.push('…');
    }
    text
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Some(call) => writeln!(f, "first difference at call {call}:")?,
            None => writeln!(f, "the calls are the same, the end differs:")?,
        }
        writeln!(f, "  recorded: {}", self.recorded)?;
        write!(f, "  now:      {}", self.now)
    }
}
