//! A run: one event for one plugin; and an attempt: one try of it.
//!
//! ```text
//!            claim                     succeeded
//!   ready ───────────▶ running ─────────────────────▶ succeeded
//!     ▲                  │ │ retry, trap, cpu, …  (due later: shown as `waiting`)
//!     └──────────────────┘ │
//!     ▲   host_lost, conflict: due at once, no attempt used up
//!     │                    │ attempts used up, or permanent
//!     └──── retry ───── dead ◀
//! ```
//!
//! Stored are only `ready`, `running` and, behind its ordering key, `blocked`;
//! `waiting` is a `ready` run whose time has not come, and one whose plugin cannot
//! take it now is shown as `blocked` too.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::EventId;

/// Names a run; grows in the order in which runs were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

impl RunId {
    /// No run's, and less than each of them.
    pub const BEFORE_ALL: Self = Self(i64::MIN);
}

/// Names a plugin in the store, for as long as the store exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId(pub i64);

/// What the runs of a plugin have in common that go one at a time, in the order in
/// which their events were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey([u8; 16]);

/// A run that is to be stored with its event, or for a stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// The plugin.
    pub plugin: PluginId,
    /// Behind which others of the plugin it waits; none waits for nobody.
    pub order: Option<OrderKey>,
}

/// Names one start of one host: random, so that a restart never looks alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub i64);

/// The token without which nobody can finish a claimed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The run.
    pub run: RunId,
    /// The host that claimed it.
    pub owner: Epoch,
    /// Which of the owner's claims it was.
    pub lease_no: i64,
}

/// How a run stands, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// Due, not yet claimed.
    Ready,
    /// Claimed by a host.
    Running,
    /// Due later.
    Waiting,
    /// Its plugin cannot take it now.
    Blocked,
    /// Finished well.
    Succeeded,
    /// Attempts used up, or failed for good.
    Dead,
    /// Ended by an operator.
    Cancelled,
}

/// How an attempt ended; the text is also its error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The plugin returned success, and its writes were committed.
    Succeeded,
    /// The plugin asked for another attempt.
    Retry,
    /// The plugin said that no attempt will ever succeed.
    Permanent,
    /// The guest trapped, panicked or exited.
    Trap,
    /// CPU time used up.
    Cpu,
    /// Wall time used up.
    Wall,
    /// A growth of memory was refused, and the guest then failed.
    Memory,
    /// Summary, data, log, stdout or a stored value over its cap.
    Output,
    /// Host calls or handles over their number.
    Calls,
    /// The host died while it held the run.
    HostLost,
    /// The host died too often while this run's guest executed.
    KilledHost,
    /// Another run wrote what this one had read.
    Conflict,
    /// Ended by an operator.
    Cancelled,
    /// Older than an event may wait.
    Expired,
}

/// What went wrong, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunError {
    /// The outcome's text.
    pub code: &'static str,
    /// What happened, in a sentence.
    pub message: String,
}

/// One line that an attempt logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// `debug`, `info`, `warn` or `error`.
    pub level: LogLevel,
    /// The line.
    pub message: String,
    /// What belongs to it.
    pub fields: Vec<(String, String)>,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// What happened.
    Info,
    /// Worth a look.
    Warn,
    /// Went wrong.
    Error,
}

/// What one attempt cost and left behind, whatever its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// When the guest was started.
    pub started_at: Timestamp,
    /// From start to end, in microseconds.
    pub duration_us: i64,
    /// CPU time of the guest, in microseconds.
    pub cpu_us: i64,
    /// Largest sum of its memories and tables.
    pub memory_bytes: i64,
    /// Bytes that it sent and received.
    pub egress_bytes: i64,
    /// Time in calls of the host, in microseconds.
    pub calls_us: i64,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// Its recorded host calls as JSON text, if they are kept.
    pub journal: Option<String>,
}

/// The one event for one plugin that a host has claimed and may execute.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What finishing it takes.
    pub fence: Fence,
    /// The plugin.
    pub plugin: PluginId,
    /// The event.
    pub event: EventId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Attempts so far that the retry policy does not count.
    pub free_attempts: u32,
    /// Its ordering key.
    pub order: Option<OrderKey>,
    /// Hosts in a row that died while they held it.
    pub deaths: u32,
    /// When the run was stored.
    pub created_at: Timestamp,
}

impl OrderKey {
    /// The key of the value that an ordering key points at, however long it is.
    pub fn of(value: &str) -> Self {
        let full = Sha256::digest(value.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&full[..16]);
        Self(key)
    }

    /// The key from the sixteen bytes the store keeps.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The sixteen bytes the store keeps.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl NewRun {
    /// A run that waits for no other.
    pub const fn unordered(plugin: PluginId) -> Self {
        Self {
            plugin,
            order: None,
        }
    }
}

/// Hosts in a row that a run may have taken down while its guest executed; then it is
/// dead (`killed_host`).
pub const DEATHS_MAX: u32 = 3;

impl RunState {
    /// Whether a run in it is still to be executed, or is.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Ready | Self::Running | Self::Waiting | Self::Blocked => true,
            Self::Succeeded | Self::Dead | Self::Cancelled => false,
        }
    }

    /// The word for it, in the store, the API and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state a word stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ready" => Self::Ready,
            "running" => Self::Running,
            "waiting" => Self::Waiting,
            "blocked" => Self::Blocked,
            "succeeded" => Self::Succeeded,
            "dead" => Self::Dead,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

impl Serialize for RunState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Outcome {
    /// The word for it, in the store, the API and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retry => "retry",
            Self::Permanent => "permanent",
            Self::Trap => "trap",
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Calls => "calls",
            Self::HostLost => "host_lost",
            Self::KilledHost => "killed_host",
            Self::Conflict => "conflict",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The outcome a word stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "succeeded" => Self::Succeeded,
            "retry" => Self::Retry,
            "permanent" => Self::Permanent,
            "trap" => Self::Trap,
            "cpu" => Self::Cpu,
            "wall" => Self::Wall,
            "memory" => Self::Memory,
            "output" => Self::Output,
            "calls" => Self::Calls,
            "host_lost" => Self::HostLost,
            "killed_host" => Self::KilledHost,
            "conflict" => Self::Conflict,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            _ => return None,
        })
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl LogLevel {
    /// The word for it, in the store, the API and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The level a word stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => return None,
        })
    }
}

impl Serialize for LogLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl RunError {
    /// The error of an attempt that ended with `outcome`.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            code: outcome.as_str(),
            message: message.into(),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for RunId {
    /// A string: ids are opaque to users of the API.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::OrderKey;

    #[test]
    fn order_keys_are_equal_with_their_values() {
        let key = OrderKey::of("order-1");
        assert_eq!(key, OrderKey::of("order-1"));
        assert_ne!(key, OrderKey::of("order-2"));
        assert_ne!(key, OrderKey::of(""));
        // The first half of the value's SHA-256, so that every host has the same.
        assert_eq!(
            hex::encode(OrderKey::of("abc").as_bytes()),
            "ba7816bf8f01cfea414140de5dae2223"
        );
        assert_eq!(OrderKey::from_bytes(key.as_bytes()), Some(key));
        assert_eq!(OrderKey::from_bytes(&[0; 15]), None);
    }
}
