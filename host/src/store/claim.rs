//! The queue's one end: claim and give back.
//!
//! Claims are served by index `runs_ready` (plugin, due, id), so that their cost
//! depends on how many are claimed, not on backlog or history: scheduled retries
//! stand at the index's end, finished runs are in another table, runs behind their
//! ordering key are not in the index, and plugins that cannot run are not asked
//! for. A claim's fence is what [`super::finish`] asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::event::{Event, EventId};
use crate::rate::Rate;
use crate::run::{Claimed, Epoch, Fence, OrderKey, PluginId, RunId};

use super::rows::{Kind, ManyRows};
use super::sql::{Dialect, Row, sql};
use super::tx::Tx;
use super::writer::Work;
use super::{Engine, Store, StoreError};

mod floors;

pub(super) use floors::Floors;
use floors::{Place, START};

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
                let claims = self::claim(&mut tx, &claim, Some(&engine.floors)).await?;
                tx.commit().await?;
                claims
            }
        };
        let ids: Vec<EventId> = claims.claimed.iter().map(|claimed| claimed.event).collect();
        // What cannot be read now is read, or found to be damaged, by its own run.
        let events = self
            .load_events(&ids, AHEAD_BYTES_MAX)
            .await
            .unwrap_or_default();
        let with_event = |claimed: Claimed| {
            let event = events.get(&claimed.event).cloned();
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
        let owner = self.epoch();
        let held = sql("select run_id, lease_no from runs where state = 1 and owner = $1");
        let rows = self.run_readers().fetch_all(held.bind(owner.0)).await?;
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
        Some(floors) => take_above(tx, &wants, claim.owner, floors).await?,
        None => take_all(tx, &wants, claim.owner).await?,
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
    let short: Vec<i64> = short.map(|want| want.plugin.0).collect();
    if !short.is_empty() {
        claims.next_due = next_due(tx, short).await?;
        for (plugin, due) in &mut claims.next_due {
            *due = (*due).max(not_before.get(plugin).copied().unwrap_or(*due));
        }
    }
    Ok(claims)
}

/// Takes due runs on SQLite, each plugin's own number of them.
async fn take_all(tx: &mut Tx, wants: &[Want], owner: Epoch) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for want in wants.iter().filter(|want| want.count > 0) {
        let take = sql(TAKE_SQLITE)
            .bind(owner.0)
            .bind(want.plugin.0)
            .bind(tx.now)
            .bind(want.count)
            .bind(tx.now.plus(want.hold));
        rows.extend(tx.fetch_all(take).await?);
    }
    Ok(rows)
}

/// The same on Postgres, first above the floors of the claims before; where that was
/// not enough, from the start.
async fn take_above(
    tx: &mut Tx,
    wants: &[Want],
    owner: Epoch,
    floors: &Mutex<Floors>,
) -> Result<Vec<Row>, StoreError> {
    let now = tx.now;
    let mut asked: Vec<(Want, Place)> = {
        let floors = floors.lock().unwrap_or_else(PoisonError::into_inner);
        let from = |want: &Want| (*want, floors.of(want.plugin, want.count, now));
        wants.iter().map(from).collect()
    };
    let mut rows = Vec::new();
    loop {
        let taken = take(tx, &asked, owner).await?;
        let mut got: HashMap<PluginId, (u32, Place)> = HashMap::new();
        for row in &taken {
            let place = (row.int("due_ms")?, row.int("run_id")?);
            let (count, end) = got
                .entry(PluginId(row.int("plugin_id")?))
                .or_insert((0, place));
            *count += 1;
            *end = place.max(*end);
        }
        rows.extend(taken);
        let mut again = Vec::new();
        let mut floors = floors.lock().unwrap_or_else(PoisonError::into_inner);
        for (want, from) in asked {
            let (count, end) = got.get(&want.plugin).copied().unwrap_or((0, from));
            let is_enough = count == want.count;
            floors.note(want.plugin, from, is_enough.then_some(end), now);
            if !is_enough && from != START {
                let count = want.count - count;
                again.push((Want { count, ..want }, START));
            }
        }
        if again.is_empty() {
            return Ok(rows);
        }
        asked = again;
    }
}

