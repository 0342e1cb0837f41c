//! Forgetting a plugin: at once for whoever asks, and in slices for what it leaves.
//!
//! Its row stays, for the names in its history; its name is free for another plugin,
//! which gets a number of its own and so nothing of what was before.

use std::sync::Arc;

use crate::run::{Outcome, PluginId, RunState};

use super::expiry::{Ending, key_of, still_waiting};
use super::hosts::HostRow;
use super::operations::{Begun, NewOperation, OperationId, OwnOperation, Request, advance, begin};
use super::sql::{Row, sql};
use super::tx::Tx;
use super::{Store, StoreError, order};

/// Runs cancelled in one transaction.
const RUNS: u32 = 250;
/// Keys of its state deleted in one transaction.
const KEYS: u32 = 1000;
const CANCELLED: Ending = Ending {
    state: RunState::Cancelled,
    outcome: Outcome::Cancelled,
    why: "its plugin was forgotten",
    is_attempt: false,
};

/// What became of a request to forget a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgot {
    /// It is gone from the registry; this operation ends its runs.
    Begun(OperationId),
    /// There is no such plugin.
    Unknown,
    /// These live hosts have its file.
    IsAt(Vec<String>),
}

/// How far the end of a forgotten plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgetting {
    /// There may be more to do at once.
    More,
    /// Its last runs are still executing, or may still be on their way.
    Waits,
    /// Nothing of it is left but its history, or the operation is not this host's.
    Over,
}

impl Store {
    /// Takes a plugin out of the registry, with its triggers and its name, and begins
    /// to cancel its runs, unless another live host has its file. `created_by` is the token
    /// that asks for it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn forget_plugin(
        &self,
        plugin: PluginId,
        created_by: Option<&str>,
    ) -> Result<Forgot, StoreError> {
        let epoch = self.epoch().0;
        let created_by = created_by.map(str::to_owned);
        self.write(move |tx| {
            let created_by = created_by.clone();
            Box::pin(async move {
                let has_it = |host: &HostRow| {
                    host.epoch != epoch && host.loaded.iter().any(|(has, _)| *has == plugin)
                };
                let live = super::hosts::live(tx).await?;
                let hosts: Vec<String> = live
                    .into_iter()
                    .filter(has_it)
                    .map(|host| host.name)
                    .collect();
                if !hosts.is_empty() {
                    return Ok(Forgot::IsAt(hosts));
                }
                let forget = sql("update plugins set forgotten_ms = $2, triggers = '[]' \
                     where plugin_id = $1 and forgotten_ms is null returning name");
                let forget = forget.bind(plugin.0).bind(tx.now);
                let Some(row) = tx.fetch_optional(forget).await? else {
                    return Ok(Forgot::Unknown);
                };
                end_catch_up(tx, &row.text("name")?).await?;
                let new = NewOperation {
                    request: Request::Forget { plugin },
                    is_dry_run: false,
                    created_by,
                    idempotency_key: None,
                };
                match begin(tx, &new).await? {
                    Begun::New(id) | Begun::Known(id) | Begun::KeyTaken(id) => {
                        Ok(Forgot::Begun(id))
                    }
                }
            })
        })
        .await
    }

    /// The plugins that were forgotten, for the names in their history.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn forgotten_plugins(&self) -> Result<Vec<(PluginId, String)>, StoreError> {
        let all = sql(
            "select plugin_id, name from plugins where forgotten_ms is not null \
             order by plugin_id",
        );
        let rows = self.run_readers().fetch_all(all).await?;
        let read = |row: &Row| Ok((PluginId(row.int("plugin_id")?), row.text("name")?));
        rows.iter().map(read).collect()
    }

    /// A slice of the end of a forgotten plugin; `is_settled` says that nobody stores
    /// runs for it any more.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn forget_slice(
        &self,
        of: &OwnOperation,
        plugin: PluginId,
        is_settled: bool,
    ) -> Result<Forgetting, StoreError> {
        // Those behind an ordering key first: else each end would let one of them go.
        // Indexes `runs_in_order` and `runs_ready`.
        for which in ["state = 2 and order_key is not null", "state = 0"] {
            let some = sql(format!(
                "select run_id, order_key from runs where plugin_id = $1 and {which} limit $2"
            ));
            let some = some.bind(plugin.0).bind(RUNS);
            let rows = self.run_readers().fetch_all(some).await?;
            if !rows.is_empty() {
                return self.cancel_slice(of, plugin, &rows).await;
            }
        }
        let running = sql("select run_id from runs where state = 1 and plugin_id = $1 limit 1");
        let running = self.run_readers().fetch_optional(running.bind(plugin.0));
        if running.await?.is_some() || !is_settled {
            return Ok(Forgetting::Waits);
        }
        self.delete_slice(of, plugin).await
    }

    async fn cancel_slice(
        &self,
        of: &OwnOperation,
        plugin: PluginId,
        rows: &[Row],
    ) -> Result<Forgetting, StoreError> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut keys = Vec::new();
        for row in rows {
            ids.push(row.int("run_id")?);
            keys.extend(key_of(row)?.map(|key| (plugin, key)));
        }
        let (epoch, statements, of) = (self.epoch(), Arc::clone(&self.0.statements), of.clone());
        self.write(move |tx| {
            let (statements, of) = (Arc::clone(&statements), of.clone());
            let (ids, keys) = (ids.clone(), keys.clone());
            Box::pin(async move {
                order::lock(tx, keys.into_iter(), std::iter::empty()).await?;
                let over = still_waiting(tx, ids, &CANCELLED).await?;
                if !advance(tx, epoch, &of, Some(&of.position), over.len()).await? {
                    return Ok(Forgetting::Over);
                }
                let history = &statements.history;
                history.bury(tx, &statements.order, epoch, &over).await?;
                Ok(Forgetting::More)
            })
        })
        .await
    }

    /// Deletes some of what the plugin kept, at last all that is left.
    async fn delete_slice(
        &self,
        of: &OwnOperation,
        plugin: PluginId,
    ) -> Result<Forgetting, StoreError> {
        let (epoch, of) = (self.epoch(), of.clone());
        self.write(move |tx| {
            let of = of.clone();
            Box::pin(async move {
                let kept = sql("delete from kv where plugin_id = $1 and key in \
                     (select key from kv where plugin_id = $1 order by key limit $2)");
                if tx.execute(kept.bind(plugin.0).bind(KEYS)).await? > 0 {
                    return Ok(Forgetting::More);
                }
                for table in ["order_blocks", "rates", "digests"] {
                    let rest = sql(format!("delete from {table} where plugin_id = $1"));
                    tx.execute(rest.bind(plugin.0)).await?;
                }
                advance(tx, epoch, &of, None, 0).await?;
                Ok(Forgetting::Over)
            })
        })
        .await
    }
}

/// A plugin of this name that comes later is new: it may catch up again.
async fn end_catch_up(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    let end = sql("update operations set idempotency_key = null, \
         finished_ms = case when state = 'running' then $2 else finished_ms end, \
         state = case when state = 'running' then 'cancelled' else state end \
         where idempotency_key = $1");
    let end = end.bind(Request::catch_up_key(name)).bind(tx.now);
    tx.execute(end).await?;
    Ok(())
}
