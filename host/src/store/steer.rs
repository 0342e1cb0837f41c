//! What an operator does to a run: retry it, end it.

use std::sync::Arc;

use crate::run::{Epoch, OrderKey, Outcome, PluginId, RunId, RunState};

use super::history::{Over, Tried};
use super::order;
use super::retention;
use super::sql::{Dialect, sql};
use super::tx::Tx;
use super::{Store, StoreError};

/// What became of a request to try a run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now; the plugin is whom to wake.
    Due(PluginId),
    /// There is no such run.
    Unknown,
    /// It is in a state in which this means nothing.
    NotNow(RunState),
    /// Its event is not kept any more.
    EventGone,
    /// Its plugin is forgotten.
    PluginGone,
}

/// What became of a request to end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is over. If a host executes it, its result will be dropped.
    Done(PluginId),
    /// There is no such run.
    Unknown,
    /// It is over already.
    NotNow(RunState),
}

impl Store {
    /// Makes a waiting run due now, or a dead or cancelled one live again with
    /// its id and a fresh budget of attempts.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn retry(&self, run: RunId) -> Result<Retried, StoreError> {
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        self.write(move |tx| {
            let statements = Arc::clone(&statements);
            Box::pin(async move {
                lock_key_of(tx, run).await?;
                match hasten(tx, run).await? {
                    Retried::Unknown => statements.revive(tx, epoch, run).await,
                    known => Ok(known),
                }
            })
        })
        .await
    }

    /// Ends a run: a live one at once, whoever holds it; a dead one that blocks its
    /// ordering key, so that those behind it go on.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn cancel(&self, run: RunId) -> Result<Cancelled, StoreError> {
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        self.write(move |tx| {
            let statements = Arc::clone(&statements);
            Box::pin(async move {
                lock_key_of(tx, run).await?;
                match statements.cancel_live(tx, epoch, run).await? {
                    Some(plugin) => Ok(Cancelled::Done(plugin)),
                    None => statements.unblock(tx, epoch, run).await,
                }
            })
        })
        .await
    }
}

/// Locks the run's ordering key, if it has one.
async fn lock_key_of(tx: &mut Tx, run: RunId) -> Result<(), StoreError> {
    let key = sql(
        "select plugin_id, order_key from runs where run_id = $1 union all \
         select plugin_id, order_key from history where run_id = $2",
    );
    let row = tx.fetch_optional(key.bind(run.0).bind(run.0)).await?;
    let Some(row) = row else { return Ok(()) };
    let key = row.bytes_or_none("order_key")?;
    let key = key.as_deref().and_then(OrderKey::from_bytes);
    let plugin = PluginId(row.int("plugin_id")?);
    let keys = key.into_iter().map(|key| (plugin, key));
    order::lock(tx, keys, std::iter::empty()).await
}

/// A live run: one that waits is due now.
pub(super) async fn hasten(tx: &mut Tx, run: RunId) -> Result<Retried, StoreError> {
    let locking = tx.dialect().locking();
    let live = sql(format!(
        "select state, due_ms, plugin_id from runs where run_id = $1{locking}"
    ));
    let Some(row) = tx.fetch_optional(live.bind(run.0)).await? else {
        return Ok(Retried::Unknown);
    };
    match row.int("state")? {
        1 => return Ok(Retried::NotNow(RunState::Running)),
        2 => return Ok(Retried::NotNow(RunState::Blocked)),
        _ if row.time("due_ms")? <= tx.now => return Ok(Retried::NotNow(RunState::Ready)),
        _ => {}
    }
    let hasten = sql("update runs set due_ms = $2 where run_id = $1").bind(run.0);
    tx.execute(hasten.bind(tx.now)).await?;
    Ok(Retried::Due(PluginId(row.int("plugin_id")?)))
}