/// Takes due runs after a place, each plugin's own number of them.
async fn take(tx: &mut Tx, wants: &[(Want, Place)], owner: Epoch) -> Result<Vec<Row>, StoreError> {
    let column = |of: fn(&(Want, Place)) -> i64| wants.iter().map(of).collect::<Vec<_>>();
    let take = sql(TAKE_POSTGRES)
        .bind(owner.0)
        .bind(column(|(want, _)| want.plugin.0))
        .bind(column(|(want, _)| want.count.into()))
        .bind(tx.now)
        .bind(column(|(want, _)| millis(want.hold)))
        .bind(column(|(_, (due, _))| *due))
        .bind(column(|(_, (_, run))| *run));
    tx.fetch_all(take).await
}

const TAKE_SQLITE: &str = "update runs set state = 1, owner = $1, lease_no = lease_no + 1, attempt = attempt + 1, \
    deadline_ms = $5, is_executing = 0 where run_id in (select run_id from runs \
    where plugin_id = $2 and state = 0 and due_ms <= $3 order by due_ms, run_id limit $4) \
    returning run_id, plugin_id, lease_no, attempt, free_attempts, event_id, created_ms, order_key, deaths";

/// For all plugins at once. An array of the picked ids, not a join with them: whatever
/// the planner thinks of the table's size, it can only look each of them up. The commit
/// need not wait for the disk: a claim that a crash undoes was never acted upon by
/// anybody whose fence still holds. (`set_config` is local to the transaction.)
pub(super) const TAKE_POSTGRES: &str = "with pick as materialized (select r.run_id \
    from (select set_config('synchronous_commit', 'off', true)) o, \
    unnest($2::bigint[], $3::bigint[], $6::bigint[], $7::bigint[]) as w (plugin_id, n, due_ms, run_id) \
    cross join lateral (select run_id from runs where plugin_id = w.plugin_id and state = 0 \
    and due_ms <= $4 and (runs.due_ms, runs.run_id) > (w.due_ms, w.run_id) order by due_ms, run_id limit w.n for update skip locked) r) \
    update runs set state = 1, owner = $1, lease_no = lease_no + 1, attempt = attempt + 1, \
    deadline_ms = $4 + ($5::bigint[])[array_position($2::bigint[], plugin_id)], is_executing = 0 \
    where run_id = any (array(select run_id from pick)) \
    returning run_id, plugin_id, due_ms, lease_no, attempt, free_attempts, event_id, created_ms, order_key, deaths";

/// A claimed run; none, if its row cannot be read.
fn claimed(row: &Row, owner: Epoch) -> Result<Option<Claimed>, StoreError> {
    let order = row.bytes_or_none("order_key")?;
    let Some(event) = EventId::from_bytes(&row.bytes("event_id")?) else {
        return Ok(None);
    };
    Ok(Some(Claimed {
        fence: Fence {
            run: RunId(row.int("run_id")?),
            owner,
            lease_no: row.int("lease_no")?,
        },
        plugin: PluginId(row.int("plugin_id")?),
        event,
        order: order.as_deref().and_then(OrderKey::from_bytes),
        attempt: row.count("attempt")?,
        free_attempts: row.count("free_attempts")?,
        deaths: row.count("deaths")?,
        created_at: row.time("created_ms")?,
    }))
}

/// When each plugin's earliest ready run is due.
async fn next_due(
    tx: &mut Tx,
    plugins: Vec<i64>,
) -> Result<Vec<(PluginId, Timestamp)>, StoreError> {
    let mut due = Vec::new();
    if tx.dialect() == Dialect::Sqlite {
        for plugin in plugins {
            let next = sql(
                "select plugin_id, due_ms from runs where plugin_id = $1 and state = 0 \
                 order by due_ms, run_id limit 1",
            );
            due.extend(tx.fetch_all(next.bind(plugin)).await?);
        }
    } else {
        let next = sql(
            "select r.plugin_id, r.due_ms from unnest($1) as w (plugin_id) \
             cross join lateral (select plugin_id, due_ms from runs \
             where plugin_id = w.plugin_id and state = 0 order by due_ms, run_id limit 1) r",
        );
        due = tx.fetch_all(next.bind(plugins)).await?;
    }
    due.iter()
        .map(|row| Ok((PluginId(row.int("plugin_id")?), row.time("due_ms")?)))
        .collect()
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
