//! `q`: ids, kinds and indexed values first, through indexes; then the newest bodies, within
//! a bound, which the answer states.
//!
//! A search is in one of two places: among what the indexes give, or, behind that, in the
//! bodies, where the cursor begins with `bodies.`. What a source hides is not found.

use std::sync::Arc;

use axum::Json;
use bytes::Bytes;
use memchr::memmem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::ingest::indexed;
use crate::redact::redacted;
use crate::store::{EventFilter, EventRow, SearchedEvent};

use super::events::{EventJson, events_json};
use super::{Admin, AdminError};

/// Events whose bodies one request looks into.
const BODIES_MAX: usize = 1000;
/// Bytes of bodies that one request looks into, about.
const BYTES_MAX: usize = 8 << 20;
/// Bodies that are longer are not looked into.
const BODY_BYTES_MAX: i64 = 1 << 20;
/// Events that are read at once.
const PAGE: u32 = 200;
/// What a cursor among bodies begins with.
const BODIES: &str = "bodies.";

/// What was looked into.
#[derive(Serialize, ToSchema)]
pub(super) struct Searched {
    /// How many of the newest bodies were looked into for this page.
    bodies: usize,
    /// How far back these go; older ones were not looked into.
    bodies_since: Option<Timestamp>,
    /// Whether all that are stored were, behind this page's beginning.
    is_complete: bool,
}

/// Where a search goes on.
#[derive(Clone, Copy)]
enum Place {
    Index(Option<EventId>),
    Bodies(Option<EventId>),
}

/// A page of what was found.
#[derive(Serialize, ToSchema)]
#[schema(as = FoundEvents)]
pub(super) struct FoundJson {
    items: Vec<EventJson>,
    next_cursor: Option<String>,
    /// Only with `q`
    #[schema(required = false)]
    searched: Searched,
}

/// `GET events?q=`.
pub(super) async fn find(
    admin: &Arc<Admin>,
    q: &str,
    filter: EventFilter,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Json<FoundJson>, AdminError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let place = Place::read(cursor)?;
    let mut search = Search {
        admin,
        q,
        filter,
        rows: Vec::new(),
        limit,
        searched: Searched {
            bodies: 0,
            bodies_since: None,
            is_complete: false,
        },
    };
    let next = match place {
        Place::Index(before) => search.index(before).await?,
        Place::Bodies(before) => search.bodies(before).await?,
    };
    let (rows, searched) = (search.rows, search.searched);
    Ok(Json(FoundJson {
        items: events_json(admin, rows).await?,
        next_cursor: next.map(Place::text),
        searched,
    }))
}

struct Search<'a> {
    admin: &'a Arc<Admin>,
    q: &'a str,
    filter: EventFilter,
    rows: Vec<EventRow>,
    limit: usize,
    searched: Searched,
}

impl Search<'_> {
    /// What the indexes give, and then the first of the bodies.
    async fn index(&mut self, before: Option<EventId>) -> Result<Option<Place>, AdminError> {
        let store = &self.admin.store;
        let sources = store.sources_of_events().await?;
        let mut ids: Vec<EventId> = self.q.parse().into_iter().collect();
        ids.extend(store.events_by_delivery(&sources, self.q).await?);
        ids.extend(store.events_by_value(indexed::cut(self.q), before).await?);
        let mut rows = store.events_of_ids(&ids).await?;
        rows.retain(|row| self.filter.takes(row) && before.is_none_or(|before| row.id < before));
        let more = u32::try_from(self.limit + 1).unwrap_or(u32::MAX);
        let of_kind = EventFilter {
            before,
            limit: more,
            ..self.filter.clone()
        };
        let of_kind = store.events_by_kind(self.q, &of_kind).await?;
        rows.extend(of_kind.unwrap_or_default());
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        rows.dedup_by_key(|row| row.id);
        let is_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        self.rows = rows;
        if is_more {
            return Ok(Some(Place::Index(self.rows.last().map(|row| row.id))));
        }
        if self.rows.len() == self.limit {
            return Ok(Some(Place::Bodies(None)));
        }
        self.bodies(None).await
    }

    /// The bodies, newest first, that the indexes have not given.
    async fn bodies(&mut self, mut before: Option<EventId>) -> Result<Option<Place>, AdminError> {
        let mut bytes = 0;
        loop {
            let filter = EventFilter {
                before,
                limit: PAGE,
                ..self.filter.clone()
            };
            let page = self
                .admin
                .store
                .events_to_search(&filter, BODY_BYTES_MAX)
                .await?;
            let is_end = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            for one in page {
                if self.rows.len() >= self.limit
                    || self.searched.bodies >= BODIES_MAX
                    || bytes >= BYTES_MAX
                {
                    return Ok(Some(Place::Bodies(before)));
                }
                before = Some(one.event.id);
                self.searched.bodies_since = Some(one.event.received_at);
                self.searched.bodies += 1;
                bytes += one.body.len();
                if self.filter.takes(&one.event) && !self.is_indexed(&one) && self.is_in(&one) {
                    self.rows.push(one.event);
                }
            }
            if is_end {
                self.searched.is_complete = true;
                return Ok(None);
            }
        }
    }

    /// Whether the indexes give it.
    fn is_indexed(&self, one: &SearchedEvent) -> bool {
        let values = one.indexed.as_deref();
        let values = values.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        let value = indexed::cut(self.q);
        let event = &one.event;
        event.delivery_id.as_deref() == Some(self.q)
            || event.id.to_string() == self.q
            || event.kind.to_lowercase().contains(&self.q.to_lowercase())
            || values.is_some_and(|values| values.iter().any(|one| one == value))
    }

    fn is_in(&self, one: &SearchedEvent) -> bool {
        let shown = shown_body(self.admin, &one.event.source, &one.body);
        memmem::find(&shown, self.q.as_bytes()).is_some()
    }
}

/// A body as pages and searches may show it: without what its source hides.
pub(super) fn shown_body(admin: &Admin, source: &str, body: &Bytes) -> Bytes {
    let source = admin.sources.named(source);
    let hidden = source
        .as_ref()
        .map(|source| source.config.redact.as_slice());
    match redacted(body, hidden.unwrap_or_default()) {
        std::borrow::Cow::Borrowed(_) => body.clone(),
        std::borrow::Cow::Owned(shown) => shown.into(),
    }
}

impl Place {
    fn read(cursor: Option<&str>) -> Result<Self, AdminError> {
        let Some(text) = cursor else {
            return Ok(Self::Index(None));
        };
        let id = |text: &str| {
            text.parse::<EventId>().map(Some).map_err(|error| {
                AdminError::Invalid(format!("parameter `cursor` is wrong: {error}"))
            })
        };
        match text.strip_prefix(BODIES) {
            Some("") => Ok(Self::Bodies(None)),
            Some(before) => id(before).map(Self::Bodies),
            None => id(text).map(Self::Index),
        }
    }

    fn text(self) -> String {
        let id = |id: Option<EventId>| id.map(|id| id.to_string()).unwrap_or_default();
        match self {
            Self::Index(before) => id(before),
            Self::Bodies(before) => format!("{BODIES}{}", id(before)),
        }
    }
}
