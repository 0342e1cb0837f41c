//! The queue's other end: what an attempt did is recorded, all of it or nothing.
//!
//! Every change to a claimed run asks for its fence; a run whose fence no longer
//! holds is somebody else's, and its result is dropped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::clock::Timestamp;
use crate::kv::KvEffects;
use crate::retry::Next;
use crate::run::{AttemptRecord, Claimed, LogLine, Outcome, PluginId, RunId, RunState};

use super::rows::ManyRows;
use super::state::{self, Session, Unwritable};
use super::writer::Work;
use super::{Store, StoreError};

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
    /// Attempts the run has in all, as things stand.
    pub max_attempts: u32,
    /// What it read and wrote; applied only with a success.
    pub effects: KvEffects,
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
        self.0
            .writer
            .submit(|reply| Work::Finish(Box::new(Finish { finished, logs }), reply))
            .await
    }
}

/// A finished attempt with its log in the form in which it is kept.
pub(super) struct Finish {
    finished: Arc<Finished>,
    logs: String,
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
    delete: ManyRows,
    history: ManyRows,
    attempts: ManyRows,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            held: ManyRows::new(
                "with wanted (run_id, owner, lease_no) as (values",
                "(?, ?, ?)",
                ") select r.run_id, r.lease_no from wanted w cross join runs r on r.run_id = w.run_id \
                 and r.owner = w.owner and r.lease_no = w.lease_no where r.state = 1",
            ),
            delete: ManyRows::new("delete from runs where run_id in (values", "(?)", ")"),
            history: ManyRows::new(
                "insert into history (run_id, event_id, plugin_id, state, attempt, free_attempts, max_attempts, lease_no, \
                 created_ms, finished_ms, outcome, summary, data, error) values",
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "",
            ),
            attempts: ManyRows::new(
                "insert or replace into attempts (run_id, n, digest, host, started_ms, duration_us, cpu_us, \
                 memory_bytes, outcome, error, logs) values",
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "",
            ),
        }
    }

    /// Records finished attempts within the writer's transaction.
    pub(super) async fn record(
        &self,
        tx: &mut SqliteConnection,
        state: &state::Statements,
        finishes: &[&Finish],
        now: Timestamp,
    ) -> Result<Vec<Settled>, StoreError> {
        if finishes.is_empty() {
            return Ok(Vec::new());
        }
        let fenced_in = self.held(tx, finishes).await?;
        let mut session = Session::new(state, now);
        let effects = finishes.iter().map(|finish| &finish.finished);
        let effects = effects.filter(|finished| finished.next == Next::Succeeded);
        let effects = effects.map(|finished| (finished.claimed.plugin, &finished.effects));
        session.prepare(tx, effects).await?;
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
        self.insert_attempts(tx, &held).await?;
        self.move_to_history(tx, &held, now).await?;
        for one in &held {
            put_back(tx, one, now).await?;
        }
        count(tx, &held).await?;
        Ok(settled)
    }

    /// The runs whose fence holds.
    async fn held(
        &self,
        tx: &mut SqliteConnection,
        finishes: &[&Finish],
    ) -> Result<HashSet<(RunId, i64)>, StoreError> {
        let mut held = HashSet::with_capacity(finishes.len());
        for (sql, piece) in self.held.split(finishes) {
            let mut query = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(sql));
            for finish in piece {
                let fence = finish.finished.claimed.fence;
                query = query
                    .bind(fence.run.0)
                    .bind(fence.owner.0)
                    .bind(fence.lease_no);
            }
            let rows = query.fetch_all(&mut *tx).await?;
            held.extend(
                rows.into_iter()
                    .map(|(run, lease_no)| (RunId(run), lease_no)),
            );
        }
        Ok(held)
    }

    async fn insert_attempts(
        &self,
        tx: &mut SqliteConnection,
        held: &[Held<'_>],
    ) -> Result<(), StoreError> {
        for (sql, piece) in self.attempts.split(held) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for one in piece {
                let Finished {
                    claimed,
                    digest,
                    host,
                    record,
                    ..
                } = &*one.finish.finished;
                query = query
                    .bind(claimed.fence.run.0)
                    .bind(claimed.attempt)
                    .bind(digest.as_slice())
                    .bind(&**host)
                    .bind(record.started_at.millis())
                    .bind(record.duration_us)
                    .bind(record.cpu_us)
                    .bind(record.memory_bytes)
                    .bind(one.outcome.as_str())
                    .bind(one.error.as_deref())
                    .bind(one.finish.logs.as_str());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn move_to_history(
        &self,
        tx: &mut SqliteConnection,
        held: &[Held<'_>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let over: Vec<(&Held<'_>, RunState)> = held
            .iter()
            .filter_map(|one| Some((one, final_state(one.next)?)))
            .collect();
        for (sql, piece) in self.delete.split(&over) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (one, _) in piece {
                query = query.bind(one.finish.finished.claimed.fence.run.0);
            }
            query.execute(&mut *tx).await?;
        }
        for (sql, piece) in self.history.split(&over) {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (one, state) in piece {
                let Finished {
                    claimed,
                    max_attempts,
                    summary,
                    data,
                    ..
                } = &*one.finish.finished;
                let is_success = *state == RunState::Succeeded;
                query = query
                    .bind(claimed.fence.run.0)
                    .bind(claimed.event.as_bytes())
                    .bind(claimed.plugin.0)
                    .bind(state.as_str())
                    .bind(claimed.attempt)
                    .bind(claimed.free_attempts)
                    .bind(*max_attempts)
                    .bind(claimed.fence.lease_no)
                    .bind(claimed.created_at.millis())
                    .bind(now.millis())
                    .bind(one.outcome.as_str())
                    .bind(summary.as_deref().filter(|_| is_success))
                    .bind(data.as_deref().filter(|_| is_success))
                    .bind(one.error.as_deref());
            }
            query.execute(&mut *tx).await?;
        }
        Ok(())
    }
}

/// Applies a success's effects; where they are not possible, the attempt ends
/// otherwise and leaves none.
async fn settle<'a>(
    tx: &mut SqliteConnection,
    session: &mut Session<'_>,
    finish: &'a Finish,
) -> Result<Held<'a>, StoreError> {
    let Finished {
        claimed,
        outcome,
        next,
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
        },
    )
}

