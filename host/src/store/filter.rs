//! Which events are meant: by source, kind and time.

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::trigger::KindPattern;

use super::events::EventRow;
use super::sql::Builder;

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
    /// Adds from when to when, and behind what.
    pub(super) fn bounds(&self, query: &mut Builder) {
        if let Some(since) = self.since {
            let since = EventId::lower_bound(since).as_bytes().to_vec();
            query.push(" and id >= ").bind(since);
        }
        if let Some(until) = self.until {
            let until = EventId::lower_bound(until).as_bytes().to_vec();
            query.push(" and id < ").bind(until);
        }
        if let Some(before) = self.before {
            query.push(" and id < ").bind(before.as_bytes().to_vec());
        }
    }

    /// Whether events of a source and kind may fit.
    pub fn takes_stream(&self, (source, kind): &(String, String)) -> bool {
        self.is_of(source, kind)
    }

    /// Whether an event fits, but for where the page before ended.
    pub fn takes(&self, row: &EventRow) -> bool {
        let (since, until) = (self.since, self.until);
        self.is_of(&row.source, &row.kind)
            && since.is_none_or(|since| row.id >= EventId::lower_bound(since))
            && until.is_none_or(|until| row.id < EventId::lower_bound(until))
    }

    fn is_of(&self, source: &str, kind: &str) -> bool {
        let is_source = self.source.as_ref().is_none_or(|wanted| wanted == source);
        is_source && self.kind.as_ref().is_none_or(|wanted| wanted.matches(kind))
    }
}
