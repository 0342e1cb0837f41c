//! The end of runs: they leave the queue for history, in one place for all who end
//! them, together with what follows for their ordering keys.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{Epoch, OrderKey, Outcome, PluginId, RunId, RunState};

use super::StoreError;
use super::order;
use super::rows::{Kind, ManyRows};
use super::tx::Tx;

/// A run that is over.
pub(super) struct Over<'a> {
    pub(super) run: RunId,
    pub(super) event: EventId,
    pub(super) plugin: PluginId,
    pub(super) order: Option<OrderKey>,
    /// `Succeeded`, `Dead` or `Cancelled`.
    pub(super) state: RunState,
    pub(super) attempt: u32,
    pub(super) free_attempts: u32,
    /// 0: whatever its plugin's policy says.
    pub(super) max_attempts: u32,
    pub(super) lease_no: i64,
    pub(super) created_at: Timestamp,
    pub(super) outcome: Outcome,
    pub(super) summary: Option<&'a str>,
    pub(super) data: Option<&'a str>,
    pub(super) error: Option<&'a str>,
}

/// An attempt that is over.
pub(super) struct Tried<'a> {
    pub(super) run: RunId,
    pub(super) n: u32,
    pub(super) digest: Option<&'a [u8]>,
    pub(super) host: &'a str,
    pub(super) started_at: Timestamp,
    pub(super) duration_us: i64,
    pub(super) cpu_us: i64,
    pub(super) memory_bytes: i64,
    pub(super) egress_bytes: i64,
    pub(super) calls_us: i64,
    pub(super) outcome: Outcome,
    pub(super) error: Option<&'a str>,
    /// JSON.
    pub(super) logs: &'a str,
    /// Packed.
    pub(super) journal: Option<&'a [u8]>,
}

impl<'a> Tried<'a> {
    /// An attempt of which nothing is known but that it was and how it ended.
    pub(super) fn without_record(
        (run, n): (RunId, u32),
        host: &'a str,
        at: Timestamp,
        outcome: Outcome,
        error: Option<&'a str>,
    ) -> Self {
        Self {
            run,
            n,
            digest: None,
            host,
            started_at: at,
            duration_us: 0,
            cpu_us: 0,
            memory_bytes: 0,
            egress_bytes: 0,
            calls_us: 0,
            outcome,
            error,
            logs: "[]",
            journal: None,
        }
    }
}

