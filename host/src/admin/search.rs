//! `q`: ids, kinds and indexed values first, through indexes; then the newest bodies, within
//! a bound, which the answer states.
//!
//! A search is in one of two places: among what the indexes give, or, behind that, in the
//! bodies, where the cursor begins with `bodies.`. Where too many kinds fit, the indexes give
//! none of them, and they are looked at with the bodies; the cursor has `kinds.` then. Once a
//! body could not be looked into it has `unread.`, so that the last page says so too. What a
//! source hides is not found.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::ingest::indexed;
use crate::redact::redacted;
use crate::store::{EventFilter, EventRow, SearchedEvent, Sought, SoughtKinds};

use super::events::{EventJson, events_json};
use super::{Admin, AdminError};

/// Events whose bodies one request looks into.
const BODIES_MAX: usize = 1000;
/// Bytes of bodies that one request looks into, about.
const BYTES_MAX: usize = 8 << 20;
/// Bodies that are longer are not looked into.
const BODY_BYTES_MAX: i64 = 1 << 20;
/// Events that are listed at once.
const PAGE: u32 = 200;
/// Such lists for one request.
const PAGES_MAX: usize = 8;
/// Of these, so many are in memory with their requests, of [`BODY_BYTES_MAX`] together.
const SLICE: usize = 32;
/// Searches that this host does at the same time.
const AT_ONCE: usize = 2;
/// Searches that wait for their turn.
const WAITING: usize = 6;
/// What a cursor among bodies begins with.
const BODIES: &str = "bodies.";
/// What stands in it if kinds are looked at with the bodies.
const KINDS: &str = "kinds.";
/// What stands in it if a body before it could not be looked into.
const UNREAD: &str = "unread.";

/// What was looked into.
#[derive(Serialize, ToSchema)]
pub(super) struct Searched {
    /// How many of the newest bodies that fit were looked into for this page.
    bodies: usize,
    /// How far back these go; older ones were not looked into.
    bodies_since: Option<Timestamp>,
    /// Whether all that are stored were, for this page and those that led to it; not, if one
    /// is longer than 1 MiB, damaged, or encrypted with a key that the host lacks.
    is_complete: bool,
}

/// How many searches go on at the same time: each takes memory and a thread.
pub struct Searches {
    /// For those that go on and those that wait.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// One that goes on; held as long as anything is done for it.
type Turn = Arc<[OwnedSemaphorePermit; 2]>;

/// What was seen in an event.
struct Look {
    bytes: usize,
    is_found: bool,
    /// Whether nobody can say.
    is_unread: bool,
}

/// Where a search goes on.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// The event that it is behind.
    pub(super) before: Option<EventId>,
    is_in_bodies: bool,
    /// Whether the indexes give nothing by kind.
    has_no_kinds: bool,
    /// Whether a body before it could not be looked into.
    is_unread: bool,
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
    place: Option<Place>,
    limit: u32,
) -> Result<Json<FoundJson>, AdminError> {
    let place = place.unwrap_or_default();
    let turn = admin.searches.turn().await?;
    let kinds = match place {
        place if place.has_no_kinds => SoughtKinds::OneByOne,
        place if place.is_in_bodies => SoughtKinds::Given,
        _ => SoughtKinds::ByIndex,
    };
    let sought = admin.store.seek(q, indexed::cut(q), &filter, kinds).await?;
    let mut search = Search {
        admin,
        turn,
        sought: Arc::new(sought),
        filter: EventFilter { limit, ..filter },
        rows: Vec::new(),
        searched: Searched {
            bodies: 0,
            bodies_since: None,
            is_complete: false,
        },
    };
    let next = if place.is_in_bodies {
        search.bodies(place).await?
    } else {
        search.index(place).await?
    };
    let (rows, searched) = (search.rows, search.searched);
    Ok(Json(FoundJson {
        items: events_json(admin, rows).await?,
        next_cursor: next.map(Place::text),
        searched,
    }))
}

impl Default for Searches {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Searches {
    async fn turn(&self) -> Result<Turn, AdminError> {
        let too_many = || {
            AdminError::TooMany(format!(
                "this host does {AT_ONCE} searches at a time, and {WAITING} others wait already"
            ))
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| too_many())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        Ok(Arc::new([place, turn.map_err(|_| too_many())?]))
    }
}

struct Search<'a> {
    admin: &'a Arc<Admin>,
    turn: Turn,
    sought: Arc<Sought>,
    filter: EventFilter,
    rows: Vec<EventRow>,
    searched: Searched,
}

