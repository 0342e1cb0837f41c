//! Streams: the pairs of source and kind that events have. Each is one step in index
//! `events_by_stream`, however many events it has, and each source one in
//! `events_by_source`.
//!
//! Sources are named by operators, kinds by senders: of these, only so many are walked.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::store::bounds::{Bounds, order};
use crate::store::filter::EventFilter;
use crate::store::sql::{Builder, sql};
use crate::store::{Store, StoreError};
use crate::trigger::KindPattern;

/// A source and a kind.
pub(in super::super) type Stream = (String, String);

/// Streams that are walked for one question.
const STEPS: u32 = 500;
/// Of these, so many may fit.
const FITTING: usize = 128;

const SOURCES: &str = "with recursive step (source) as ( \
     select (select source from events order by source limit 1) \
     union all select (select n.source from events n where n.source > step.source \
     order by n.source limit 1) from step where step.source is not null) ";

impl Store {
    /// The sources that events have.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn sources_of_events(&self) -> Result<Vec<String>, StoreError> {
        let text = format!("{SOURCES}select source from step where source is not null");
        let rows = self.readers().fetch_all(sql(text)).await?;
        rows.iter().map(|row| row.text("source")).collect()
    }

    /// When the newest event of each source was received.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn last_events_at(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let dialect = self.readers().dialect();
        let mut query = Builder::new(SOURCES);
        query.push("select (select id from events where true");
        Bounds::ALL.of(&mut query, dialect, &["source"], |query| {
            query.push("step.source");
        });
        order(&mut query, dialect, &["source"], false);
        query.push(" limit 1) as id from step where source is not null");
        let rows = self.readers().fetch_all(query.build()).await?;
        let ids = rows.iter().map(|row| row.event("id"));
        let ids = ids.collect::<Result<Vec<EventId>, _>>()?;
        let newest = self.events_of_ids(&ids).await?.into_iter();
        Ok(newest
            .map(|event| (event.source, event.received_at))
            .collect())
    }

    /// The streams that fit a filter, and whose kind fits besides; none if they are too
    /// many to look into each, or to be found among all others.
    pub(in super::super) async fn streams(
        &self,
        filter: &EventFilter,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Option<Vec<Stream>>, StoreError> {
        let sources = match &filter.source {
            Some(source) => vec![source.clone()],
            None => self.sources_of_events().await?,
        };
        if sources.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut streams = match filter.kind.as_ref().and_then(KindPattern::exact) {
            Some(kind) => {
                let of = |source| (source, kind.to_owned());
                sources.into_iter().map(of).collect()
            }
            None => match self.walk(sources, filter.kind.as_ref()).await? {
                Some(walked) => walked,
                None => return Ok(None),
            },
        };
        streams.retain(|(source, kind)| filter.is_of(source, kind) && fits(kind));
        Ok(Some(streams).filter(|streams| streams.len() <= FITTING))
    }

    /// The streams of these sources whose kind begins as a pattern does; none if they are
    /// too many.
    async fn walk(
        &self,
        sources: Vec<String>,
        pattern: Option<&KindPattern>,
    ) -> Result<Option<Vec<Stream>>, StoreError> {
        let beginning = pattern.and_then(KindPattern::beginning);
        let mut query = Builder::new("with recursive wanted (source) as (values ");
        for (n, source) in sources.into_iter().enumerate() {
            query.push(if n == 0 { "(" } else { ", (" });
            query.bind(source).push(")");
        }
        query.push("), step (source, kind) as (select w.source, (select n.kind from events n where n.source = w.source");
        if let Some(beginning) = beginning {
            query.push(" and n.kind >= ").bind(beginning.to_owned());
        }
        let end = |query: &mut Builder| {
            if let Some(beginning) = beginning {
                // The character behind the dot, with which the next segment begins.
                query.push(" and n.kind < ").bind(format!("{beginning}/"));
            }
            query.push(" order by n.kind limit 1)");
        };
        end(&mut query);
        query.push(
            " from wanted w union all select step.source, (select n.kind from events n \
             where n.source = step.source and n.kind > step.kind",
        );
        end(&mut query);
        query.push(
            " from step where step.kind is not null) \
             select source, kind from step where kind is not null limit ",
        );
        query.bind(STEPS);
        let rows = self.readers().fetch_all(query.build()).await?;
        if rows.len() >= usize::try_from(STEPS).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let streams = rows
            .iter()
            .map(|row| Ok::<_, StoreError>((row.text("source")?, row.text("kind")?)));
        streams.collect::<Result<_, _>>().map(Some)
    }
}
