//! Catch-up: what a plugin that was never active before gets of the stored events.

use std::time::Duration;

use crate::config::PluginConfig;
use crate::name::PluginName;
use crate::run::PluginId;
use crate::store::{Begun, NewOperation, Request, Store, StoreError};

use super::Board;

/// So long after a plugin has become known, every event is stored that was received
/// without it: alone, what was on its way to the database; with others, what came
/// before they had heard of it.
const SETTLED: Duration = Duration::from_secs(1);
const SETTLED_SHARED: Duration = Duration::from_secs(10);

/// Begins the catch-up of a plugin that has never been active, once for all hosts. To
/// be called before it becomes active: a host that dies between the two comes back to
/// both.
///
/// # Errors
/// [`StoreError`] if it is not known whether it has begun.
pub(in crate::dispatch) async fn begin_catch_up(
    store: &Store,
    name: &PluginName,
    settings: &PluginConfig,
) -> Result<(), StoreError> {
    let Some(age) = settings.catch_up else {
        return Ok(());
    };
    let known = store.plugin(name.as_str()).await?;
    if known.is_some_and(|row| row.digest.is_some()) {
        return Ok(());
    }
    let catch_up = NewOperation {
        request: Request::CatchUp {
            plugin: name.to_string(),
            since: store.clock().now().minus(age),
        },
        is_dry_run: false,
        created_by: None,
        idempotency_key: Some(Request::catch_up_key(name.as_str())),
    };
    if let Begun::New(id) = store.begin_operation(catch_up).await? {
        tracing::info!(plugin = %name, operation = id.0, "the plugin is new; it gets stored events too");
    }
    Ok(())
}

/// Whether nothing is in hand any more, here or on another live host, that was received
/// without knowing the plugin: however long a commit stalls, what is not stored by now gets
/// a run by itself.
///
/// An event holds what it was matched against until it is stored, which costs a count, and
/// hosts say with their lease what all of this knows: so the rule is exact where
/// there is one host. What is left to [`settled`] is a host whose lease has ended and that
/// stores events all the same before it has looked at the registry: to exclude it, each
/// batch would have to compare the registry's version within its transaction. The same for
/// a statement whose host was cut off from the database, and that goes through later: it
/// was not acknowledged.
pub(super) async fn is_known(
    store: &Store,
    board: &Board,
    plugin: PluginId,
) -> Result<bool, StoreError> {
    Ok(board.knows().contains(&plugin) && store.is_known_elsewhere(plugin).await?)
}

/// How long a new plugin may be unknown to who receives events, as far as nobody says.
pub(super) fn settled(store: &Store) -> Duration {
    if store.is_shared() {
        SETTLED_SHARED
    } else {
        SETTLED
    }
}

/// The number of a plugin, once it has been active and that is known here.
pub(super) fn plugin(board: &Board, name: &str) -> Option<PluginId> {
    let name: PluginName = name.parse().ok()?;
    let entry = board.entries.get(&name)?;
    entry.id.filter(|_| entry.registered.is_some())
}
