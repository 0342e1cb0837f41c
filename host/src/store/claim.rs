//! The queue's one end: claim, give back, rescue.
//!
//! Claims are served by index `runs_ready` (plugin, due, id), so that their cost
//! depends on how many are claimed, not on backlog or history: scheduled retries
//! stand at the index's end, finished runs are in another table, and plugins that
//! cannot run are not asked for. A claim's fence is what [`super::finish`] asks for.

use std::sync::Arc;

use sqlx::SqliteConnection;

use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::run::{Claimed, Epoch, Fence, PluginId, RunId};

use super::writer::Work;
use super::{Store, StoreError};

/// Larger events are read when their run starts: what is claimed ahead must not
/// fill the memory.
const AHEAD_BYTES_MAX: i64 = 256 << 10;

/// How many runs of a plugin to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The plugin.
    pub plugin: PluginId,
    /// At most so many.
    pub count: u32,
}

/// A claim for the writer.
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
    /// When the next run of a plugin becomes due, where fewer than wanted were.
    pub next_due: Vec<(PluginId, Timestamp)>,
}

impl Store {
    /// Claims due runs for this host; they are its own until it finishes or
    /// releases them, or dies.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was claimed.
    pub async fn claim(&self, wants: Vec<Want>) -> Result<ClaimedRuns, StoreError> {
        let claim = Claim {
            wants,
            owner: self.epoch(),
        };
        let claims = self
            .0
            .writer
            .submit(|reply| Work::Claim(claim, reply))
            .await?;
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
        self.0
            .writer
            .write(move |tx| {
                let fences = fences.clone();
                Box::pin(async move {
                    for fence in fences {
                        sqlx::query(
                            "update runs set state = 0, owner = null, attempt = attempt - 1 \
                         where run_id = ? and state = 1 and owner = ? and lease_no = ?",
                        )
                        .bind(fence.run.0)
                        .bind(fence.owner.0)
                        .bind(fence.lease_no)
                        .execute(&mut *tx)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Makes every run of another start of this host due at once and records
    /// its lost attempt. This process is the database's only user, so whoever
    /// had them is dead.
    pub(super) async fn rescue(&self) -> Result<(), StoreError> {
        let (epoch, now) = (self.epoch().0, self.now_ms());
        let rescued = self.0.writer.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "insert or ignore into attempts (run_id, n, host, started_ms, duration_us, cpu_us, \
                     memory_bytes, outcome, error, logs) \
                     select run_id, attempt, '', ?2, 0, 0, 0, 'host_lost', \
                     'the host stopped while it held the run', '[]' from runs where state = 1 and owner <> ?1",
                )
                .bind(epoch)
                .bind(now)
                .execute(&mut *tx)
                .await?;
                let rescued = sqlx::query(
                    "update runs set state = 0, owner = null, due_ms = ?2, free_attempts = free_attempts + 1 \
                     where state = 1 and owner <> ?1",
                )
                .bind(epoch)
                .bind(now)
                .execute(&mut *tx)
                .await?;
                Ok(rescued.rows_affected())
            })
        }).await?;
        if rescued > 0 {
            tracing::warn!(
                runs = rescued,
                "the host before this one died while it held runs; they are due again"
            );
        }
        Ok(())
    }
}

/// Claims within the writer's transaction.
pub(super) async fn claim(
    tx: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<Claims, StoreError> {
    let mut claims = Claims::default();
    for want in &claim.wants {
        let rows: Vec<(i64, i64, i64, i64, Vec<u8>, i64)> = sqlx::query_as(
            "update runs set state = 1, owner = ?1, lease_no = lease_no + 1, attempt = attempt + 1 \
             where run_id in (select run_id from runs where plugin_id = ?2 and state = 0 and due_ms <= ?3 \
             order by due_ms, run_id limit ?4) \
             returning run_id, lease_no, attempt, free_attempts, event_id, created_ms",
        )
        .bind(claim.owner.0)
        .bind(want.plugin.0)
        .bind(now.millis())
        .bind(want.count)
        .fetch_all(&mut *tx)
        .await?;
        let is_all = rows.len() < usize::try_from(want.count).unwrap_or(usize::MAX);
        for (run, lease_no, attempt, free_attempts, event, created_ms) in rows {
            let Some(event) = EventId::from_bytes(&event) else {
                continue;
            };
            claims.claimed.push(Claimed {
                fence: Fence {
                    run: RunId(run),
                    owner: claim.owner,
                    lease_no,
                },
                plugin: want.plugin,
                event,
                attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
                free_attempts: u32::try_from(free_attempts).unwrap_or(u32::MAX),
                created_at: Timestamp::from_millis(created_ms),
            });
        }
        if is_all {
            claims.next_due.extend(
                next_due(tx, want.plugin)
                    .await?
                    .map(|due| (want.plugin, due)),
            );
        }
    }
    // `returning` has no order.
    claims
        .claimed
        .sort_unstable_by_key(|claimed| claimed.fence.run);
    Ok(claims)
}

/// When the plugin's earliest ready run is due.
async fn next_due(
    tx: &mut SqliteConnection,
    plugin: PluginId,
) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar(
        "select due_ms from runs where plugin_id = ? and state = 0 order by due_ms, run_id limit 1",
    )
    .bind(plugin.0)
    .fetch_optional(tx)
    .await?;
    Ok(due.map(Timestamp::from_millis))
}
