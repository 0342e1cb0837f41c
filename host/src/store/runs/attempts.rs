//! Reads the attempts of runs, and the calls that were recorded of them.

use std::collections::HashMap;

use crate::run::RunId;
use crate::store::sql::{Dialect, Row, sql};
use crate::store::{Store, StoreError, damaged};

use super::{OVERLAP, RunRow};

/// One try of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// Which one, from 1.
    pub n: i64,
    /// The component's sha256.
    pub digest: Option<Vec<u8>>,
    /// The host that executed it.
    pub host: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// From start to end.
    pub duration_us: i64,
    /// CPU time.
    pub cpu_us: i64,
    /// Largest memory.
    pub memory_bytes: i64,
    /// Bytes that it sent and received.
    pub egress_bytes: i64,
    /// Time in calls of the host.
    pub calls_us: i64,
    /// How it ended.
    pub outcome: String,
    /// What went wrong.
    pub error: Option<String>,
    /// JSON: `[[at_ms, level, message, [[name, value]]]]`.
    pub logs: String,
    /// Its recorded host calls as JSON text, if they are kept and not too long for a
    /// list: [`Store::journal`] has them at any length.
    pub journal: Option<String>,
    /// How long they are where they are kept, packed; 0 if they are not.
    pub journal_bytes: i64,
}

/// Longest packed journal that is read together with its run.
const LISTED_JOURNAL_MAX: i64 = 256 << 10;

impl Store {
    /// The attempts of a run, first to last.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRow>, StoreError> {
        let attempts = sql(
            "select n, digest, host, started_ms, duration_us, cpu_us, memory_bytes, outcome, error, logs, \
             egress_bytes, calls_us, coalesce(cast(length(journal) as bigint), 0) as journal_bytes, \
             case when length(journal) <= $2 then journal end as journal \
             from attempts where run_id = $1 order by n",
        );
        let attempts = attempts.bind(run.0).bind(LISTED_JOURNAL_MAX);
        let rows = self.readers().fetch_all(attempts).await?;
        rows.iter().map(AttemptRow::read).collect()
    }

    /// Notes in each run which version made the last of its attempts that has ended.
    pub(super) async fn with_digests(
        &self,
        mut runs: Vec<RunRow>,
    ) -> Result<Vec<RunRow>, StoreError> {
        let Some(oldest) = runs.iter().map(|run| run.created_at).min() else {
            return Ok(runs);
        };
        let dialect = self.readers().dialect();
        let are_theirs = dialect.is_one_of("a.run_id", 1);
        let ids: Vec<i64> = runs.iter().map(|run| run.id.0).collect();
        let last = match dialect {
            Dialect::Sqlite => sql(format!(
                "select a.run_id, a.digest from attempts a where {are_theirs} \
                 and a.n = (select max(n) from attempts where run_id = a.run_id)"
            ))
            .bind(ids),
            // Only in the partitions of the days since the oldest of them was stored.
            Dialect::Postgres => sql(format!(
                "select distinct on (a.run_id) a.run_id, a.digest from attempts a \
                 where {are_theirs} and a.ended_ms >= $2 order by a.run_id, a.n desc"
            ))
            .bind(ids)
            .bind(oldest.minus(OVERLAP)),
        };
        let mut digests = HashMap::with_capacity(runs.len());
        for row in self.readers().fetch_all(last).await? {
            digests.insert(RunId(row.int("run_id")?), row.bytes_or_none("digest")?);
        }
        for run in &mut runs {
            run.digest = digests.remove(&run.id).flatten();
        }
        Ok(runs)
    }

    /// The recorded host calls of one attempt as JSON text, if they are kept.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn journal(&self, run: RunId, n: u32) -> Result<Option<String>, StoreError> {
        let journal = sql("select journal from attempts where run_id = $1 and n = $2");
        let journal = journal.bind(run.0).bind(n);
        let row = self.readers().fetch_optional(journal).await?;
        let packed = row.map(|row| row.bytes_or_none("journal")).transpose()?;
        packed.flatten().as_deref().map(unpacked).transpose()
    }
}

/// The text of a packed journal.
fn unpacked(packed: &[u8]) -> Result<String, StoreError> {
    lz4_flex::block::decompress_size_prepended(packed)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| damaged("a journal cannot be unpacked"))
}

impl AttemptRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            n: row.int("n")?,
            digest: row.bytes_or_none("digest")?,
            host: row.text("host")?,
            started_ms: row.int("started_ms")?,
            duration_us: row.int("duration_us")?,
            cpu_us: row.int("cpu_us")?,
            memory_bytes: row.int("memory_bytes")?,
            outcome: row.text("outcome")?,
            error: row.text_or_none("error")?,
            logs: row.text("logs")?,
            egress_bytes: row.int("egress_bytes")?,
            calls_us: row.int("calls_us")?,
            journal: row
                .bytes_or_none("journal")?
                .as_deref()
                .map(unpacked)
                .transpose()?,
            journal_bytes: row.int("journal_bytes")?,
        })
    }
}