impl super::Statements {
    /// A finished run: back among the live ones, unless it succeeded.
    pub(super) async fn revive(
        &self,
        tx: &mut Tx,
        counted_by: Epoch,
        run: RunId,
    ) -> Result<Retried, StoreError> {
        let locking = tx.dialect().locking();
        let finished = sql(format!(
            "select event_id, plugin_id, state, attempt, lease_no, created_ms, order_key \
             from history where run_id = $1{locking}"
        ));
        let Some(row) = tx.fetch_optional(finished.bind(run.0)).await? else {
            return Ok(Retried::Unknown);
        };
        let plugin = PluginId(row.int("plugin_id")?);
        let was = RunState::parse(&row.text("state")?);
        let Some(was @ (RunState::Dead | RunState::Cancelled)) = was else {
            return Ok(Retried::NotNow(RunState::Succeeded));
        };
        if !retention::hold(tx, &row.bytes("event_id")?).await? {
            return Ok(Retried::EventGone);
        }
        let gone =
            sql("select name from plugins where plugin_id = $1 and forgotten_ms is not null");
        if tx.fetch_optional(gone.bind(plugin.0)).await?.is_some() {
            return Ok(Retried::PluginGone);
        }
        let key = row.bytes_or_none("order_key")?;
        let state = if key.is_some() { 2i64 } else { 0 };
        let attempt = row.int("attempt")?;
        let insert = sql(
            "insert into runs (run_id, event_id, plugin_id, state, due_ms, attempt, free_attempts, lease_no, \
             created_ms, order_key) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        let insert = insert.bind(run.0).bind(row.bytes("event_id")?);
        let insert = insert.bind(plugin.0).bind(state).bind(tx.now);
        let insert = insert.bind(attempt).bind(attempt);
        let insert = insert
            .bind(row.int("lease_no")?)
            .bind(row.int("created_ms")?);
        tx.execute(insert.bind(key.as_deref())).await?;
        tx.execute(sql("delete from history where run_id = $1").bind(run.0))
            .await?;
        let uncount = std::iter::once((plugin, was, -1));
        self.history.count(tx, counted_by, uncount).await?;
        if let Some(key) = key.as_deref().and_then(OrderKey::from_bytes) {
            forget_block(tx, plugin, &key, run).await?;
            self.order.promote(tx, &[(plugin, key)]).await?;
        }
        Ok(Retried::Due(plugin))
    }

    /// Ends a live run; none, if there is no such one.
    pub(super) async fn cancel_live(
        &self,
        tx: &mut Tx,
        cancelled_by: Epoch,
        run: RunId,
    ) -> Result<Option<PluginId>, StoreError> {
        let locking = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " for update of r",
        };
        let live = sql(format!(
            "select r.event_id, r.plugin_id, r.state, r.attempt, r.free_attempts, r.lease_no, r.created_ms, \
             r.order_key, coalesce(h.name, '') as host \
             from runs r left join hosts h on h.epoch = r.owner where r.run_id = $1{locking}"
        ));
        let Some(row) = tx.fetch_optional(live.bind(run.0)).await? else {
            return Ok(None);
        };
        let host = row.text("host")?;
        let key = row.bytes_or_none("order_key")?;
        let over = Over {
            run,
            event: row.event("event_id")?,
            plugin: PluginId(row.int("plugin_id")?),
            order: key.as_deref().and_then(OrderKey::from_bytes),
            state: RunState::Cancelled,
            attempt: row.count("attempt")?,
            free_attempts: row.count("free_attempts")?,
            max_attempts: 0,
            lease_no: row.int("lease_no")?,
            created_at: row.time("created_ms")?,
            outcome: Outcome::Cancelled,
            summary: None,
            data: None,
            error: Some("an operator ended it"),
        };
        if row.int("state")? == 1 {
            let tried = Tried::without_record(
                (run, over.attempt),
                &host,
                tx.now,
                Outcome::Cancelled,
                over.error,
            );
            self.history
                .record_attempts(tx, std::iter::once(tried))
                .await?;
        }
        let plugin = over.plugin;
        self.history
            .bury(tx, &self.order, cancelled_by, &[over])
            .await?;
        Ok(Some(plugin))
    }

    /// A dead run that blocks its ordering key becomes a cancelled one.
    async fn unblock(
        &self,
        tx: &mut Tx,
        counted_by: Epoch,
        run: RunId,
    ) -> Result<Cancelled, StoreError> {
        let finished = sql("select state, plugin_id, order_key from history where run_id = $1");
        let Some(row) = tx.fetch_optional(finished.bind(run.0)).await? else {
            return Ok(Cancelled::Unknown);
        };
        let state = RunState::parse(&row.text("state")?).unwrap_or(RunState::Dead);
        let plugin = PluginId(row.int("plugin_id")?);
        let key = row.bytes_or_none("order_key")?;
        let Some(key) = key.as_deref().and_then(OrderKey::from_bytes) else {
            return Ok(Cancelled::NotNow(state));
        };
        if state != RunState::Dead || !forget_block(tx, plugin, &key, run).await? {
            return Ok(Cancelled::NotNow(state));
        }
        let cancel = sql("update history set state = 'cancelled' where run_id = $1");
        tx.execute(cancel.bind(run.0)).await?;
        let moved = [
            (plugin, RunState::Dead, -1),
            (plugin, RunState::Cancelled, 1),
        ];
        self.history
            .count(tx, counted_by, moved.into_iter())
            .await?;
        self.order.promote(tx, &[(plugin, key)]).await?;
        Ok(Cancelled::Done(plugin))
    }
}

/// Takes away what a dead run blocks; whether it did block its key.
async fn forget_block(
    tx: &mut Tx,
    plugin: PluginId,
    key: &OrderKey,
    run: RunId,
) -> Result<bool, StoreError> {
    let forget =
        sql("delete from order_blocks where plugin_id = $1 and order_key = $2 and run_id = $3");
    let forget = forget.bind(plugin.0).bind(key.as_bytes().as_slice());
    Ok(tx.execute(forget.bind(run.0)).await? > 0)
}
