//! Finds events by what is written in them: by ids and indexed values through indexes, by
//! bodies through a bounded look at the newest.

use std::collections::BTreeSet;

use bytes::Bytes;
use memchr::memmem;

use crate::event::{DedupKey, EventId};

use super::bounds::Bounds;
use super::events::{EventPage, EventRow, Loaded, Stream};
use super::filter::EventFilter;
use super::rows::{Kind, ManyRows};
use super::seal::Keyring;
use super::sql::{Builder, Dialect, Row, sql};
use super::{Store, StoreError};

/// Most events that are looked at for one page of what is found by value or id.
const BY_ID_MAX: u32 = 1000;

/// What becomes of the kinds that have a text in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoughtKinds {
    /// They are looked for in the index, if they are few.
    ByIndex,
    /// The index has given them.
    Given,
    /// They are looked at with the bodies.
    OneByOne,
}

/// A text that is sought, and which events the indexes give for it: here alone is said what
/// is theirs and what is left for a look at each event.
#[derive(Debug)]
pub struct Sought {
    text: String,
    lower: String,
    /// The text as it may stand among indexed values.
    value: String,
    /// The event of this id, and those of this delivery.
    ids: BTreeSet<EventId>,
    /// With the text in their kind; none if these are too many.
    streams: Option<Vec<Stream>>,
}

/// A stored event with what is searched in it.
#[derive(Clone, Debug)]
pub struct SearchedEvent {
    /// The event.
    pub event: EventRow,
    /// Its body, if that may be looked into.
    pub body: Option<Bytes>,
    /// What it is indexed by: JSON.
    pub indexed: Option<String>,
}

/// The statements of searches.
pub(super) struct Statements {
    with_requests: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            with_requests: ManyRows::new(
                "with wanted (id, bytes_max) as (",
                &[Kind::Bytes, Kind::Int],
                ") select e.id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                 is_handshake, dedup_conflict, no_run_reason, is_forced, indexed, encoding, header_bytes, \
                 case when size_bytes <= w.bytes_max then request end as request \
                 from wanted w cross join events e on e.id = w.id",
            ),
        }
    }
}

impl Store {
    /// The events that a delivery id stands for, in these sources.
    async fn events_by_delivery(
        &self,
        sources: &[String],
        delivery_id: &str,
    ) -> Result<Vec<EventId>, StoreError> {
        let key = DedupKey::of_delivery(delivery_id);
        let mut found = Vec::new();
        for source in sources {
            let find = match self.readers().dialect() {
                // The newest of the log are in no index yet.
                Dialect::Sqlite => sql(
                    "select d.event_id from dedup_keys k cross join dedup_log d on d.seq = k.seq \
                     where k.head = substr($1, 1, 8) and k.source = $2 and d.key = $1 \
                     union select event_id from dedup_log \
                     where seq > (select seq from dedup_merged) and key = $1 and source = $2",
                ),
                Dialect::Postgres => {
                    sql("select event_id from dedup where key = $1 and source = $2 \
                     union select event_id from dedup_conflicts where key = $1 and source = $2")
                }
            };
            let find = find.bind(key.as_bytes().as_slice()).bind(source.as_str());
            for row in self.readers().fetch_all(find).await? {
                found.extend(EventId::from_bytes(&row.bytes("event_id")?));
            }
        }
        Ok(found)
    }

    /// The newest events that a value is indexed for.
    async fn ids_by_value(&self, value: &str, bounds: Bounds) -> Result<Vec<EventId>, StoreError> {
        let mut query = Builder::new(match self.readers().dialect() {
            Dialect::Sqlite => "select event_id as id from event_values where value = ",
            // Materialized: else the planner walks all events by id.
            Dialect::Postgres => {
                "with hit as materialized (select id from events \
                 where indexed is not null and indexed::jsonb ? "
            }
        });
        query.bind(value.to_owned());
        let column = match self.readers().dialect() {
            Dialect::Sqlite => "event_id",
            Dialect::Postgres => {
                query.push(") select id from hit where true");
                "id"
            }
        };
        bounds.of_all(&mut query, column);
        query.push(&format!(" order by {column} desc limit "));
        query.bind(BY_ID_MAX);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(|row| row.event("id")).collect()
    }

