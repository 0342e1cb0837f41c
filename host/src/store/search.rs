//! Finds events by what is written in them: by ids and indexed values through indexes, by
//! bodies through a bounded look at the newest.

use bytes::Bytes;

use crate::event::{DedupKey, EventId};

use super::events::{COLUMNS, EventRow, Loaded};
use super::filter::EventFilter;
use super::sql::{Builder, Dialect, sql};
use super::{Store, StoreError};

/// Most events that are found by one value.
const BY_VALUE_MAX: u32 = 1000;

/// A stored event with what is searched in it.
#[derive(Clone, Debug)]
pub struct SearchedEvent {
    /// The event.
    pub event: EventRow,
    /// Its body.
    pub body: bytes::Bytes,
    /// What it is indexed by: JSON.
    pub indexed: Option<String>,
}

impl Store {
    /// The events that a delivery id stands for, in these sources.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_by_delivery(
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
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_by_value(
        &self,
        value: &str,
        before: Option<EventId>,
    ) -> Result<Vec<EventId>, StoreError> {
        let before = before.map_or(vec![0xff; 16], |id| id.as_bytes().to_vec());
        let find = match self.readers().dialect() {
            Dialect::Sqlite => {
                "select event_id from event_values where value = $1 and event_id < $2 \
                 order by event_id desc limit $3"
            }
            // Materialized: else the planner walks all events by id.
            Dialect::Postgres => {
                "with hit as materialized (select id from events \
                 where indexed is not null and indexed::jsonb ? $1) \
                 select id as event_id from hit where id < $2 order by id desc limit $3"
            }
        };
        let find = sql(find).bind(value.to_owned()).bind(before);
        let rows = self.readers().fetch_all(find.bind(BY_VALUE_MAX)).await?;
        rows.iter().map(|row| row.event("event_id")).collect()
    }

    /// The newest events with this in their kind, in capitals or not, that fit a filter;
    /// none if such kinds are too many, or all are.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_by_kind(
        &self,
        text: &str,
        filter: &EventFilter,
    ) -> Result<Option<Vec<EventRow>>, StoreError> {
        let text = text.to_lowercase();
        let fits = |kind: &str| kind.to_lowercase().contains(&text);
        let Some(streams) = self.streams(filter, fits).await? else {
            return Ok(None);
        };
        self.newest_of_streams(&streams, filter).await.map(Some)
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

    /// The next events to look into, newest first, of all sources and kinds: at most so
    /// many, of at most so many bytes each; larger and damaged ones come without their body.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_to_search(
        &self,
        filter: &EventFilter,
        bytes_max: i64,
    ) -> Result<Vec<SearchedEvent>, StoreError> {
        let mut query = Builder::new(&format!(
            "select {COLUMNS}, indexed, encoding, header_bytes, case when size_bytes <= "
        ));
        query.bind(bytes_max);
        query.push(" then request end as request from events where true");
        filter.bounds().of_all(&mut query, "id");
        query.push(" order by id desc limit ").bind(filter.limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter()
            .map(|row| {
                let event = EventRow::read(row)?;
                let body = if event.size_bytes > bytes_max {
                    Bytes::new()
                } else {
                    match Loaded::read(row)?.into_event(&self.0.keyring) {
                        Ok(event) => event.body,
                        // It is found by what stands beside it, and keeps nobody from others.
                        Err(StoreError::Damaged(_)) => Bytes::new(),
                        Err(error) => return Err(error),
                    }
                };
                let indexed = row.text_or_none("indexed")?;
                Ok(SearchedEvent {
                    event,
                    body,
                    indexed,
                })
            })
            .collect()
    }
}
