//! What is set aside within the bounds, and what of them is used.
//!
//! How much is used is counted in a table of its own, so that no insert adds up rows;
//! whoever changes it holds the row of all sources first, so that hosts agree.

use std::collections::HashMap;

use crate::event::EventId;

use super::super::StoreError;
use super::super::rows::{Kind, ManyRows};
use super::super::sql::{Row, sql};
use super::super::tx::Tx;
use super::{NewQuarantined, QuarantineBounds};

/// The statements of quarantine.
pub(in super::super) struct Statements {
    insert: ManyRows,
    remove: ManyRows,
    usage: ManyRows,
}

impl Statements {
    pub(in super::super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            // A batch may be sent again of which nobody knows whether it was committed.
            insert: ManyRows::new(
                "insert into quarantine (id, source, received_ms, code, message, hint, remote_addr, \
                 size_bytes, weight, method, target, encoding, header_bytes, request)",
                &[
                    BYTES, TEXT, INT, TEXT, TEXT, TEXT, TEXT, INT, INT, TEXT, TEXT, INT, INT, BYTES,
                ],
                "on conflict (id) do nothing returning source, weight",
            ),
            remove: ManyRows::new(
                "with wanted (id) as (",
                &[BYTES],
                ") delete from quarantine where id in (select id from wanted) returning source, weight",
            ),
            usage: ManyRows::new(
                "insert into quarantine_usage (source, bytes)",
                &[TEXT, INT],
                "on conflict (source) do update set bytes = quarantine_usage.bytes + excluded.bytes",
            ),
        }
    }

    /// Sets aside what the bounds have room for; how many, by source.
    pub(super) async fn keep(
        &self,
        tx: &mut Tx,
        batch: &[NewQuarantined],
        bounds: QuarantineBounds,
    ) -> Result<HashMap<String, u64>, StoreError> {
        let used = hold_usage(tx).await?;
        let of = |source: &str| used.get(source).copied().unwrap_or(0);
        let mut all = of("");
        let mut by_source: HashMap<&str, i64> = HashMap::new();
        let mut taken = Vec::with_capacity(batch.len());
        for new in batch {
            let source = new.about.source.as_str();
            let own = by_source.entry(source).or_insert_with(|| of(source));
            let weight = new.weight();
            let reserved = match new.is_proven {
                true => 0,
                false => bounds.for_proven,
            };
            let (of_source, of_all) = (bounds.source, bounds.all);
            if fits(*own + weight, of_source.saturating_sub(reserved))
                && fits(all + weight, of_all.saturating_sub(reserved))
            {
                *own += weight;
                all += weight;
                taken.push(new);
            }
        }
        let rows = taken.iter().map(|new| new.row());
        let kept = self.insert.with(rows).fetch_all(tx).await?;
        self.note_usage(tx, &kept, 1).await?;
        let mut counts = HashMap::new();
        for row in &kept {
            *counts.entry(row.text("source")?).or_default() += 1;
        }
        Ok(counts)
    }

    /// Removes these; how many there were. Usage is held.
    pub(super) async fn remove(&self, tx: &mut Tx, ids: &[EventId]) -> Result<u64, StoreError> {
        let rows = ids.iter().map(|id| [id.as_bytes().into()]);
        let removed = self.remove.with(rows).fetch_all(tx).await?;
        self.note_usage(tx, &removed, -1).await?;
        Ok(removed.len() as u64)
    }

    /// Counts rows that came (1) or went (-1).
    async fn note_usage(&self, tx: &mut Tx, rows: &[Row], sign: i64) -> Result<(), StoreError> {
        let mut changes: HashMap<String, i64> = HashMap::new();
        for row in rows {
            let weight = sign * row.int("weight")?;
            *changes.entry(row.text("source")?).or_default() += weight;
            *changes.entry(String::new()).or_default() += weight;
        }
        let rows = changes
            .iter()
            .map(|(source, bytes)| [source.as_str().into(), (*bytes).into()]);
        self.usage.with(rows).execute(tx).await?;
        Ok(())
    }
}

/// What is used, by source; nobody else changes it until the end of the transaction.
pub(super) async fn hold_usage(tx: &mut Tx) -> Result<HashMap<String, i64>, StoreError> {
    let locking = tx.dialect().locking();
    let hold = sql(format!(
        "select bytes from quarantine_usage where source = ''{locking}"
    ));
    tx.fetch_one(hold).await?;
    let rows = tx.fetch_all(sql("select source, bytes from quarantine_usage"));
    let rows = rows.await?;
    rows.iter()
        .map(|row| Ok((row.text("source")?, row.int("bytes")?)))
        .collect()
}

fn fits(bytes: i64, bound: u64) -> bool {
    u64::try_from(bytes).is_ok_and(|bytes| bytes <= bound)
}
