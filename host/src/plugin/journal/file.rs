//! A journal as a file of its own: the recording with the event that it was for and how
//! the attempt ended, so that it can be executed again anywhere.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, Headers};
use crate::name::SourceName;
use crate::plugin::Report;
use crate::plugin::imports::call::Blob;
use crate::run::{LogLevel, Outcome};

use super::{Divergence, Journal, JournalError};

/// What `GET runs/{id}/attempts/{n}/journal` answers and `plugin run --journal` reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct JournalFile {
    /// Which version of the plugin ran: sha256 in hex.
    pub digest: Option<String>,
    /// The event, as the guest saw it.
    pub event: RecordedEvent,
    /// How the attempt ended.
    pub ended: RecordedEnd,
    /// The recording.
    pub journal: Box<serde_json::value::RawValue>,
}

/// An event in a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordedEvent {
    id: String,
    source: String,
    provider: String,
    kind: String,
    delivery_id: Option<String>,
    received_ms: i64,
    content_type: Option<String>,
    headers: Vec<(String, Blob)>,
    body: Blob,
}

/// The end of an attempt in a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordedEnd {
    /// Its outcome.
    pub outcome: String,
    /// What went wrong.
    pub error: Option<String>,
    /// One line, of a success.
    pub summary: Option<String>,
    /// JSON, of a success.
    pub data: Option<serde_json::Value>,
    /// What it logged, without the times.
    pub logs: Vec<RecordedLine>,
}

/// A log line in a file: level, message, fields.
pub type RecordedLine = (LogLevel, String, Vec<(String, String)>);

impl JournalFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`JournalError`] if it cannot be executed again.
    pub fn read(bytes: &[u8]) -> Result<(Self, Event, Journal), JournalError> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|error| JournalError::Unreadable(error.to_string()))?;
        let journal = Journal::read(file.journal.get())?;
        // How far such a guest came depended on the machine's time, not on its calls.
        let timed = [
            Outcome::Cpu,
            Outcome::Wall,
            Outcome::HostLost,
            Outcome::KilledHost,
            Outcome::Cancelled,
        ];
        if timed
            .iter()
            .any(|outcome| outcome.as_str() == file.ended.outcome)
        {
            return Err(JournalError::Timed(file.ended.outcome));
        }
        let event = file.event.read()?;
        Ok((file, event, journal))
    }

    /// The first difference between the recorded attempt and its repetition.
    pub fn difference(&self, again: &Report) -> Option<Divergence> {
        if let Some(divergence) = &again.divergence {
            return Some(divergence.clone());
        }
        let differs = |what: &str, recorded: String, now: String| {
            (recorded != now).then(|| Divergence {
                call: None,
                recorded: format!("{what} {recorded}"),
                now: format!("{what} {now}"),
            })
        };
        let text = |text: &Option<String>| format!("{text:?}");
        let data = again.data.as_deref().map(serde_json::from_str);
        let data: Option<serde_json::Value> = data.and_then(Result::ok);
        let logs = again.record.logs.iter();
        let mut logs = logs.map(|line| (line.level, &line.message, &line.fields));
        let ended = &self.ended;
        // Somebody else's write, say: then the guest's own end is known, and no more of it.
        let is_overruled = self.succeeded() && ended.outcome != Outcome::Succeeded.as_str();
        let outcome = if is_overruled {
            Outcome::Succeeded.as_str()
        } else {
            ended.outcome.as_str()
        };
        let error = ended.error.as_ref().filter(|_| !is_overruled);
        let mut recorded = ended
            .logs
            .iter()
            .map(|(level, message, fields)| (*level, message, fields));
        let line = loop {
            match (recorded.next(), logs.next()) {
                (None, None) => break None,
                (before, now) if before == now => {}
                (before, now) => {
                    break differs("log line", format!("{before:?}"), format!("{now:?}"));
                }
            }
        };
        let summary = || differs("summary", text(&ended.summary), text(&again.summary));
        let data = || differs("data", format!("{:?}", ended.data), format!("{data:?}"));
        differs(
            "outcome",
            outcome.to_owned(),
            again.outcome.as_str().to_owned(),
        )
        .or_else(|| differs("error", format!("{error:?}"), text(&again.error)))
        .or_else(|| summary().or_else(data).filter(|_| !is_overruled))
        .or(line)
    }

    /// Whether the guest itself succeeded, as the recording has it.
    fn succeeded(&self) -> bool {
        #[derive(Deserialize)]
        struct End {
            #[serde(default)]
            is_success: bool,
        }
        serde_json::from_str(self.journal.get()).is_ok_and(|end: End| end.is_success)
    }
}

impl From<&Event> for RecordedEvent {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id.to_string(),
            source: event.source.to_string(),
            provider: event.provider.clone(),
            kind: event.kind.clone(),
            delivery_id: event.delivery_id.clone(),
            received_ms: event.received_at.millis(),
            content_type: event.content_type.clone(),
            headers: event
                .headers
                .visible()
                .map(|(name, value)| (name.to_owned(), Blob(value.to_vec())))
                .collect(),
            body: Blob(event.body.to_vec()),
        }
    }
}

impl RecordedEvent {
    fn read(&self) -> Result<Event, JournalError> {
        let problem = |what: &str| JournalError::Unreadable(format!("event.{what} is no {what}"));
        Ok(Event {
            id: self.id.parse().map_err(|_| problem("id"))?,
            source: SourceName::of_events(&self.source).map_err(|_| problem("source"))?,
            provider: self.provider.clone(),
            kind: self.kind.clone(),
            delivery_id: self.delivery_id.clone(),
            received_at: Timestamp::from_millis(self.received_ms),
            content_type: self.content_type.clone(),
            headers: Headers::new(
                self.headers
                    .iter()
                    .map(|(name, value)| (name.clone(), value.0.clone()))
                    .collect(),
            ),
            body: self.body.0.clone().into(),
            is_handshake: false,
        })
    }
}