/// The statements of ends.
pub(super) struct Statements {
    delete: ManyRows,
    insert: ManyRows,
    attempts: ManyRows,
    count: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        const INT: Kind = Kind::Int;
        const TEXT: Kind = Kind::Text;
        const BYTES: Kind = Kind::Bytes;
        Self {
            delete: ManyRows::new(
                "with wanted (run_id) as (",
                &[INT],
                ") delete from runs where run_id in (select run_id from wanted)",
            ),
            insert: ManyRows::new(
                "insert into history (run_id, event_id, plugin_id, state, attempt, free_attempts, max_attempts, \
                 lease_no, created_ms, finished_ms, outcome, summary, data, error, order_key)",
                &[
                    INT, BYTES, INT, TEXT, INT, INT, INT, INT, INT, INT, TEXT, TEXT, TEXT, TEXT,
                    BYTES,
                ],
                "",
            ),
            attempts: ManyRows::new(
                "insert into attempts (run_id, n, ended_ms, digest, host, started_ms, duration_us, cpu_us, \
                 memory_bytes, outcome, error, logs, egress_bytes, calls_us, journal)",
                &[
                    INT, INT, INT, BYTES, TEXT, INT, INT, INT, INT, TEXT, TEXT, TEXT, INT, INT,
                    BYTES,
                ],
                "",
            ),
            count: ManyRows::new(
                "with counted (plugin_id, epoch, n_succeeded, n_dead, n_cancelled) as (",
                &[INT, INT, INT, INT, INT],
                ") insert into plugin_counts (plugin_id, epoch, n_succeeded, n_dead, n_cancelled) \
                 select * from counted where true on conflict (plugin_id, epoch) do update set \
                 n_succeeded = plugin_counts.n_succeeded + excluded.n_succeeded, \
                 n_dead = plugin_counts.n_dead + excluded.n_dead, \
                 n_cancelled = plugin_counts.n_cancelled + excluded.n_cancelled",
            ),
        }
    }

    /// Records attempts.
    pub(super) async fn record_attempts<'a>(
        &self,
        tx: &mut Tx,
        tried: impl Iterator<Item = Tried<'a>>,
    ) -> Result<(), StoreError> {
        let now = tx.now;
        let rows = tried.map(|one| {
            [
                one.run.0.into(),
                one.n.into(),
                now.into(),
                one.digest.into(),
                one.host.into(),
                one.started_at.into(),
                one.duration_us.into(),
                one.cpu_us.into(),
                one.memory_bytes.into(),
                one.outcome.as_str().into(),
                one.error.into(),
                one.logs.into(),
                one.egress_bytes.into(),
                one.calls_us.into(),
                one.journal.into(),
            ]
        });
        self.attempts.with(rows).execute(tx).await?;
        Ok(())
    }

    /// Moves live runs to history, counts them, and lets those behind them go on.
    /// The caller holds the locks of their ordering keys.
    pub(super) async fn bury(
        &self,
        tx: &mut Tx,
        orders: &order::Statements,
        counted_by: Epoch,
        over: &[Over<'_>],
    ) -> Result<(), StoreError> {
        if over.is_empty() {
            return Ok(());
        }
        let ids = over.iter().map(|one| [one.run.0.into()]);
        self.delete.with(ids).execute(tx).await?;
        let now = tx.now;
        let rows = over.iter().map(|one| {
            [
                one.run.0.into(),
                one.event.as_bytes().into(),
                one.plugin.0.into(),
                one.state.as_str().into(),
                one.attempt.into(),
                one.free_attempts.into(),
                one.max_attempts.into(),
                one.lease_no.into(),
                one.created_at.into(),
                now.into(),
                one.outcome.as_str().into(),
                one.summary.into(),
                one.data.into(),
                one.error.into(),
                one.order
                    .as_ref()
                    .map(|key| key.as_bytes().as_slice())
                    .into(),
            ]
        });
        self.insert.with(rows).execute(tx).await?;
        self.count(
            tx,
            counted_by,
            over.iter().map(|one| (one.plugin, one.state, 1)),
        )
        .await?;
        let dead: Vec<(order::Key, RunId)> = over
            .iter()
            .filter(|one| one.state == RunState::Dead)
            .filter_map(|one| Some(((one.plugin, one.order?), one.run)))
            .collect();
        orders.block(tx, &dead).await?;
        let keys: Vec<order::Key> = over
            .iter()
            .filter_map(|one| Some((one.plugin, one.order?)))
            .collect();
        orders.promote(tx, &keys).await
    }

    /// Adds to the plugins' counts of finished runs.
    pub(super) async fn count(
        &self,
        tx: &mut Tx,
        counted_by: Epoch,
        ended: impl Iterator<Item = (PluginId, RunState, i64)>,
    ) -> Result<(), StoreError> {
        let mut counts: BTreeMap<PluginId, [i64; 3]> = BTreeMap::new();
        for (plugin, state, by) in ended {
            let place = match state {
                RunState::Succeeded => 0,
                RunState::Dead => 1,
                RunState::Cancelled => 2,
                _ => continue,
            };
            counts.entry(plugin).or_default()[place] += by;
        }
        let rows = counts
            .into_iter()
            .map(|(plugin, [succeeded, dead, cancelled])| {
                [
                    plugin.0.into(),
                    counted_by.0.into(),
                    succeeded.into(),
                    dead.into(),
                    cancelled.into(),
                ]
            });
        self.count.with(rows).execute(tx).await?;
        Ok(())
    }
}
