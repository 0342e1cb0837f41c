//! `[retention]`: how long what was stored is kept.

use std::time::Duration;

use super::reader::Table;

/// The shortest that anything is kept: somebody must have had time to look at it.
pub(super) const SHORTEST_KEPT: Duration = Duration::from_hours(1);
/// The longest.
pub(super) const LONGEST_KEPT: Duration = Duration::from_hours(3650 * 24);

const DAY: Duration = Duration::from_hours(24);

/// How long what was stored is kept; each time 1 hour to 3650 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events, of sources that set no retention of their own; never one with a
    /// run that is not finished.
    pub events: Duration,
    /// Finished runs and their attempts.
    pub history: Duration,
    /// Requests that were refused and set aside.
    pub quarantine: Duration,
    /// What operators changed.
    pub audit: Duration,
    /// How many bytes of these are kept, before more are not; 1 MiB to 1 TiB.
    pub quarantine_max_bytes: u64,
    /// How large the store may be, in bytes, before what is oldest goes earlier;
    /// 1 MiB to 1024 TiB.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 30 * DAY,
            history: 30 * DAY,
            quarantine: 7 * DAY,
            audit: 365 * DAY,
            quarantine_max_bytes: 1 << 30,
            max_bytes: 50 << 30,
        }
    }
}

impl Retention {
    /// What refused requests may take: never so much that events had to go for them.
    pub fn quarantine_bytes(&self) -> u64 {
        self.quarantine_max_bytes.min(self.max_bytes / 10)
    }
}

/// Reads `[retention]`.
pub(super) fn read(table: Option<Table<'_>>) -> Retention {
    let default = Retention::default();
    let Some(mut table) = table else {
        return default;
    };
    let bounds = || SHORTEST_KEPT..=LONGEST_KEPT;
    let retention = Retention {
        events: table.duration("events", bounds()).unwrap_or(default.events),
        history: table
            .duration("history", bounds())
            .unwrap_or(default.history),
        quarantine: table
            .duration("quarantine", bounds())
            .unwrap_or(default.quarantine),
        audit: table.duration("audit", bounds()).unwrap_or(default.audit),
        quarantine_max_bytes: table
            .size("quarantine_max_bytes", 1 << 20..=1 << 40)
            .unwrap_or(default.quarantine_max_bytes),
        max_bytes: table
            .size("max_bytes", 1 << 20..=1 << 50)
            .unwrap_or(default.max_bytes),
    };
    table.finish();
    retention
}
