//! Stores batches on SQLite: within the transaction of the one writer, which looks up
//! what is known, decides in memory, and inserts.

use std::collections::HashSet;

use crate::clock::millis;
use crate::event::EventId;

use super::super::ingest::{Ingested, NewEvent, classify, known, wanted_keys};
use super::super::tx::Tx;
use super::super::{Statements, StoreError};
use super::dedup::{Change, Recent, Seen};

impl Statements {
    /// Applies several batches; the answers, and what `recent` is to learn when they are
    /// committed.
    pub(in super::super) async fn ingest_sqlite(
        &self,
        tx: &mut Tx,
        batches: &[&[NewEvent]],
        recent: &Recent,
    ) -> Result<(Vec<Vec<Ingested>>, Option<Change>), StoreError> {
        if batches.is_empty() {
            return Ok((Vec::new(), None));
        }
        let all: Vec<&NewEvent> = batches.iter().copied().flatten().collect();
        let wanted = wanted_keys(&all);
        let rows = self.dedup.find(tx, recent, &wanted).await?;
        let mut known = known(&rows, &wanted, tx.now)?;
        // Of a batch that is sent again since nobody knew whether it was committed.
        let stored_before: HashSet<EventId> =
            known.values().flatten().map(|(_, event)| *event).collect();
        let decided: Vec<Vec<Ingested>> = batches
            .iter()
            .map(|batch| batch.iter().map(|new| classify(new, &mut known)).collect())
            .collect();
        let stored: Vec<(&NewEvent, bool)> = batches
            .iter()
            .zip(&decided)
            .flat_map(|(batch, decided)| batch.iter().zip(decided))
            .filter_map(|(new, decided)| match decided {
                Ingested::New => Some((new, false)),
                Ingested::Conflict => Some((new, true)),
                Ingested::Duplicate(_) => None,
            })
            .filter(|(new, _)| !stored_before.contains(&new.id()))
            .collect();
        let now = tx.now;
        let seen = stored.iter().flat_map(|(new, _)| {
            new.keys().map(move |key| Seen {
                source: new.source().as_str(),
                key,
                body_sha256: new.body_sha256(),
                event: new.id_bytes(),
                expires_ms: now.millis().saturating_add(millis(new.window())),
            })
        });
        let seen: Vec<Seen<'_>> = seen.collect();
        let change = self.dedup.append(tx, recent, &seen).await?;
        self.ingest.insert_events(tx, &stored).await?;
        let started = stored.iter().filter(|(_, is_conflict)| !is_conflict);
        let runs = started.flat_map(|(new, _)| new.runs().iter().map(|run| (new.id(), *run)));
        self.start_runs(tx, &runs.collect::<Vec<_>>()).await?;
        Ok((decided, Some(change)))
    }
}
