//! The statements that take due runs, and where each begins.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::{Timestamp, millis};
use crate::event::EventId;
use crate::run::{Claimed, Epoch, Fence, OrderKey, PluginId, RunId};

use super::super::StoreError;
use super::super::sql::{Row, sql};
use super::super::tx::Tx;
use super::floors::{Floors, Origin, Place, Taken};
use super::{Claim, Want};

/// Takes due runs on SQLite, each plugin's own number of them.
pub(super) async fn take_all(
    tx: &mut Tx,
    wants: &[Want],
    claim: &Claim,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for want in wants.iter().filter(|want| want.count > 0) {
        let take = sql(TAKE_SQLITE)
            .bind(claim.owner.0)
            .bind(want.plugin.0)
            .bind(tx.now)
            .bind(want.count)
            .bind(tx.now.plus(want.hold))
            .bind(claim.number);
        rows.extend(tx.fetch_all(take).await?);
    }
    Ok(rows)
}

/// The same on Postgres, above the floors of the claims before.
pub(super) async fn take_above(
    tx: &mut Tx,
    wants: &[Want],
    claim: &Claim,
    floors: &Mutex<Floors>,
) -> Result<Vec<Row>, StoreError> {
    let now = tx.now;
    let mut asked: Vec<(Want, Origin)> = {
        let (mut floors, at) = (locked(floors), Instant::now());
        let some = wants.iter().filter(|want| want.count > 0);
        some.map(|want| (*want, floors.origin(want.plugin, want.count, now, at)))
            .collect()
    };
    let mut rows = Vec::new();
    while !asked.is_empty() {
        let began = Instant::now();
        let taken = take(tx, &asked, claim).await;
        let (mut floors, at) = (locked(floors), Instant::now());
        if asked.iter().any(|(_, origin)| *origin == Origin::Start) {
            // One that was given up, too: the next is not to do the same at once.
            floors.spent(at.duration_since(began));
        }
        let taken = taken?;
        let mut got: HashMap<PluginId, (u32, Place, Place)> = HashMap::new();
        for row in &taken {
            let place = (row.int("due_ms")?, row.int("run_id")?);
            let plugin = PluginId(row.int("plugin_id")?);
            let (count, first, last) = got.entry(plugin).or_insert((0, place, place));
            *count += 1;
            *first = place.min(*first);
            *last = place.max(*last);
        }
        rows.extend(taken);
        let mut again = Vec::new();
        for (want, origin) in asked {
            let got = got.get(&want.plugin);
            let count = got.map_or(0, |(count, _, _)| *count);
            let taken = Taken {
                is_enough: count == want.count,
                ends: got.map(|(_, first, last)| (*first, *last)),
            };
            floors.note(want.plugin, origin, taken, now, at);
            if let (Origin::Near(_), false) = (origin, taken.is_enough) {
                let count = want.count - count;
                let origin = floors.origin(want.plugin, count, now, at);
                again.push((Want { count, ..want }, origin));
            }
        }
        asked = again;
    }
    Ok(rows)
}

/// Takes due runs after a place, each plugin's own number of them.
async fn take(
    tx: &mut Tx,
    wants: &[(Want, Origin)],
    claim: &Claim,
) -> Result<Vec<Row>, StoreError> {
    let column = |of: fn(&(Want, Origin)) -> i64| wants.iter().map(of).collect::<Vec<_>>();
    let take = sql(TAKE_POSTGRES)
        .bind(claim.owner.0)
        .bind(column(|(want, _)| want.plugin.0))
        .bind(column(|(want, _)| want.count.into()))
        .bind(tx.now)
        .bind(column(|(want, _)| millis(want.hold)))
        .bind(column(|(_, origin)| origin.place().0))
        .bind(column(|(_, origin)| origin.place().1))
        .bind(claim.number);
    tx.fetch_all(take).await
}

fn locked(floors: &Mutex<Floors>) -> MutexGuard<'_, Floors> {
    floors.lock().unwrap_or_else(PoisonError::into_inner)
}

const TAKE_SQLITE: &str = "update runs set state = 1, owner = $1, lease_no = $6, attempt = attempt + 1, \
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
    update runs set state = 1, owner = $1, lease_no = $8, attempt = attempt + 1, \
    deadline_ms = $4 + ($5::bigint[])[array_position($2::bigint[], plugin_id)], is_executing = 0 \
    where run_id = any (array(select run_id from pick)) \
    returning run_id, plugin_id, due_ms, lease_no, attempt, free_attempts, event_id, created_ms, order_key, deaths";

/// A claimed run; none, if its row cannot be read.
pub(super) fn claimed(row: &Row, owner: Epoch) -> Result<Option<Claimed>, StoreError> {
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

/// When each plugin's earliest ready run is due, above its floor where there are any.
pub(super) async fn next_due(
    tx: &mut Tx,
    plugins: &[PluginId],
    floors: Option<&Mutex<Floors>>,
) -> Result<Vec<(PluginId, Timestamp)>, StoreError> {
    let mut due = Vec::new();
    if let Some(floors) = floors {
        let places: Vec<Place> = {
            let floors = locked(floors);
            plugins.iter().map(|plugin| floors.sure(*plugin)).collect()
        };
        let next = sql(NEXT_POSTGRES)
            .bind(plugins.iter().map(|plugin| plugin.0).collect::<Vec<_>>())
            .bind(places.iter().map(|(due, _)| *due).collect::<Vec<_>>())
            .bind(places.iter().map(|(_, run)| *run).collect::<Vec<_>>());
        due = tx.fetch_all(next).await?;
    } else {
        for plugin in plugins {
            let next = sql(
                "select plugin_id, due_ms from runs where plugin_id = $1 and state = 0 \
                 order by due_ms, run_id limit 1",
            );
            due.extend(tx.fetch_all(next.bind(plugin.0)).await?);
        }
    }
    due.iter()
        .map(|row| Ok((PluginId(row.int("plugin_id")?), row.time("due_ms")?)))
        .collect()
}

pub(super) const NEXT_POSTGRES: &str = "select r.plugin_id, r.due_ms \
    from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w (plugin_id, due_ms, run_id) \
    cross join lateral (select plugin_id, due_ms from runs where plugin_id = w.plugin_id and state = 0 \
    and (runs.due_ms, runs.run_id) > (w.due_ms, w.run_id) order by due_ms, run_id limit 1) r";
