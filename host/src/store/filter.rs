//! Which events are meant: by source, kind and time.

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::trigger::KindPattern;

use super::bounds::Bounds;
use super::events::EventRow;

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Of a kind that fits.
    pub kind: Option<KindPattern>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Older than this event: where the page before ended.
    pub before: Option<EventId>,
    /// At most so many.
    pub limit: u32,
}

impl EventFilter {
    /// From when to when, and behind what.
    pub(super) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::ALL;
        if let Some(since) = self.since {
            bounds = bounds.from(EventId::lower_bound(since));
        }
        if let Some(until) = self.until {
            bounds = bounds.below(EventId::lower_bound(until));
        }
        if let Some(before) = self.before {
            bounds = bounds.below(before);
        }
        bounds
    }

    /// Whether an event fits, but for where the page before ended.
    pub fn takes(&self, row: &EventRow) -> bool {
        let (since, until) = (self.since, self.until);
        self.is_of(&row.source, &row.kind)
            && since.is_none_or(|since| row.id >= EventId::lower_bound(since))
            && until.is_none_or(|until| row.id < EventId::lower_bound(until))
    }

    /// Whether events of a source and kind may fit.
    pub(super) fn is_of(&self, source: &str, kind: &str) -> bool {
        let is_source = self.source.as_ref().is_none_or(|wanted| wanted == source);
        is_source && self.kind.as_ref().is_none_or(|wanted| wanted.matches(kind))
    }
}