impl Search<'_> {
    /// What the indexes give, and then the first of the bodies.
    async fn index(&mut self, place: Place) -> Result<Option<Place>, AdminError> {
        let filter = EventFilter {
            before: place.before,
            ..self.filter.clone()
        };
        let store = &self.admin.store;
        let page = store.events_indexed(&self.sought, &filter).await?;
        self.rows = page.events;
        let has_no_kinds = !self.sought.has_kinds();
        let next = Place {
            before: page.looked_to.filter(|_| !page.is_end),
            is_in_bodies: page.is_end,
            has_no_kinds,
            is_unread: false,
        };
        if page.is_end && !self.is_full() {
            return self.bodies(next).await;
        }
        Ok(Some(next))
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= usize::try_from(self.filter.limit).unwrap_or(usize::MAX)
    }

    /// The bodies, newest first, that the indexes have not given.
    async fn bodies(&mut self, mut place: Place) -> Result<Option<Place>, AdminError> {
        let mut bytes = 0;
        for _ in 0..PAGES_MAX {
            let filter = EventFilter {
                before: place.before,
                limit: PAGE,
                ..self.filter.clone()
            };
            let page = self.admin.store.events(&filter).await?;
            let mut rest = &page.events[..];
            while !rest.is_empty() {
                let slice;
                (slice, rest) = rest.split_at(slice_len(rest));
                for (row, look) in self.look_into(slice).await? {
                    if self.is_full() || self.searched.bodies >= BODIES_MAX || bytes >= BYTES_MAX {
                        return Ok(Some(place));
                    }
                    place.before = Some(row.id);
                    self.searched.bodies_since = Some(row.received_at);
                    self.searched.bodies += 1;
                    bytes += look.bytes;
                    place.is_unread |= look.is_unread;
                    if look.is_found {
                        self.rows.push(row);
                    }
                }
            }
            if page.is_end {
                self.searched.is_complete = !place.is_unread;
                return Ok(None);
            }
            place.before = page.looked_to;
        }
        Ok(Some(place))
    }

    /// Whether what is sought is in the bodies of these, of which memory has room.
    async fn look_into(&self, slice: &[EventRow]) -> Result<Vec<(EventRow, Look)>, AdminError> {
        let admin = Arc::clone(self.admin);
        let (sought, turn) = (Arc::clone(&self.sought), Arc::clone(&self.turn));
        let look = move |one: &SearchedEvent| {
            // Who has hung up makes no room for another before this has ended.
            let _turn = &turn;
            let is_given = sought.is_given(one);
            let is_beside = sought.is_beside(&one.event);
            let is_in = |body| sought.is_in(&shown_body(&admin, &one.event.source, body));
            let body = one.body.as_ref();
            Look {
                bytes: body.map_or(0, Bytes::len),
                is_found: !is_given && (is_beside || body.is_some_and(is_in)),
                is_unread: !is_given && !is_beside && body.is_none(),
            }
        };
        let store = &self.admin.store;
        let looks = store.look_into(slice, BODY_BYTES_MAX, look).await?;
        let mut looks: HashMap<EventId, Look> = looks.into_iter().collect();
        let rows = slice.iter();
        let looked = rows.filter_map(|row| Some((row.clone(), looks.remove(&row.id)?)));
        Ok(looked.collect())
    }
}

/// How many of these are looked into at once: few, unless they are small.
fn slice_len(rows: &[EventRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&EventRow| {
        let size = row.size_bytes;
        // What is longer is not read.
        bytes += if size > BODY_BYTES_MAX { 0 } else { size };
        bytes <= BODY_BYTES_MAX
    };
    let fitting = rows.iter().take(SLICE).take_while(fits).count();
    fitting.max(1)
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
    fn text(self) -> String {
        let bodies = if self.is_in_bodies { BODIES } else { "" };
        let kinds = if self.has_no_kinds { KINDS } else { "" };
        let unread = if self.is_unread { UNREAD } else { "" };
        let before = self.before.map(|id| id.to_string()).unwrap_or_default();
        format!("{bodies}{kinds}{unread}{before}")
    }
}

impl FromStr for Place {
    type Err = <EventId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text;
        let mut has = |prefix| {
            let behind = rest.strip_prefix(prefix);
            rest = behind.unwrap_or(rest);
            behind.is_some()
        };
        let (is_in_bodies, has_no_kinds) = (has(BODIES), has(KINDS));
        // Who has met an unread body is among bodies, and behind one.
        let is_unread = is_in_bodies && has(UNREAD);
        let before = match rest {
            "" if is_in_bodies && !is_unread => None,
            id => Some(id.parse()?),
        };
        Ok(Self {
            before,
            is_in_bodies,
            has_no_kinds,
            is_unread,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, slice_len};
    use crate::clock::Timestamp;
    use crate::event::EventId;
    use crate::store::EventRow;

    fn row(size_bytes: i64) -> EventRow {
        EventRow {
            id: EventId::new(Timestamp::default()),
            source: String::new(),
            provider: String::new(),
            kind: String::new(),
            received_at: Timestamp::default(),
            delivery_id: None,
            content_type: None,
            size_bytes,
            is_handshake: false,
            dedup_conflict: false,
            no_run_reason: None,
            is_forced: false,
        }
    }

    #[test]
    fn what_is_in_memory_at_once_is_bounded() {
        let most = BODY_BYTES_MAX;
        for (sizes, expected) in [
            (vec![most], 1),
            (vec![most, 1], 1),
            (vec![most / 2, most / 2, 1], 2),
            // Not read at all.
            (vec![most + 1, most * 9, most], 3),
            (vec![0; 1000], 32),
        ] {
            let rows: Vec<EventRow> = sizes.iter().map(|size| row(*size)).collect();
            assert_eq!(slice_len(&rows), expected, "{sizes:?}");
        }
    }
}
