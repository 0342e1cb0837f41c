//! Stores batches on SQLite: within the transaction of the one writer, which looks up
//! what is known, decides in memory, and inserts.

use crate::clock::millis;

use super::super::ingest::{Decided, Ingested, NewEvent, known, wanted_keys};
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
        let Decided { answers, to_store } = known.decide(&all);
        let now = tx.now;
        let seen = to_store.iter().flat_map(|(new, _)| {
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
        self.store_events(tx, &to_store).await?;
        let mut answers = answers.into_iter();
        let of_batch = |batch: &&[NewEvent]| answers.by_ref().take(batch.len()).collect();
        Ok((batches.iter().map(of_batch).collect(), Some(change)))
    }
}