    /// Finds out what the indexes have for a text. A search that goes on says what became
    /// of kinds.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn seek(
        &self,
        text: &str,
        value: &str,
        filter: &EventFilter,
        kinds: SoughtKinds,
    ) -> Result<Sought, StoreError> {
        let sources = match &filter.source {
            Some(source) => vec![source.clone()],
            None => self.sources_of_events().await?,
        };
        let lower = text.to_lowercase();
        let fits = |kind: &str| kind.to_lowercase().contains(&lower);
        let streams = match kinds {
            SoughtKinds::ByIndex => self.streams(filter, fits).await?,
            SoughtKinds::Given => Some(Vec::new()),
            SoughtKinds::OneByOne => None,
        };
        let mut ids: BTreeSet<EventId> = text.parse().into_iter().collect();
        ids.extend(self.events_by_delivery(&sources, text).await?);
        Ok(Sought {
            text: text.to_owned(),
            lower,
            value: value.to_owned(),
            ids,
            streams,
        })
    }

    /// A page of what the indexes give, newest first. It may be cut short, where an index
    /// has more than are looked at; it ends only when they have no more.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_indexed(
        &self,
        sought: &Sought,
        filter: &EventFilter,
    ) -> Result<EventPage, StoreError> {
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let by_id_max = usize::try_from(BY_ID_MAX).unwrap_or(usize::MAX);
        let bounds = filter.bounds();
        let mut ids = self.ids_by_value(&sought.value, bounds).await?;
        // What is older than this may have been left out.
        let mut cut = ids.get(by_id_max - 1).copied();
        ids.extend(sought.ids.iter().filter(|id| bounds.have(**id)));
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.dedup();
        if ids.len() > by_id_max {
            ids.truncate(by_id_max);
            cut = cut.max(ids.last().copied());
        }
        let mut events = self.events_of_ids(&ids).await?;
        events.retain(|event| filter.is_of(&event.source, &event.kind));
        if let Some(streams) = &sought.streams {
            let one_more = EventFilter {
                limit: filter.limit.saturating_add(1),
                ..filter.clone()
            };
            let of_kind = self.newest_of_streams(streams, &one_more).await?;
            cut = cut.max(of_kind.get(limit).map(|event| event.id));
            events.extend(of_kind);
        }
        events.retain(|event| cut.is_none_or(|cut| event.id >= cut));
        events.sort_unstable_by_key(|event| std::cmp::Reverse(event.id));
        events.dedup_by_key(|event| event.id);
        let is_full = events.len() > limit;
        events.truncate(limit);
        let last = events.last().map(|event| event.id);
        Ok(EventPage {
            looked_to: if is_full { last } else { cut },
            is_end: !is_full && cut.is_none(),
            events,
        })
    }

    /// Events by their ids, newest first; those that are gone are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_of_ids(&self, ids: &[EventId]) -> Result<Vec<EventRow>, StoreError> {
        let rows = ids.iter().map(|id| [id.as_bytes().into()]);
        let about = self.0.statements.slices.about().with(rows);
        let mut events = Vec::with_capacity(ids.len());
        for statement in about.statements(self.readers().dialect()) {
            for row in self.readers().fetch_all(statement).await? {
                events.push(EventRow::read(&row)?);
            }
        }
        events.sort_unstable_by_key(|event: &EventRow| std::cmp::Reverse(event.id));
        Ok(events)
    }

    /// Looks into these events, newest first, on a thread that may take its time: requests
    /// are unpacked and read there. All of them are in memory at once: whoever asks sees to
    /// it that they are not too large together. Those of more than so many bytes, and those
    /// that cannot be read, come without their body; those that are gone do not come.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn look_into<T, F>(
        &self,
        events: &[EventRow],
        bytes_max: i64,
        look: F,
    ) -> Result<Vec<(EventId, T)>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&SearchedEvent) -> T + Send + 'static,
    {
        let rows = events
            .iter()
            .map(|event| [event.id.as_bytes().into(), bytes_max.into()]);
        let mut read = Vec::with_capacity(events.len());
        let wanted = self.0.statements.search.with_requests.with(rows);
        for statement in wanted.statements(self.readers().dialect()) {
            read.extend(self.readers().fetch_all(statement).await?);
        }
        let store = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut looked = Vec::with_capacity(read.len());
            for row in read {
                let one = SearchedEvent::read(&row, &store.0.keyring)?;
                looked.push((one.event.id, look(&one)));
            }
            looked.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
            Ok(looked)
        });
        looked
            .await
            .map_err(|_| StoreError::Unavailable("the host is stopping"))?
    }
}

impl Sought {
    /// Whether events with the text in their kind come by the index.
    pub fn has_kinds(&self) -> bool {
        self.streams.is_some()
    }

    /// Whether an event is of those that [`Store::events_indexed`] gives.
    pub fn is_given(&self, one: &SearchedEvent) -> bool {
        let values = one.indexed.as_deref();
        let values = values.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        self.ids.contains(&one.event.id)
            || self.has_kinds() && self.is_in_kind(&one.event)
            || values.is_some_and(|values| values.contains(&self.value))
    }

    /// Whether the text stands in what is shown of an event beside its body.
    pub fn is_beside(&self, event: &EventRow) -> bool {
        self.is_in_kind(event) || event.delivery_id.as_deref() == Some(self.text.as_str())
    }

    /// Whether it stands in a body.
    pub fn is_in(&self, body: &[u8]) -> bool {
        memmem::find(body, self.text.as_bytes()).is_some()
    }

    fn is_in_kind(&self, event: &EventRow) -> bool {
        event.kind.to_lowercase().contains(&self.lower)
    }
}

impl SearchedEvent {
    fn read(row: &Row, keyring: &Keyring) -> Result<Self, StoreError> {
        let body = match row.bytes_or_none("request")? {
            None => None,
            Some(_) => match Loaded::read(row)?.into_event(keyring) {
                Ok(event) => Some(event.body),
                // It is found by what stands beside it, and keeps nobody from others.
                Err(StoreError::Damaged(_) | StoreError::MissingKey(_)) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(Self {
            event: EventRow::read(row)?,
            body,
            indexed: row.text_or_none("indexed")?,
        })
    }
}
