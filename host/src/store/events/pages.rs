//! Pages of the events that fit a filter, newest first or oldest first. What a page costs
//! depends on its length alone: not on how many events there are, nor on how many kinds,
//! which senders choose.
//!
//! By time and source through an index; by kind through the streams that fit, as long as
//! these are few. Among too many, events are looked at one by one, a bounded number for a
//! page: then it may hold fewer than it could, and says how far it went.

use crate::event::EventId;
use crate::store::bounds::{Bounds, order};
use crate::store::filter::EventFilter;
use crate::store::sql::{Builder, Dialect, Row};
use crate::store::{Store, StoreError};

use super::streams::Stream;
use super::{COLUMNS, EventRow};

/// Streams that one statement looks into. On SQLite, what it has found bounds the next one.
const TOGETHER: usize = 16;
/// Events that are read at once where they are looked at one by one.
const AT_ONCE: u32 = 1000;
/// Events that are looked at one by one for a page, about.
const LOOKS: usize = 10_000;

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events that fit, in their order.
    pub events: Vec<EventRow>,
    /// The last one that was looked at; it may be gone since, and need not fit.
    pub looked_to: Option<EventId>,
    /// Whether there are no more now.
    pub is_end: bool,
}

/// What a page is made of.
struct Span<'f> {
    filter: &'f EventFilter,
    /// Oldest first, behind one and up to another; newest first without it.
    rising: Option<(Option<EventId>, EventId)>,
    limit: u32,
}

/// The same, only ids.
struct Ids {
    ids: Vec<EventId>,
    looked_to: Option<EventId>,
    is_end: bool,
}

