//! Plugins by their names, as requests have them, and the other way round.

use std::sync::Arc;

use crate::admin::{Admin, AdminError};
use crate::dispatch::Board;
use crate::name::PluginName;
use crate::plugin::Manifest;
use crate::run::PluginId;

/// What an error calls one.
const WHAT: &str = "plugin";

/// The error of a name that no plugin has.
pub(in crate::admin) fn unknown(name: &str) -> AdminError {
    AdminError::unknown(WHAT, name)
}

/// The number of a plugin by its name.
pub(in crate::admin) fn id_of(board: &Board, name: &str) -> Result<PluginId, AdminError> {
    let entry = name
        .parse::<PluginName>()
        .ok()
        .and_then(|name| board.entries.get(&name));
    entry
        .and_then(|entry| entry.id)
        .ok_or_else(|| unknown(name))
}

/// The same, of what can have runs.
pub(in crate::admin) fn runnable_id(board: &Board, name: &str) -> Result<PluginId, AdminError> {
    let id = id_of(board, name)?;
    let manifest = board.by_id(id).and_then(|entry| entry.manifest.as_ref());
    if manifest.is_some_and(Manifest::is_verifier) {
        let problem = format!("plugin `{name}` is a verifier, which gets no events");
        return Err(AdminError::NotNow(problem));
    }
    Ok(id)
}

/// The same, also of a plugin that is forgotten: its runs are there still.
pub(in crate::admin) fn any_id_of(board: &Board, name: &str) -> Result<PluginId, AdminError> {
    let id = name.parse().ok().and_then(|name| board.id_of(&name));
    id.ok_or_else(|| unknown(name))
}

/// The name of a plugin by its number, also of one that is forgotten.
pub(in crate::admin) fn name_of(board: &Board, plugin: PluginId) -> String {
    let name = board.name_of(plugin);
    name.map_or_else(|| plugin.0.to_string(), ToString::to_string)
}

/// What was found by a plugin's name; where there is none, with the reason if one is known.
pub(in crate::admin) async fn explained<T>(
    admin: &Admin,
    found: Result<T, AdminError>,
) -> Result<T, AdminError> {
    match found {
        Err(AdminError::Unknown { what: WHAT, id }) => Err(not_seen(admin, &id).await),
        found => found,
    }
}

/// Why there is no plugin of this name: its file may never have loaded, or be there and not
/// looked at yet.
async fn not_seen(admin: &Admin, name: &str) -> AdminError {
    let Ok(plugin) = name.parse::<PluginName>() else {
        return unknown(name);
    };
    let candidate = {
        let board = admin.board.load();
        let entry = board.entries.get(&plugin);
        entry.and_then(|entry| entry.candidate.clone())
    };
    if let Some(candidate) = candidate {
        let problem = candidate.problem;
        return AdminError::NotSeen(format!("plugin `{name}` was never active: {problem}"));
    }
    let config = Arc::clone(&admin.config.borrow());
    let file = config.plugin(&plugin).file.clone();
    let file = file.unwrap_or_else(|| format!("{name}.wasm"));
    let about = tokio::fs::metadata(config.plugins_dir.join(&file)).await;
    if about.is_ok_and(|about| about.is_file()) {
        return AdminError::NotSeen(format!(
            "plugin `{name}` is not known yet, but `{file}` is in the plugins directory; a new file \
             is looked at within 30 s, mostly at once, and the list of plugins shows when it is active"
        ));
    }
    unknown(name)
}
