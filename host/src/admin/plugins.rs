//! `plugins`: list, show, their state, rescan.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::dispatch::Entry;
use crate::name::PluginName;
use crate::plugin::{CONTRACT, Digest, TriggerText, Wants};
use crate::store::{KvItem, PluginRuns};

use super::events::plugin_id;
use super::page::{Page, Parameters};
use super::{Admin, AdminError};

/// A plugin.
#[derive(Serialize)]
pub(super) struct PluginJson {
    name: String,
    file: String,
    state: &'static str,
    digest: Option<Digest>,
    version: Option<String>,
    description: Option<String>,
    contract: Option<&'static str>,
    triggers: Vec<TriggerText>,
    wants: Wants,
    missing_grants: Vec<String>,
    candidate: Option<CandidateJson>,
    pinned: bool,
    hosts: Vec<String>,
    runs: BTreeMap<&'static str, i64>,
    loaded_at: Option<Timestamp>,
    error: Option<String>,
}

#[derive(Serialize)]
struct CandidateJson {
    digest: Option<Digest>,
    problem: String,
}

/// A key of a plugin's state.
#[derive(Serialize)]
pub(super) struct KvJson {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    size_bytes: usize,
    updated_at: Timestamp,
}

/// `GET plugins`: all of them, by name.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<PluginJson>>, AdminError> {
    let limit = parameters.limit()?;
    let after: Option<PluginName> = parameters.parse("cursor")?;
    parameters.finish()?;
    let board = admin.board.load_full();
    let mut items = Vec::new();
    let behind = board
        .entries
        .values()
        .filter(|entry| after.as_ref().is_none_or(|after| entry.name > *after));
    for entry in behind.take(
        usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_add(1),
    ) {
        items.push(plugin_json(&admin, entry).await?);
    }
    Ok(Page::new(items, limit, |plugin: &PluginJson| plugin.name.clone()).json())
}

/// `GET plugins/{name}`.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<PluginJson>, AdminError> {
    let board = admin.board.load_full();
    let entry = name
        .parse::<PluginName>()
        .ok()
        .and_then(|name| board.entries.get(&name));
    let entry = entry.ok_or_else(|| AdminError::unknown("plugin", name))?;
    plugin_json(&admin, entry).await.map(Json)
}

/// `GET plugins/{name}/kv?prefix=`, by key.
pub(super) async fn kv(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Page<KvJson>>, AdminError> {
    let plugin = plugin_id(&admin.board.load(), &name)?;
    let limit = parameters.limit()?;
    let prefix = parameters.take("prefix").unwrap_or_default();
    let after = parameters.take("cursor");
    parameters.finish()?;
    let rows = admin
        .store
        .kv_page(plugin, &prefix, after.as_deref(), limit + 1)
        .await?;
    let items = rows.into_iter().map(kv_json).collect();
    Ok(Page::new(items, limit, |item: &KvJson| item.key.clone()).json())
}

/// `POST plugins/rescan`: answers when every file was looked at.
pub(super) async fn rescan(State(admin): State<Arc<Admin>>) -> StatusCode {
    admin.rescan.now().await;
    StatusCode::NO_CONTENT
}

/// How many live runs stand where; all wait behind a plugin that cannot run.
pub(super) fn states(runs: &PluginRuns, can_run: bool) -> [(&'static str, i64); 4] {
    let (ready, waiting, blocked) = if can_run {
        (runs.due, runs.later, runs.behind)
    } else {
        (0, 0, runs.due + runs.later + runs.behind)
    };
    [
        ("ready", ready),
        ("running", runs.running),
        ("waiting", waiting),
        ("blocked", blocked),
    ]
}

async fn plugin_json(admin: &Admin, entry: &Entry) -> Result<PluginJson, AdminError> {
    let mut runs = BTreeMap::new();
    if let Some(id) = entry.id {
        let counts = admin.store.plugin_runs(id).await?;
        runs.extend(states(&counts, entry.can_run()));
        runs.extend([
            ("succeeded", counts.succeeded),
            ("dead", counts.dead),
            ("cancelled", counts.cancelled),
        ]);
    }
    let candidate = entry.candidate.as_ref();
    let manifest = entry.manifest.as_ref();
    Ok(PluginJson {
        name: entry.name.to_string(),
        file: entry.file.clone(),
        state: entry.state().as_str(),
        digest: entry.active.as_ref().map(|active| active.digest),
        version: manifest.map(|manifest| manifest.version.clone()),
        description: manifest.map(|manifest| manifest.description.clone()),
        contract: manifest.map(|_| CONTRACT),
        triggers: entry.triggers.iter().map(TriggerText::from).collect(),
        wants: manifest
            .map(|manifest| manifest.wants.clone())
            .unwrap_or_default(),
        missing_grants: candidate
            .map(|candidate| candidate.missing_grants.clone())
            .unwrap_or_default(),
        candidate: candidate.map(|candidate| CandidateJson {
            digest: candidate.digest,
            problem: candidate.problem.clone(),
        }),
        pinned: false,
        hosts: {
            let here = entry.active.iter().map(|_| admin.host_name.to_string());
            here.chain(entry.elsewhere.iter().cloned()).collect()
        },
        runs,
        loaded_at: entry.loaded_at,
        error: candidate
            .filter(|_| entry.active.is_none())
            .map(|candidate| candidate.problem.clone()),
    })
}

/// A value as text where it is text, else as base64.
fn kv_json(item: KvItem) -> KvJson {
    let size_bytes = item.value.len();
    let (value, value_base64) = match String::from_utf8(item.value) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    };
    KvJson {
        key: item.key,
        value,
        value_base64,
        size_bytes,
        updated_at: Timestamp::from_millis(item.updated_ms),
    }
}
