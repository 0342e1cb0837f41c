//! Runs that waited too long: `max_pending_age`.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{OrderKey, Outcome, PluginId, RunId, RunState};

use super::history::{Over, Tried};
use super::order;
use super::sql::{Row, sql};
use super::tx::Tx;
use super::{Store, StoreError};

/// Runs ended in one transaction.
const SLICE: u32 = 250;
const WHY: &str = "its event is older than `max_pending_age`";

/// How runs end that no host executes.
pub(super) struct Ending {
    pub(super) state: RunState,
    pub(super) outcome: Outcome,
    pub(super) why: &'static str,
    /// Whether it is an attempt, one that the policy does not count.
    pub(super) is_attempt: bool,
}

const EXPIRED: Ending = Ending {
    state: RunState::Dead,
    outcome: Outcome::Expired,
    why: WHY,
    is_attempt: true,
};

/// What became of runs that waited too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many are dead now.
    pub runs: usize,
    /// Whose they were: those behind them may go on.
    pub plugins: Vec<PluginId>,
}

impl Store {
    /// Ends a slice of the runs whose event was received before a time and which no
    /// host executes: call again while there are any.
    ///
    /// # Errors
    /// [`StoreError`] if none was ended.
    pub async fn expire(&self, received_before: Timestamp) -> Result<Expired, StoreError> {
        let bound = EventId::lower_bound(received_before);
        // Index `runs_by_event`.
        let old = sql(
            "select run_id, plugin_id, order_key from runs where event_id < $1 and state <> 1 \
             order by event_id limit $2",
        );
        let old = old.bind(bound.as_bytes()).bind(SLICE);
        let rows = self.run_readers().fetch_all(old).await?;
        if rows.is_empty() {
            return Ok(Expired::default());
        }
        let mut ids = Vec::with_capacity(rows.len());
        let mut keys = Vec::new();
        for row in &rows {
            ids.push(row.int("run_id")?);
            if let Some(key) = key_of(row)? {
                keys.push((PluginId(row.int("plugin_id")?), key));
            }
        }
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        self.write(move |tx| {
            let (statements, ids, keys) = (Arc::clone(&statements), ids.clone(), keys.clone());
            Box::pin(async move {
                order::lock(tx, keys.into_iter(), std::iter::empty()).await?;
                let over = still_waiting(tx, ids, &EXPIRED).await?;
                let (history, now) = (&statements.history, tx.now);
                let tried = over.iter().map(|one| tried(one, now));
                history.record_attempts(tx, tried).await?;
                history.bury(tx, &statements.order, epoch, &over).await?;
                let mut plugins: Vec<PluginId> = over.iter().map(|one| one.plugin).collect();
                plugins.sort_unstable();
                plugins.dedup();
                Ok(Expired {
                    runs: over.len(),
                    plugins,
                })
            })
        })
        .await
    }
}

/// Those of these runs that nobody has claimed meanwhile, locked.
pub(super) async fn still_waiting(
    tx: &mut Tx,
    ids: Vec<i64>,
    ending: &Ending,
) -> Result<Vec<Over<'static>>, StoreError> {
    let locking = match tx.dialect() {
        super::sql::Dialect::Sqlite => "",
        super::sql::Dialect::Postgres => " for update skip locked",
    };
    let these = tx.dialect().is_one_of("run_id", 1);
    let waiting = sql(format!(
        "select run_id, event_id, plugin_id, order_key, attempt, free_attempts, lease_no, created_ms \
         from runs where {these} and state <> 1 order by run_id{locking}"
    ));
    let rows = tx.fetch_all(waiting.bind(ids)).await?;
    rows.iter().map(|row| over(row, ending)).collect()
}

/// The run's end.
fn over(row: &Row, ending: &Ending) -> Result<Over<'static>, StoreError> {
    let more = u32::from(ending.is_attempt);
    Ok(Over {
        run: RunId(row.int("run_id")?),
        event: row.event("event_id")?,
        plugin: PluginId(row.int("plugin_id")?),
        order: key_of(row)?,
        state: ending.state,
        attempt: row.count("attempt")?.saturating_add(more),
        free_attempts: row.count("free_attempts")?.saturating_add(more),
        max_attempts: 0,
        lease_no: row.int("lease_no")?,
        created_at: row.time("created_ms")?,
        outcome: ending.outcome,
        summary: None,
        data: None,
        error: Some(ending.why),
    })
}

fn tried(over: &Over<'_>, now: Timestamp) -> Tried<'static> {
    let attempt = (over.run, over.attempt);
    Tried::without_record(attempt, "", now, Outcome::Expired, Some(WHY))
}

pub(super) fn key_of(row: &Row) -> Result<Option<OrderKey>, StoreError> {
    let key = row.bytes_or_none("order_key")?;
    Ok(key.as_deref().and_then(OrderKey::from_bytes))
}
