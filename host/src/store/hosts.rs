//! Hosts and their leases: who is alive, and the runs of those who are not.
//!
//! A host that keeps writing its lease keeps its runs; no run is renewed by itself.
//! Whoever finds runs of a host whose lease has ended makes them due again; what
//! that host may still do to them is refused by their fence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{DEATHS_MAX, Epoch, OrderKey, Outcome, PluginId, RunId, RunState};

use super::history::{Over, Tried};
use super::order;
use super::rows::{Kind, ManyRows};
use super::sql::{Dialect, Row, Statement, sql};
use super::tx::Tx;
use super::{Store, StoreError};

/// Runs rescued in one transaction.
const SLICE: i64 = 500;
/// Who rescues, of several hosts: the others need not.
const RESCUE: i64 = 0x686b_0003 << 32;
/// How long a host that is gone is remembered, for the name in its attempts.
const REMEMBERED: Duration = Duration::from_hours(24);

/// A host that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// This start of it.
    pub epoch: i64,
    /// Its name, for people.
    pub name: String,
    /// The plugins whose files it has, each with the version that it can run: sha256 in
    /// hex, empty for none.
    pub loaded: Vec<(PluginId, String)>,
}

/// What a rescue did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Runs that are due again.
    pub due: usize,
    /// Runs that killed their hosts and are dead now.
    pub dead: usize,
    /// Whose they are.
    pub plugins: Vec<PluginId>,
}

/// The statements of leases.
pub(super) struct Statements {
    put_back: ManyRows,
}

/// A run that has lost its host.
struct Lost {
    run: RunId,
    event: EventId,
    plugin: PluginId,
    order: Option<OrderKey>,
    attempt: u32,
    free_attempts: u32,
    lease_no: i64,
    created_at: Timestamp,
    /// Hosts in a row that died while they held it, this one among them if it did.
    deaths: u32,
    host: String,
    error: &'static str,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            put_back: ManyRows::new(
                "with wanted (run_id, due_ms, deaths) as (",
                &[Kind::Int, Kind::Int, Kind::Int],
                ") update runs set state = 0, owner = null, deadline_ms = null, is_executing = 0, \
                 due_ms = w.due_ms, deaths = w.deaths, free_attempts = runs.free_attempts + 1 \
                 from wanted w where runs.run_id = w.run_id",
            ),
        }
    }
}

