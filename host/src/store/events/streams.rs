//! Streams: the pairs of source and kind that events have. Lists by either look into each
//! pair's newest, in index `events_by_stream`.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::store::filter::EventFilter;
use crate::store::sql::{Builder, Dialect, sql};
use crate::store::{Store, StoreError};

use super::EventRow;

/// Streams that one statement looks into. What it has found bounds the next one.
const TOGETHER: usize = 16;

/// Each pair is one step in the index, however many events it has.
const WALK_SQLITE: &str = "with recursive step (source, kind) as ( \
     select * from (select source, kind from events order by source, kind limit 1) \
     union all select e.source, e.kind from step cross join events e on e.seq = coalesce( \
     (select seq from events n where n.source = step.source and n.kind > step.kind \
     order by n.kind limit 1), \
     (select seq from events n where n.source > step.source order by n.source, n.kind limit 1))) ";
const WALK_POSTGRES: &str = "with recursive step (source, kind) as ( \
     (select source, kind from events order by source, kind limit 1) \
     union all select n.source, n.kind from step cross join lateral \
     (select source, kind from events e where (e.source, e.kind) > (step.source, step.kind) \
     order by e.source, e.kind limit 1) n) ";

impl Store {
    /// All pairs of source and kind that events have.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        let text = format!("{}select source, kind from step", self.walk());
        let rows = self.readers().fetch_all(sql(text)).await?;
        rows.iter()
            .map(|row| Ok((row.text("source")?, row.text("kind")?)))
            .collect()
    }

    /// When the newest event of each source was received.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn last_events_at(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let text = format!(
            "{}select (select id from events n where n.source = step.source and n.kind = step.kind \
             order by n.id desc limit 1) as id from step",
            self.walk()
        );
        let rows = self.readers().fetch_all(sql(text)).await?;
        let ids = rows.iter().map(|row| row.event("id"));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut newest = BTreeMap::new();
        for event in self.events_of_ids(&ids).await? {
            // The newest of a source comes first.
            newest.entry(event.source).or_insert(event.received_at);
        }
        Ok(newest)
    }

    /// The newest events of these streams, newest first, within the bounds of a filter.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn events_of_streams(
        &self,
        streams: &[(String, String)],
        filter: &EventFilter,
    ) -> Result<Vec<EventRow>, StoreError> {
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let mut ids: Vec<EventId> = Vec::new();
        for some in streams.chunks(TOGETHER) {
            // What is older than enough others need not be found.
            let oldest = ids.last().copied().filter(|_| ids.len() >= limit);
            ids.extend(self.newest_ids(some, filter, oldest).await?);
            ids.sort_unstable_by(|one, other| other.cmp(one));
            ids.truncate(limit);
        }
        self.events_of_ids(&ids).await
    }

    async fn newest_ids(
        &self,
        streams: &[(String, String)],
        filter: &EventFilter,
        after: Option<EventId>,
    ) -> Result<Vec<EventId>, StoreError> {
        let dialect = self.readers().dialect();
        let mut query = Builder::new("with wanted (source, kind) as (values ");
        for (n, (source, kind)) in streams.iter().enumerate() {
            query.push(if n == 0 { "(" } else { ", (" });
            query.bind(source.clone()).push(", ").bind(kind.clone());
            query.push(")");
        }
        query.push(match dialect {
            Dialect::Sqlite => ") select e.id from wanted w cross join events e on e.id in (",
            Dialect::Postgres => ") select e.id from wanted w cross join lateral (",
        });
        query.push("select id from events n where n.source = w.source and n.kind = w.kind");
        filter.bounds(&mut query);
        if let Some(after) = after {
            query.push(" and id > ").bind(after.as_bytes().to_vec());
        }
        query.push(" order by n.id desc limit ").bind(filter.limit);
        query.push(match dialect {
            Dialect::Sqlite => ")",
            Dialect::Postgres => ") e",
        });
        query.push(" order by e.id desc limit ").bind(filter.limit);
        let rows = self.readers().fetch_all(query.build()).await?;
        rows.iter().map(|row| row.event("id")).collect()
    }

    fn walk(&self) -> &'static str {
        match self.readers().dialect() {
            Dialect::Sqlite => WALK_SQLITE,
            Dialect::Postgres => WALK_POSTGRES,
        }
    }
}
