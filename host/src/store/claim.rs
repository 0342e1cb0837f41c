//! The queue's one end: claim and give back.
//!
//! Claims are served by index `runs_ready` (plugin, due, id), so that their cost
//! depends on how many are claimed, not on backlog or history: scheduled retries
//! stand at the index's end, finished runs are in another table, runs behind their
//! ordering key are not in the index, and plugins that cannot run are not asked
//! for. A claim's fence is what [`super::finish`] asks for: run, host, and the number
//! that the host gave this claim. It gives none twice, so that a claim which a
//! database has forgotten (a crash, a standby that took over) is never taken for a
//! later one, of the same run or of another that got its id.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::rate::Rate;
use crate::run::{Claimed, Epoch, Fence, PluginId, RunId};

use super::rows::{Kind, ManyRows};
use super::sql::{Row, Statement, sql};
use super::tx::Tx;
use super::writer::Work;
use super::{Engine, Store, StoreError};

mod floors;
mod take;

pub(super) use floors::Floors;

use take::{claimed, next_due, take_above, take_all};

/// Larger events are read when their run starts: what is claimed ahead must not
/// fill the memory.
const AHEAD_BYTES_MAX: i64 = 128 << 10;

/// How many runs of a plugin to claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Want {
    /// The plugin.
    pub plugin: PluginId,
    /// At most so many.
    pub count: u32,
    /// How often runs of it may start, on all hosts together.
    pub rate: Option<Rate>,
    /// How long this host may take until each of them has ended; after that they
    /// are taken from it.
    pub hold: Duration,
}

/// A claim for the database.
pub(super) struct Claim {
    wants: Vec<Want>,
    owner: Epoch,
    /// Which of the owner's claims it is.
    number: i64,
}

/// What a claim got, and when more becomes due where it got less than it wanted.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: Vec<Claimed>,
    next_due: Vec<(PluginId, Timestamp)>,
}

/// What a host claimed.
#[derive(Debug, Default)]
pub struct ClaimedRuns {
    /// The runs in the order in which they were stored, with their events where
    /// these are small enough to be held until their turn.
    pub runs: Vec<(Claimed, Option<Arc<Event>>)>,
    /// When the next run of a plugin becomes due or may start, where fewer than
    /// wanted were.
    pub next_due: Vec<(PluginId, Timestamp)>,
}

/// The statements of claims.
pub(super) struct Statements {
    release: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            release: ManyRows::new(
                "with wanted (run_id, owner, lease_no) as (",
                &[Kind::Int, Kind::Int, Kind::Int],
                ") update runs set state = 0, owner = null, deadline_ms = null, attempt = attempt - 1 \
                 from wanted w where runs.run_id = w.run_id and runs.state = 1 \
                 and runs.owner = w.owner and runs.lease_no = w.lease_no",
            ),
        }
    }
}

impl Store {
    /// Claims due runs for this host; they are its own until it finishes or
    /// releases them, or its lease or their deadline ends.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was claimed.
    pub async fn claim(&self, wants: Vec<Want>) -> Result<ClaimedRuns, StoreError> {
        let claim = Claim {
            wants,
            owner: self.epoch(),
            number: self.0.claims.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let claims = match &self.0.engine {
            Engine::Sqlite(engine) => {
                let submit = |reply| Work::Claim(claim, reply);
                engine.writer.submit(submit).await?
            }
            Engine::Postgres(engine) => {
                let has_rate = claim.wants.iter().any(|want| want.rate.is_some());
                let mut tx = if has_rate {
                    engine.sessions.begin().await?
                } else {
                    engine.sessions.single().await?
                };
                let claimed = async {
                    let claims = self::claim(&mut tx, &claim, Some(&engine.floors)).await?;
                    tx.commit().await?;
                    Ok(claims)
                };
                // What was claimed may be ready again, below the floors that were noted.
                claimed
                    .await
                    .inspect_err(|_: &StoreError| engine.floors().all_stale())?
            }
        };
        let ids: Vec<EventId> = claims.claimed.iter().map(|claimed| claimed.event).collect();
        // What cannot be read now is read, or found to be damaged, by its own run.
        let events = self
            .load_events(&ids, AHEAD_BYTES_MAX)
            .await
            .unwrap_or_default();
        let with_event = |claimed: Claimed| {
            let event = events.get(&claimed.event);
            let event = event.and_then(|read| read.as_ref().ok()).cloned();
            (claimed, event)
        };
        let runs = claims.claimed.into_iter().map(with_event).collect();
        Ok(ClaimedRuns {
            runs,
            next_due: claims.next_due,
        })
    }

    /// Gives claimed runs back that were not started.
    ///
    /// # Errors
    /// [`StoreError`] if they stay claimed.
    pub async fn release(&self, fences: Vec<Fence>) -> Result<(), StoreError> {
        let statements = Arc::clone(&self.0.statements);
        self.write(move |tx| {
            let (statements, fences) = (Arc::clone(&statements), fences.clone());
            Box::pin(async move {
                let rows = fences.iter().map(|fence| {
                    [
                        fence.run.0.into(),
                        fence.owner.0.into(),
                        fence.lease_no.into(),
                    ]
                });
                statements.claim.release.with(rows).execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Gives a claimed run back that this host cannot execute, to be claimed by anybody at
    /// a later time: as one that was not started, it has had no attempt.
    ///
    /// # Errors
    /// [`StoreError`] if it stays claimed.
    pub async fn postpone(&self, fence: Fence, due: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let postpone = sql(
                    "update runs set state = 0, owner = null, deadline_ms = null, attempt = attempt - 1, \
                     due_ms = $4 where run_id = $1 and state = 1 and owner = $2 and lease_no = $3",
                );
                let postpone = postpone.bind(fence.run.0).bind(fence.owner.0);
                tx.execute(postpone.bind(fence.lease_no).bind(due)).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes that the guest of a run is about to execute whose host has died before;
    /// returns whether the run is still ours. A run without deaths needs no note.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was noted.
    pub async fn note_executing(&self, fence: Fence) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let note = sql(
                    "update runs set is_executing = 1 where run_id = $1 and state = 1 \
                     and owner = $2 and lease_no = $3",
                );
                let note = note.bind(fence.run.0).bind(fence.owner.0);
                Ok(tx.execute(note.bind(fence.lease_no)).await? > 0)
            })
        })
        .await
    }

    /// The runs that this host holds, by the database's account.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn held(&self) -> Result<Vec<Fence>, StoreError> {
        let held = sql("select run_id, lease_no from runs where state = 1 and owner = $1");
        self.own_fences(held.bind(self.epoch().0)).await
    }

    /// Those of these runs that it holds. What that costs does not depend on how many it
    /// ever held, which an old snapshot keeps in the index.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn held_of(&self, runs: Vec<RunId>) -> Result<Vec<Fence>, StoreError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = runs.into_iter().map(|run| run.0).collect();
        let these = self.run_readers().dialect().is_one_of("run_id", 2);
        let held = sql(format!(
            "select run_id, lease_no from runs where state = 1 and owner = $1 and {these}"
        ));
        self.own_fences(held.bind(self.epoch().0).bind(ids)).await
    }

