//! The queue's other end: what an attempt did is recorded, all of it or nothing.
//!
//! Every change to a claimed run asks for its fence; a run whose fence no longer
//! holds is somebody else's, and its result is dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::kv::KvEffects;
use crate::retry::Next;
use crate::run::{AttemptRecord, Claimed, LogLine, Outcome, RunId, RunState};

use super::history::{Over, Tried};
use super::ingest::NewEvent;
use super::order;
use super::rows::{Kind, ManyRows};
use super::state::{self, Session, Unwritable};
use super::tx::Tx;
use super::writer::Work;
use super::{Engine, Store, StoreError};

/// An attempt that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What was claimed.
    pub claimed: Claimed,
    /// Which version of the plugin ran.
    pub digest: [u8; 32],
    /// The host's name.
    pub host: Arc<str>,
    /// What it cost and logged.
    pub record: AttemptRecord,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in a sentence.
    pub error: Option<String>,
    /// One line, of a success.
    pub summary: Option<String>,
    /// JSON text, of a success.
    pub data: Option<String>,
    /// What follows.
    pub next: Next,
    /// What follows instead if the plugin's quota has no room for what it wrote.
    pub next_over_quota: Next,
    /// Attempts the run has in all, as things stand.
    pub max_attempts: u32,
    /// What it read and wrote; applied only with a success.
    pub effects: KvEffects,
    /// Events that follow from it; stored only with a success.
    pub emitted: Vec<NewEvent>,
}

/// What became of a finished attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was recorded, with this outcome and consequence: not always those it
    /// came with, since its writes may not have been possible.
    Recorded(Outcome, Next),
    /// Somebody else has the run; nothing was changed.
    Fenced,
}

impl Store {
    /// Records an attempt's end with all its effects, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was recorded: it may be tried again.
    pub async fn finish(&self, finished: Arc<Finished>) -> Result<Settled, StoreError> {
        let logs = state::json(
            &finished
                .record
                .logs
                .iter()
                .map(log_json)
                .collect::<Vec<_>>(),
        );
        let journal = finished.record.journal.as_deref();
        let journal = journal.map(|text| lz4_flex::block::compress_prepend_size(text.as_bytes()));
        let (plugin, order) = (finished.claimed.plugin, finished.claimed.order);
        let finish = Box::new(Finish {
            finished,
            logs,
            journal,
        });
        let settled = self
            .0
            .writer()
            .submit(|reply| Work::Finish(finish, reply))
            .await;
        if let (Engine::Postgres(engine), Some(_)) = (&self.0.engine, order) {
            // The one behind it may be ready now.
            engine.floors().stale(plugin);
        }
        settled
    }
}

/// A finished attempt with its log in the form in which it is kept.
pub(super) struct Finish {
    finished: Arc<Finished>,
    logs: String,
    journal: Option<Vec<u8>>,
}

/// A finished attempt whose fence holds, and what is recorded of it.
struct Held<'a> {
    finish: &'a Finish,
    outcome: Outcome,
    next: Next,
    error: Option<String>,
}

/// The statements that record.
pub(super) struct Statements {
    held: ManyRows,
    put_back: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            held: ManyRows::new(
                "with wanted (run_id, owner, lease_no) as (",
                &[Kind::Int, Kind::Int, Kind::Int],
                ") select r.run_id, r.lease_no from wanted w cross join runs r on r.run_id = w.run_id \
                 and r.owner = w.owner and r.lease_no = w.lease_no where r.state = 1",
            )
            // In order of ids: nobody who locks several waits for another who does.
            .locking(" order by r.run_id for update of r"),
            put_back: ManyRows::new(
                "with wanted (run_id, due_ms, free) as (",
                &[Kind::Int, Kind::Int, Kind::Int],
                ") update runs set state = 0, owner = null, deadline_ms = null, deaths = 0, is_executing = 0, \
                 due_ms = w.due_ms, free_attempts = runs.free_attempts + w.free \
                 from wanted w where runs.run_id = w.run_id",
            ),
        }
    }
}