impl Store {
    /// One page of events, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        let span = Span {
            filter,
            rising: None,
            limit: filter.limit,
        };
        self.page(&span).await
    }

    /// The next events that fit a filter, oldest first, behind one and up to another.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_between(
        &self,
        filter: &EventFilter,
        after: Option<EventId>,
        until: EventId,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let span = Span {
            filter,
            rising: Some((after, until)),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        self.page(&span).await
    }

    async fn page(&self, span: &Span<'_>) -> Result<EventPage, StoreError> {
        if span.filter.kind.is_none() {
            return self.page_of_any_kind(span).await;
        }
        let found = match self.streams(span.filter, |_| true).await? {
            Some(streams) => self.ids_of_streams(&streams, span).await?,
            None => self.ids_looked_at(span).await?,
        };
        let mut events = self.events_of_ids(&found.ids).await?;
        if span.rising.is_some() {
            events.reverse();
        }
        Ok(EventPage {
            events,
            looked_to: found.looked_to,
            is_end: found.is_end,
        })
    }

    async fn page_of_any_kind(&self, span: &Span<'_>) -> Result<EventPage, StoreError> {
        let rows = self.rows(COLUMNS, span, span.bounds(), span.limit).await?;
        let events = rows.iter().map(EventRow::read);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        Ok(EventPage {
            looked_to: events.last().map(|event| event.id),
            is_end: events.len() < span.len(),
            events,
        })
    }

    /// The next events of all kinds.
    async fn rows(
        &self,
        columns: &str,
        span: &Span<'_>,
        bounds: Bounds,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let dialect = self.readers().dialect();
        let mut query = Builder::new(&format!("select {columns} from events where true"));
        let source = span.filter.source.as_deref();
        bounds.of_source(&mut query, dialect, source, span.rising.is_some());
        query.push(" limit ").bind(limit);
        self.readers().fetch_all(query.build()).await
    }

    /// The newest events of these streams, newest first, within the bounds of a filter.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub(in super::super) async fn newest_of_streams(
        &self,
        streams: &[Stream],
        filter: &EventFilter,
    ) -> Result<Vec<EventRow>, StoreError> {
        let span = Span {
            filter,
            rising: None,
            limit: filter.limit,
        };
        let found = self.ids_of_streams(streams, &span).await?;
        self.events_of_ids(&found.ids).await
    }

    async fn ids_of_streams(&self, streams: &[Stream], span: &Span<'_>) -> Result<Ids, StoreError> {
        let mut ids: Vec<EventId> = Vec::new();
        // What lies behind enough others need not be found. Postgres is not told: for what looks
        // like few ids it leaves the index of streams, and filters those of a whole source.
        let is_told = self.readers().dialect() == Dialect::Sqlite;
        for some in streams.chunks(TOGETHER) {
            let is_enough = is_told && ids.len() >= span.len();
            let last = ids.last().copied().filter(|_| is_enough);
            ids.extend(self.ids_of_some(some, span, last).await?);
            ids.sort_unstable();
            if span.rising.is_none() {
                ids.reverse();
            }
            ids.truncate(span.len());
        }
        Ok(Ids {
            looked_to: ids.last().copied(),
            is_end: ids.len() < span.len(),
            ids,
        })
    }

    async fn ids_of_some(
        &self,
        streams: &[Stream],
        span: &Span<'_>,
        last: Option<EventId>,
    ) -> Result<Vec<EventId>, StoreError> {
        let dialect = self.readers().dialect();
        let mut query = Builder::new("with wanted (source, kind) as (values ");
        for (n, (source, kind)) in streams.iter().enumerate() {
            query.push(if n == 0 { "(" } else { ", (" });
            query.bind(source.clone()).push(", ").bind(kind.clone());
            query.push(")");
        }
        query.push(match dialect {
            Dialect::Sqlite => ") select id from wanted w cross join events e on e.id in (",
            Dialect::Postgres => ") select id from wanted w cross join lateral (",
        });
        query.push("select id from events where true");
        let mut bounds = span.bounds();
        if let Some(last) = last {
            bounds = match span.rising {
                Some(_) => bounds.below(last),
                None => bounds.above(last),
            };
        }
        let columns = ["source", "kind"];
        bounds.of(&mut query, dialect, &columns, |query| {
            query.push("w.source, w.kind");
        });
        order(&mut query, dialect, &columns, span.rising.is_some());
        query.push(" limit ").bind(span.limit);
        query.push(match dialect {
            Dialect::Sqlite => ")",
            Dialect::Postgres => ") e",
        });
        order(&mut query, dialect, &[], span.rising.is_some());
        query.push(" limit ").bind(span.limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(|row| row.event("id")).collect()
    }

    /// Those that fit among the next of all kinds.
    async fn ids_looked_at(&self, span: &Span<'_>) -> Result<Ids, StoreError> {
        let mut found = Ids {
            ids: Vec::new(),
            looked_to: None,
            is_end: false,
        };
        let mut looks = 0;
        while !found.is_end && found.ids.len() < span.len() && looks < LOOKS {
            let mut bounds = span.bounds();
            if let Some(last) = found.looked_to {
                bounds = span.behind(bounds, last);
            }
            let columns = "id, source, kind";
            let rows = self.rows(columns, span, bounds, AT_ONCE).await?;
            for row in &rows {
                if found.ids.len() >= span.len() {
                    return Ok(found);
                }
                let id = row.event("id")?;
                found.looked_to = Some(id);
                if span.filter.is_of(&row.text("source")?, &row.text("kind")?) {
                    found.ids.push(id);
                }
            }
            looks += rows.len();
            found.is_end = rows.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        }
        Ok(found)
    }
}

impl Span<'_> {
    fn len(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn bounds(&self) -> Bounds {
        let bounds = self.filter.bounds();
        match self.rising {
            Some((Some(after), until)) => bounds.above(after).to(until),
            Some((None, until)) => bounds.to(until),
            None => bounds,
        }
    }

    /// Behind the last that was looked at.
    fn behind(&self, bounds: Bounds, last: EventId) -> Bounds {
        match self.rising {
            Some(_) => bounds.above(last),
            None => bounds.below(last),
        }
    }
}
