//! Which deliveries are known, on SQLite.
//!
//! The keys of deliveries are random. In one b-tree of all keys, each event has a page
//! of its own written, which is as much again as the event itself. So a delivery is
//! appended to `dedup_log`, and its key's place in order is noted in `dedup_keys` later:
//! when many have gathered, all of them from the lowest key to the highest, a slice with
//! every batch, so that a page is written once for all that belong into it.
//!
//! Where in the log the keys are that are not noted yet, [`Recent`] knows, which belongs
//! to the one writer. A look-up asks both. What decides is always a row of the log;
//! `Recent` changes only when the transaction has been committed, and where nobody knows
//! whether it was, it is compared with the log before anything else. To note a key twice
//! changes nothing, so that a pass that was interrupted begins anew.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::event::DedupKey;

use super::super::rows::{Kind, ManyRows};
use super::super::sql::{Row, Value, sql};
use super::super::tx::Tx;
use super::super::{Store, StoreError};

/// Rows of the log read at once at a start.
const PAGE: u32 = 4096;
/// Keys noted for each that is appended: a pass ends long before as many have gathered
/// as made it begin.
const NOTED_FOR_ONE: usize = 2;
/// Transactions' worth of keys that are removed in one order.
const GATHERED: u32 = 64;

/// The first half of a key, as a number that sorts like it.
type Head = u64;
/// A row of the log, found by its key.
type Place = (Head, i64);

/// The newest deliveries: where in the log each key is that is not in `dedup_keys`.
pub(in super::super) struct Recent {
    places: BTreeSet<Place>,
    /// The highest number in the log.
    last: i64,
    /// Up to which every row of the log is in `dedup_keys`.
    merged: i64,
    /// What is being noted in `dedup_keys`.
    pass: Option<Pass>,
    /// A pass begins when there are so many.
    merge_from: usize,
    /// Whether the database may hold something else.
    is_doubted: bool,
}

/// One way through all keys.
#[derive(Clone, Copy)]
struct Pass {
    /// The end of the log when it began.
    mark: i64,
    /// Noted up to here.
    after: Place,
}

/// What a transaction changes, once it is committed.
pub(in super::super) struct Change {
    appended: Vec<Place>,
    noted: Vec<Place>,
    pass: Option<Pass>,
    merged: i64,
}

/// A row to be appended to the log.
pub(super) struct Seen<'a> {
    pub(super) source: &'a str,
    pub(super) key: DedupKey,
    pub(super) body_sha256: &'a [u8; 32],
    pub(super) event: &'a [u8],
    pub(super) expires_ms: i64,
}

/// The statements of deduplication on SQLite.
pub(in super::super) struct Statements {
    by_head: ManyRows,
    by_seq: ManyRows,
    append: ManyRows,
    note: ManyRows,
    forget_keys: ManyRows,
    forget: ManyRows,
}

impl Statements {
    pub(in super::super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            // `cross join` keeps the few wanted rows on the outside: one probe each.
            by_head: ManyRows::new(
                "with wanted (head, source) as (",
                &[BYTES, TEXT],
                ") select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms from wanted w \
                 cross join dedup_keys k on k.head = w.head and k.source = w.source \
                 cross join dedup_log d on d.seq = k.seq",
            ),
            by_seq: ManyRows::new(
                "with wanted (seq) as (",
                &[INT],
                ") select d.source, d.key, d.body_sha256, d.event_id, d.expires_ms from wanted w \
                 cross join dedup_log d on d.seq = w.seq",
            ),
            append: ManyRows::new(
                "insert into dedup_log (seq, source, key, body_sha256, event_id, expires_ms)",
                &[INT, TEXT, BYTES, BYTES, BYTES, INT],
                "",
            ),
            // What has been forgotten meanwhile is not in the log, and is not noted.
            note: ManyRows::new(
                "with wanted (seq) as (",
                &[INT],
                ") insert or ignore into dedup_keys (head, source, seq) \
                 select substr(d.key, 1, 8), d.source, d.seq from wanted w \
                 cross join dedup_log d on d.seq = w.seq",
            ),
            forget_keys: ManyRows::new(
                "with wanted (seq) as (",
                &[INT],
                ") delete from dedup_keys where (head, source, seq) in \
                 (select substr(d.key, 1, 8), d.source, d.seq from wanted w \
                 cross join dedup_log d on d.seq = w.seq)",
            ),
            forget: ManyRows::new(
                "with wanted (seq) as (",
                &[INT],
                ") delete from dedup_log where seq in (select seq from wanted)",
            ),
        }
    }

    /// The rows of the log that may have these keys: those of other keys among them.
    pub(super) async fn find(
        &self,
        tx: &mut Tx,
        recent: &Recent,
        wanted: &[(&str, DedupKey)],
    ) -> Result<Vec<Row>, StoreError> {
        let heads = wanted
            .iter()
            .map(|(source, key)| [Value::from(&key.as_bytes()[..8]), (*source).into()]);
        let mut rows = self.by_head.with(heads).fetch_all(tx).await?;
        let seqs = wanted
            .iter()
            .flat_map(|(_, key)| recent.with_head(head(key)));
        let seqs = seqs.map(|seq| [seq.into()]);
        rows.extend(self.by_seq.with(seqs).fetch_all(tx).await?);
        Ok(rows)
    }

    /// Appends rows to the log, and notes where some of the ones before them stand.
    pub(super) async fn append(
        &self,
        tx: &mut Tx,
        recent: &Recent,
        seen: &[Seen<'_>],
    ) -> Result<Change, StoreError> {
        let numbered = || (recent.last + 1..).zip(seen);
        let rows = numbered().map(|(seq, one)| {
            [
                seq.into(),
                one.source.into(),
                one.key.as_bytes().to_vec().into(),
                one.body_sha256.as_slice().into(),
                one.event.into(),
                one.expires_ms.into(),
            ]
        });
        self.append.with(rows).execute(tx).await?;
        let mut change = recent.next_slice(seen.len());
        let noted = change.noted.iter().map(|(_, seq)| [(*seq).into()]);
        self.note.with(noted).execute(tx).await?;
        if change.merged != recent.merged {
            let mark = sql("update dedup_merged set seq = $1").bind(change.merged);
            tx.execute(mark).await?;
        }
        change.appended = numbered().map(|(seq, one)| (head(&one.key), seq)).collect();
        Ok(change)
    }
}