impl super::Statements {
    /// Records finished attempts within a transaction.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        finishes: &[&Finish],
    ) -> Result<Vec<Settled>, StoreError> {
        let Some(first) = finishes.first() else {
            return Ok(Vec::new());
        };
        let counted_by = first.finished.claimed.fence.owner;
        let all = || finishes.iter().map(|finish| &*finish.finished);
        let ended = all().filter_map(|finished| {
            let is_last = final_state(finished.next).is_some();
            let key = finished.claimed.order.filter(|_| is_last)?;
            Some((finished.claimed.plugin, key))
        });
        let mut started = Vec::new();
        for new in all().flat_map(|finished| &finished.emitted) {
            let keys = new.runs().iter();
            started.extend(keys.filter_map(|run| Some((run.plugin, run.order?))));
        }
        let effects = || {
            all()
                .filter(|finished| finished.next == Next::Succeeded && !finished.effects.is_empty())
        };
        let states = effects().map(|finished| finished.claimed.plugin);
        order::lock(tx, ended.chain(started), states).await?;
        let fenced_in = self.held(tx, finishes).await?;
        let mut session = Session::new(&self.state, tx.now);
        let touched = effects().map(|finished| (finished.claimed.plugin, &finished.effects));
        session.prepare(tx, touched).await?;
        let mut settled = Vec::with_capacity(finishes.len());
        let mut held = Vec::with_capacity(finishes.len());
        for finish in finishes {
            let fence = finish.finished.claimed.fence;
            if fenced_in.contains(&(fence.run, fence.lease_no)) {
                let one = settle(tx, &mut session, finish).await?;
                settled.push(Settled::Recorded(one.outcome, one.next));
                held.push(one);
            } else {
                settled.push(Settled::Fenced);
            }
        }
        session.flush(tx).await?;
        self.history
            .record_attempts(tx, held.iter().map(tried))
            .await?;
        let over: Vec<Over<'_>> = held.iter().filter_map(over).collect();
        self.history
            .bury(tx, &self.order, counted_by, &over)
            .await?;
        self.put_back(tx, &held).await?;
        self.store_emitted(tx, &held).await?;
        Ok(settled)
    }

    /// The runs whose fence holds.
    async fn held(
        &self,
        tx: &mut Tx,
        finishes: &[&Finish],
    ) -> Result<HashSet<(RunId, i64)>, StoreError> {
        let fences = finishes.iter().map(|finish| finish.finished.claimed.fence);
        let rows = fences.map(|fence| {
            [
                fence.run.0.into(),
                fence.owner.0.into(),
                fence.lease_no.into(),
            ]
        });
        let rows = self.finish.held.with(rows).fetch_all(tx).await?;
        rows.iter()
            .map(|row| Ok((RunId(row.int("run_id")?), row.int("lease_no")?)))
            .collect()
    }

    /// Stores the events that follow from successes, with their runs.
    async fn store_emitted(&self, tx: &mut Tx, held: &[Held<'_>]) -> Result<(), StoreError> {
        let succeeded = held.iter().filter(|one| one.next == Next::Succeeded);
        let emitted = succeeded.flat_map(|one| &one.finish.finished.emitted);
        let events: Vec<(&NewEvent, bool)> = emitted.map(|new| (new, false)).collect();
        self.store_events(tx, &events).await
    }

    /// Makes runs ready again that are to be tried once more.
    async fn put_back(&self, tx: &mut Tx, held: &[Held<'_>]) -> Result<(), StoreError> {
        let now = tx.now;
        let rows = held.iter().filter_map(|one| {
            let claimed = &one.finish.finished.claimed;
            let (due, free) = match one.next {
                Next::RetryAt(due) => (due, 0),
                Next::Again => (now.plus(pause(claimed.free_attempts)), 1),
                Next::Succeeded | Next::Dead | Next::Cancelled => return None,
            };
            Some([
                claimed.fence.run.0.into(),
                due.into(),
                i64::from(free).into(),
            ])
        });
        self.finish.put_back.with(rows).execute(tx).await?;
        Ok(())
    }
}

/// What is recorded of an attempt.
fn tried<'a>(one: &'a Held<'_>) -> Tried<'a> {
    let Finished {
        claimed,
        digest,
        host,
        record,
        ..
    } = &*one.finish.finished;
    Tried {
        run: claimed.fence.run,
        n: claimed.attempt,
        digest: Some(digest.as_slice()),
        host,
        started_at: record.started_at,
        duration_us: record.duration_us,
        cpu_us: record.cpu_us,
        memory_bytes: record.memory_bytes,
        egress_bytes: record.egress_bytes,
        calls_us: record.calls_us,
        outcome: one.outcome,
        error: one.error.as_deref(),
        logs: &one.finish.logs,
        journal: one.finish.journal.as_deref(),
    }
}

/// What is recorded of a run that is over with this attempt.
fn over<'a>(one: &'a Held<'_>) -> Option<Over<'a>> {
    let state = final_state(one.next)?;
    let Finished {
        claimed,
        max_attempts,
        summary,
        data,
        ..
    } = &*one.finish.finished;
    let is_success = state == RunState::Succeeded;
    Some(Over {
        run: claimed.fence.run,
        event: claimed.event,
        plugin: claimed.plugin,
        order: claimed.order,
        state,
        attempt: claimed.attempt,
        free_attempts: claimed.free_attempts,
        max_attempts: *max_attempts,
        lease_no: claimed.fence.lease_no,
        created_at: claimed.created_at,
        outcome: one.outcome,
        summary: summary.as_deref().filter(|_| is_success),
        data: data.as_deref().filter(|_| is_success),
        error: one.error.as_deref(),
    })
}

/// Applies a success's effects; where they are not possible, the attempt ends
/// otherwise and leaves none.
async fn settle<'a>(
    tx: &mut Tx,
    session: &mut Session<'_>,
    finish: &'a Finish,
) -> Result<Held<'a>, StoreError> {
    let Finished {
        claimed,
        outcome,
        next,
        next_over_quota,
        error,
        effects,
        ..
    } = &*finish.finished;
    let as_it_came = Held {
        finish,
        outcome: *outcome,
        next: *next,
        error: error.clone(),
    };
    if *next != Next::Succeeded {
        return Ok(as_it_came);
    }
    Ok(
        match session
            .apply(tx, claimed.plugin, claimed.fence.run, effects)
            .await?
        {
            Ok(()) => as_it_came,
            Err(Unwritable::Conflict(key)) => Held {
                finish,
                outcome: Outcome::Conflict,
                next: Next::Again,
                error: Some(format!(
                    "another run wrote `{key}` after this one had read it"
                )),
            },
            Err(Unwritable::Counter(error)) => Held {
                finish,
                outcome: Outcome::Permanent,
                next: Next::Dead,
                error: Some(error.to_string()),
            },
            Err(Unwritable::Quota(error)) => Held {
                finish,
                outcome: Outcome::Output,
                next: *next_over_quota,
                error: Some(error.to_string()),
            },
        },
    )
}

/// How long an attempt that does not count waits for its next: at first not at
/// all; but two runs that always meet must not meet at full speed.
fn pause(free_attempts: u32) -> Duration {
    match free_attempts.checked_sub(5) {
        None => Duration::ZERO,
        Some(more) => Duration::from_millis(10 << more.min(9)),
    }
}

fn final_state(next: Next) -> Option<RunState> {
    match next {
        Next::Succeeded => Some(RunState::Succeeded),
        Next::Dead => Some(RunState::Dead),
        Next::Cancelled => Some(RunState::Cancelled),
        Next::RetryAt(_) | Next::Again => None,
    }
}

fn log_json(line: &LogLine) -> serde_json::Value {
    serde_json::json!([line.at.millis(), line.level, line.message, line.fields])
}