    async fn own_fences(&self, held: Statement<'_>) -> Result<Vec<Fence>, StoreError> {
        let owner = self.epoch();
        let rows = self.run_readers().fetch_all(held).await?;
        let fence = |row: &Row| {
            Ok(Fence {
                run: RunId(row.int("run_id")?),
                owner,
                lease_no: row.int("lease_no")?,
            })
        };
        rows.iter().map(fence).collect()
    }
}

/// Claims within a transaction, or as a single statement where no plugin has a rate.
pub(super) async fn claim(
    tx: &mut Tx,
    claim: &Claim,
    floors: Option<&Mutex<Floors>>,
) -> Result<Claims, StoreError> {
    let mut wants = claim.wants.clone();
    let mut tats = HashMap::new();
    for want in &mut wants {
        if let Some(rate) = want.rate {
            let tat_us = rate_now(tx, want.plugin).await?;
            let allowed = rate.allow(tat_us, tx.now, want.count);
            want.count = allowed.count;
            tats.insert(want.plugin, tat_us);
        }
    }
    let mut claims = Claims::default();
    let taken = match floors {
        Some(floors) => take_above(tx, &wants, claim, floors).await?,
        None => take_all(tx, &wants, claim).await?,
    };
    for row in taken {
        claims.claimed.extend(claimed(&row, claim.owner)?);
    }
    // `returning` has no order.
    claims
        .claimed
        .sort_unstable_by_key(|claimed| claimed.fence.run);
    let mut got: HashMap<PluginId, u32> = HashMap::new();
    for one in &claims.claimed {
        *got.entry(one.plugin).or_default() += 1;
    }
    let got = |plugin| got.get(&plugin).copied().unwrap_or_default();
    let mut not_before = HashMap::new();
    for want in &wants {
        if let (Some(rate), Some(tat_us)) = (want.rate, tats.get(&want.plugin)) {
            let used = rate.allow(*tat_us, tx.now, got(want.plugin));
            note_rate(tx, want.plugin, used.tat_us).await?;
            not_before.insert(want.plugin, rate.allow(used.tat_us, tx.now, 1).next_at);
        }
    }
    let short = claim
        .wants
        .iter()
        .filter(|want| got(want.plugin) < want.count);
    let short: Vec<PluginId> = short.map(|want| want.plugin).collect();
    if !short.is_empty() {
        claims.next_due = next_due(tx, &short, floors).await?;
        for (plugin, due) in &mut claims.next_due {
            *due = (*due).max(not_before.get(plugin).copied().unwrap_or(*due));
        }
    }
    Ok(claims)
}

/// When the plugin's rate allows the next run, locked until the transaction ends.
async fn rate_now(tx: &mut Tx, plugin: PluginId) -> Result<i64, StoreError> {
    let first = sql(
        "insert into rates (plugin_id, tat_us) values ($1, 0) on conflict (plugin_id) do nothing",
    );
    tx.execute(first.bind(plugin.0)).await?;
    let locking = tx.dialect().locking();
    let read = sql(format!(
        "select tat_us from rates where plugin_id = $1{locking}"
    ));
    tx.fetch_one(read.bind(plugin.0)).await?.int("tat_us")
}

async fn note_rate(tx: &mut Tx, plugin: PluginId, tat_us: i64) -> Result<(), StoreError> {
    let note = sql("update rates set tat_us = $2 where plugin_id = $1");
    tx.execute(note.bind(plugin.0).bind(tat_us)).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