impl Recent {
    /// Knows nothing yet. A pass begins when it knows `merge_from` deliveries.
    pub(in super::super) fn new(merge_from: usize) -> Self {
        Self {
            places: BTreeSet::new(),
            last: 0,
            merged: 0,
            pass: None,
            merge_from,
            is_doubted: true,
        }
    }

    /// A transaction failed: nobody knows whether it was committed.
    pub(in super::super) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Takes over what the database holds, where that is in doubt.
    pub(in super::super) async fn catch_up(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        if !self.is_doubted {
            return Ok(());
        }
        let merged = tx.fetch_one(sql("select seq from dedup_merged")).await?;
        let merged = merged.int("seq")?;
        self.places.retain(|(_, seq)| *seq > merged);
        self.merged = merged;
        self.last = self.last.max(merged);
        self.pass = None;
        loop {
            let newer = sql("select seq, key from dedup_log where seq > $1 order by seq limit $2");
            let rows = tx.fetch_all(newer.bind(self.last).bind(PAGE)).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                self.last = row.int("seq")?;
                let key = DedupKey::from_bytes(&row.bytes("key")?).ok_or_else(|| {
                    super::super::damaged("a delivery's key has not sixteen bytes")
                })?;
                self.places.insert((head(&key), self.last));
            }
        }
        self.is_doubted = false;
        Ok(())
    }

    /// What was changed is committed.
    pub(in super::super) fn accept(&mut self, change: Change) {
        for place in &change.noted {
            self.places.remove(place);
        }
        if let Some((_, seq)) = change.appended.last() {
            self.last = *seq;
        }
        self.places.extend(change.appended);
        self.pass = change.pass;
        self.merged = change.merged;
    }

    /// The rows of the log whose keys begin like this.
    fn with_head(&self, head: Head) -> impl Iterator<Item = i64> {
        let of_head = self.places.range((head, i64::MIN)..=(head, i64::MAX));
        of_head.map(|(_, seq)| *seq)
    }

    /// What is to be noted beside so many new rows.
    fn next_slice(&self, appended: usize) -> Change {
        let nothing = Change {
            appended: Vec::new(),
            noted: Vec::new(),
            pass: self.pass,
            merged: self.merged,
        };
        let is_due = self.places.len() >= self.merge_from;
        let begun = is_due.then_some(Pass {
            mark: self.last,
            after: (Head::MIN, i64::MIN),
        });
        let Some(pass) = self.pass.or(begun).filter(|_| appended > 0) else {
            return nothing;
        };
        let room = appended * NOTED_FOR_ONE;
        let ahead = (Bound::Excluded(pass.after), Bound::Unbounded);
        let noted: Vec<Place> = self.places.range(ahead).take(room).copied().collect();
        match noted.last() {
            Some(last) if noted.len() == room => Change {
                pass: Some(Pass {
                    after: *last,
                    ..pass
                }),
                noted,
                ..nothing
            },
            Some(_) | None => Change {
                noted,
                pass: None,
                merged: pass.mark,
                ..nothing
            },
        }
    }
}

fn head(key: &DedupKey) -> Head {
    let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
    Head::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Store {
    /// Forgets deliveries whose window is over, `limit` rows to a transaction; returns
    /// how many. The keys go first, in their order; a row that has lost its key is over
    /// all the same.
    pub(in super::super) async fn forget_on_sqlite(&self, limit: u32) -> Result<u64, StoreError> {
        let over = sql(
            "select seq, key from dedup_log where expires_ms <= $1 order by expires_ms limit $2",
        );
        let over = over.bind(self.now()).bind(limit.saturating_mul(GATHERED));
        let rows = self.run_readers().fetch_all(over).await?;
        let mut places = Vec::with_capacity(rows.len());
        for row in rows {
            places.push((row.bytes("key")?, row.int("seq")?));
        }
        places.sort_unstable();
        let by_key = places.iter().map(|(_, seq)| *seq).collect::<Vec<_>>();
        let mut by_seq = by_key.clone();
        by_seq.sort_unstable();
        let slice = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        for seqs in by_key.chunks(slice) {
            self.forget_keys(seqs, false).await?;
        }
        let mut forgotten = 0;
        for seqs in by_seq.chunks(slice) {
            forgotten += self.forget_keys(seqs, true).await?;
        }
        Ok(forgotten)
    }

    /// Removes the keys of rows from `dedup_keys`, and, if the rows go too, them.
    async fn forget_keys(&self, seqs: &[i64], with_rows: bool) -> Result<u64, StoreError> {
        let (statements, seqs) = (Arc::clone(&self.0.statements), seqs.to_vec());
        self.write(move |tx| {
            let (statements, seqs) = (Arc::clone(&statements), seqs.clone());
            Box::pin(async move {
                let of = &statements.dedup;
                let rows = || seqs.iter().map(|seq| [(*seq).into()]);
                // With the rows once more: they may have been noted meanwhile.
                of.forget_keys.with(rows()).execute(tx).await?;
                if with_rows {
                    of.forget.with(rows()).execute(tx).await
                } else {
                    Ok(0)
                }
            })
        })
        .await
    }
}