impl Store {
    /// Renews this host's lease for `lease` from now and says what it can run, and against
    /// which plugins it matches all that it receives and has in hand. A database that cannot
    /// be written is noticed by this even when nothing else is to be written.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be written.
    pub async fn beat(
        &self,
        host_name: &str,
        lease: Duration,
        loaded: Vec<(PluginId, String)>,
        knows: BTreeSet<PluginId>,
    ) -> Result<(), StoreError> {
        self.hear_clock().await?;
        let (epoch, name) = (self.epoch().0, host_name.to_owned());
        let loaded: Vec<(i64, String)> = loaded
            .into_iter()
            .map(|(plugin, digest)| (plugin.0, digest))
            .collect();
        let loaded = super::state::json(&loaded);
        let knows: Vec<i64> = knows.into_iter().map(|plugin| plugin.0).collect();
        let knows = super::state::json(&knows);
        self.write(move |tx| {
            let (name, loaded, knows) = (name.clone(), loaded.clone(), knows.clone());
            Box::pin(async move {
                let beat = sql(
                    "insert into hosts (epoch, name, started_ms, lease_ms, loaded, knows) \
                     values ($1, $2, $3, $4, $5, $6) on conflict (epoch) do update \
                     set lease_ms = excluded.lease_ms, loaded = excluded.loaded, knows = excluded.knows",
                );
                let beat = beat.bind(epoch).bind(name).bind(tx.now);
                let beat = beat.bind(tx.now.plus(lease)).bind(loaded);
                tx.execute(beat.bind(knows)).await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends the lease of a start that is over: whatever it still held is anybody's.
    ///
    /// # Errors
    /// [`StoreError`] if it was not ended; it ends by itself.
    pub async fn end_lease(&self, epoch: Epoch) -> Result<(), StoreError> {
        let end = sql("update hosts set lease_ms = 0 where epoch = $1 and lease_ms > 0");
        self.end(end.bind(epoch.0)).await
    }

    /// Ends this host's own lease, as it stops in good order: what it could not finish
    /// is anybody's, but has not killed it. Such a lease is below zero, and says when it
    /// ended.
    ///
    /// # Errors
    /// [`StoreError`] if it was not ended; it ends by itself.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let leave = sql("update hosts set lease_ms = $2 where epoch = $1");
        let left_ms = self.now().millis().saturating_neg();
        self.end(leave.bind(self.epoch().0).bind(left_ms)).await
    }

    /// Ends the lease of every other start of a host.
    pub(super) async fn end_other_leases(&self) -> Result<(), StoreError> {
        let end = sql("update hosts set lease_ms = 0 where epoch <> $1 and lease_ms > 0");
        self.end(end.bind(self.epoch().0)).await
    }

    async fn end(&self, end: Statement<'static>) -> Result<(), StoreError> {
        self.write(move |tx| {
            let end = end.clone();
            Box::pin(async move { tx.execute(end).await.map(drop) })
        })
        .await
    }

    /// The hosts whose lease holds.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn live_hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        let rows = self.run_readers().fetch_all(live_hosts(self.now())).await?;
        rows.iter().map(HostRow::read).collect()
    }

    /// Whether every other live host matches all that it receives and has in hand against
    /// this plugin too. One of a version that does not say so is taken to.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn is_known_elsewhere(&self, plugin: PluginId) -> Result<bool, StoreError> {
        let others = sql(
            "select knows from hosts where lease_ms > $1 and epoch <> $2 and knows is not null",
        );
        let others = others.bind(self.now()).bind(self.epoch().0);
        for row in self.run_readers().fetch_all(others).await? {
            let knows: Vec<i64> = serde_json::from_str(&row.text("knows")?).unwrap_or_default();
            if !knows.contains(&plugin.0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes runs due again whose host is gone or has held them too long, and ends
    /// those that killed their host again and again. A slice of them: call again
    /// while there are many.
    ///
    /// # Errors
    /// [`StoreError`] if none was rescued.
    pub async fn rescue(&self) -> Result<Rescued, StoreError> {
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        self.write(move |tx| {
            let statements = Arc::clone(&statements);
            Box::pin(async move {
                let lost = lost(tx).await?;
                let (dead, due): (Vec<Lost>, Vec<Lost>) =
                    lost.into_iter().partition(|one| one.deaths >= DEATHS_MAX);
                let tried = dead.iter().map(|one| (one, Outcome::KilledHost));
                let tried = tried.chain(due.iter().map(|one| (one, Outcome::HostLost)));
                let tried = tried.map(|(one, outcome)| tried_by(one, outcome, tx.now));
                let tried: Vec<Tried<'_>> = tried.collect();
                statements
                    .history
                    .record_attempts(tx, tried.into_iter())
                    .await?;
                let now = tx.now;
                let rows = due
                    .iter()
                    .map(|one| [one.run.0.into(), now.into(), one.deaths.into()]);
                statements.hosts.put_back.with(rows).execute(tx).await?;
                let over: Vec<Over<'_>> = dead.iter().map(over).collect();
                statements
                    .history
                    .bury(tx, &statements.order, epoch, &over)
                    .await?;
                let mut plugins: Vec<PluginId> =
                    due.iter().chain(&dead).map(|one| one.plugin).collect();
                plugins.sort_unstable();
                plugins.dedup();
                Ok(Rescued {
                    due: due.len(),
                    dead: dead.len(),
                    plugins,
                })
            })
        })
        .await
    }

    /// Forgets hosts that are long gone and hold nothing; their counts are kept.
    ///
    /// # Errors
    /// [`StoreError`] if none was forgotten.
    pub async fn forget_hosts(&self) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                if tx.dialect() == Dialect::Postgres {
                    // Two hosts that fold at once would add twice.
                    tx.fetch_all(sql("select pg_advisory_xact_lock($1)").bind(RESCUE + 1))
                        .await?;
                }
                let gone = sql(
                    "select epoch from hosts where abs(lease_ms) < $1 and not exists \
                     (select 1 from runs where state = 1 and owner = hosts.epoch)",
                );
                let gone = tx.fetch_all(gone.bind(tx.now.minus(REMEMBERED))).await?;
                let gone: Vec<i64> = gone
                    .iter()
                    .map(|row| row.int("epoch"))
                    .collect::<Result<_, _>>()?;
                if gone.is_empty() {
                    return Ok(());
                }
                let these = tx.dialect().is_one_of("epoch", 1);
                let fold = format!(
                    "insert into plugin_counts (plugin_id, epoch, n_succeeded, n_dead, n_cancelled) \
                     select plugin_id, 0, cast(sum(n_succeeded) as bigint), cast(sum(n_dead) as bigint), \
                     cast(sum(n_cancelled) as bigint) from plugin_counts where {these} group by plugin_id \
                     on conflict (plugin_id, epoch) do update set \
                     n_succeeded = plugin_counts.n_succeeded + excluded.n_succeeded, \
                     n_dead = plugin_counts.n_dead + excluded.n_dead, \
                     n_cancelled = plugin_counts.n_cancelled + excluded.n_cancelled"
                );
                let folded = format!("delete from plugin_counts where {these}");
                let forget = format!("delete from hosts where {these}");
                for text in [fold, folded, forget] {
                    tx.execute(sql(text).bind(gone.clone())).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// The hosts whose lease holds, within a transaction.
pub(super) async fn live(tx: &mut Tx) -> Result<Vec<HostRow>, StoreError> {
    let rows = tx.fetch_all(live_hosts(tx.now)).await?;
    rows.iter().map(HostRow::read).collect()
}

fn live_hosts(now: Timestamp) -> Statement<'static> {
    sql("select epoch, name, loaded from hosts where lease_ms > $1 order by epoch").bind(now)
}

impl HostRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let loaded: Vec<(i64, String)> =
            serde_json::from_str(&row.text("loaded")?).unwrap_or_default();
        Ok(Self {
            epoch: row.int("epoch")?,
            name: row.text("name")?,
            loaded: loaded
                .into_iter()
                .map(|(plugin, digest)| (PluginId(plugin), digest))
                .collect(),
        })
    }
}

/// A slice of the runs that have lost their host, locked.
async fn lost(tx: &mut Tx) -> Result<Vec<Lost>, StoreError> {
    const WHO: &str = "from runs r left join hosts h on h.epoch = r.owner where r.state = 1 \
                       and (r.deadline_ms < $1 or h.epoch is null or h.lease_ms <= $1)";
    if tx.dialect() == Dialect::Postgres {
        let turn = sql(
            "select cast(case when pg_try_advisory_xact_lock($1) then 1 else 0 end as bigint) as ours",
        );
        if !tx.fetch_one(turn.bind(RESCUE)).await?.flag("ours")? {
            return Ok(Vec::new());
        }
    }
    // First whose, then their keys' locks, then, if they still are lost, they.
    let which = sql(format!(
        "select r.run_id, r.plugin_id, r.order_key {WHO} order by r.run_id limit {SLICE}"
    ));
    let rows = tx.fetch_all(which.bind(tx.now)).await?;
    let mut ids = Vec::with_capacity(rows.len());
    let mut keys = Vec::new();
    for row in &rows {
        ids.push(row.int("run_id")?);
        let key = row.bytes_or_none("order_key")?;
        let key = key.as_deref().and_then(OrderKey::from_bytes);
        keys.extend(key.map(|key| Ok::<_, StoreError>((PluginId(row.int("plugin_id")?), key))));
    }
    let keys = keys.into_iter().collect::<Result<Vec<_>, _>>()?;
    order::lock(tx, keys.into_iter(), std::iter::empty()).await?;
    let locking = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " for update of r skip locked",
    };
    let these = tx.dialect().is_one_of("r.run_id", 2);
    let lost = sql(format!(
        "select r.run_id, r.event_id, r.plugin_id, r.order_key, r.attempt, r.free_attempts, r.lease_no, \
         r.created_ms, r.deaths, r.is_executing, coalesce(h.name, '') as host, \
         cast(case when h.lease_ms > $1 then 1 else 0 end as bigint) as is_late, \
         cast(case when h.lease_ms < 0 then 1 else 0 end as bigint) as has_left {WHO} and {these} order by r.run_id{locking}"
    ));
    let rows = tx.fetch_all(lost.bind(tx.now).bind(ids)).await?;
    rows.iter()
        .filter_map(|row| read(row).transpose())
        .collect()
}

fn read(row: &Row) -> Result<Option<Lost>, StoreError> {
    let order = row.bytes_or_none("order_key")?;
    let Some(event) = EventId::from_bytes(&row.bytes("event_id")?) else {
        return Ok(None);
    };
    let (is_late, has_left) = (row.flag("is_late")?, row.flag("has_left")?);
    // At its first death nobody noted whether its guest had been started.
    let was_executing = row.count("deaths")? == 0 || row.flag("is_executing")?;
    Ok(Some(Lost {
        run: RunId(row.int("run_id")?),
        event,
        plugin: PluginId(row.int("plugin_id")?),
        order: order.as_deref().and_then(OrderKey::from_bytes),
        attempt: row.count("attempt")?,
        free_attempts: row.count("free_attempts")?,
        lease_no: row.int("lease_no")?,
        created_at: row.time("created_ms")?,
        deaths: row.count("deaths")? + u32::from(was_executing && !is_late && !has_left),
        host: row.text("host")?,
        error: if is_late {
            "the host did not finish it in time"
        } else {
            "the host stopped while it held the run"
        },
    }))
}

fn tried_by(lost: &Lost, outcome: Outcome, now: Timestamp) -> Tried<'_> {
    let attempt = (lost.run, lost.attempt);
    Tried::without_record(attempt, &lost.host, now, outcome, Some(lost.error))
}

fn over(lost: &Lost) -> Over<'_> {
    Over {
        run: lost.run,
        event: lost.event,
        plugin: lost.plugin,
        order: lost.order,
        state: RunState::Dead,
        attempt: lost.attempt,
        free_attempts: lost.free_attempts,
        max_attempts: 0,
        lease_no: lost.lease_no,
        created_at: lost.created_at,
        outcome: Outcome::KilledHost,
        summary: None,
        data: None,
        error: Some("each of the hosts that executed it died"),
    }
}