/// Makes a run ready again that is to be tried once more.
async fn put_back(
    tx: &mut SqliteConnection,
    one: &Held<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (due, free) = match one.next {
        Next::RetryAt(due) => (due, 0),
        Next::Again => (
            now.plus(pause(one.finish.finished.claimed.free_attempts)),
            1,
        ),
        Next::Succeeded | Next::Dead | Next::Cancelled => return Ok(()),
    };
    sqlx::query(
        "update runs set state = 0, owner = null, due_ms = ?, free_attempts = free_attempts + ? where run_id = ?",
    )
    .bind(due.millis())
    .bind(free)
    .bind(one.finish.finished.claimed.fence.run.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// How long an attempt that does not count waits for its next: at first not at
/// all; but two runs that always meet must not meet at full speed.
fn pause(free_attempts: u32) -> Duration {
    match free_attempts.checked_sub(5) {
        None => Duration::ZERO,
        Some(more) => Duration::from_millis(10 << more.min(9)),
    }
}

/// Adds to the plugins' counts of finished runs, once per plugin.
async fn count(tx: &mut SqliteConnection, held: &[Held<'_>]) -> Result<(), StoreError> {
    let mut counts: HashMap<PluginId, [i64; 3]> = HashMap::new();
    for one in held {
        let position = match one.next {
            Next::Succeeded => 0,
            Next::Dead => 1,
            Next::Cancelled => 2,
            Next::RetryAt(_) | Next::Again => continue,
        };
        counts
            .entry(one.finish.finished.claimed.plugin)
            .or_default()[position] += 1;
    }
    for (plugin, [succeeded, dead, cancelled]) in counts {
        sqlx::query(
            "update plugins set n_succeeded = n_succeeded + ?, n_dead = n_dead + ?, \
             n_cancelled = n_cancelled + ? where plugin_id = ?",
        )
        .bind(succeeded)
        .bind(dead)
        .bind(cancelled)
        .bind(plugin.0)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
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
