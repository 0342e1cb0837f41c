//! `plugins`: list, show, their state, rescan, pause, resume, their versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::config::{EndpointGrant, PluginConfig};
use crate::dispatch::Entry;
use crate::http::Problem;
use crate::name::PluginName;
use crate::plugin::{Digest, Manifest, Role, TriggerText, Wants};
use crate::run::PluginId;
use crate::store::PluginRuns;

use super::access::Caller;
use super::operations::BegunJson;
use super::page::{Page, Parameters};
use super::problems::JsonBytes;
use super::{Admin, AdminError};

mod cost;
pub(super) mod kv;
pub(super) mod named;
pub(super) mod rescan;

use cost::CostJson;

/// A plugin.
#[derive(Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(super) struct PluginJson {
    name: String,
    file: String,
    /// What it is for: `plugin` or `verifier`.
    role: &'static str,
    state: &'static str,
    digest: Option<Digest>,
    version: Option<String>,
    description: Option<String>,
    contract: Option<&'static str>,
    triggers: Vec<TriggerText>,
    wants: Wants,
    missing_grants: Vec<String>,
    grants: GrantsJson,
    candidate: Option<CandidateJson>,
    pinned: bool,
    hosts: Vec<String>,
    runs: BTreeMap<&'static str, i64>,
    loaded_at: Option<Timestamp>,
    error: Option<String>,
    /// Of one plugin, not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Vec<VersionJson>>,
    /// Of one plugin, not in a list; null until it has finished a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CostJson>)]
    cost: Option<Option<CostJson>>,
}

/// What the operator allows it; secrets and settings by name only.
#[derive(Serialize, ToSchema)]
#[schema(as = Grants)]
struct GrantsJson {
    http: BTreeMap<String, EndpointJson>,
    secrets: Vec<String>,
    config: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = GrantedEndpoint)]
struct EndpointJson {
    origin: String,
    secrets: Vec<String>,
    private: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
struct VersionJson {
    digest: Digest,
    version: Option<String>,
    /// When it became active first, as far back as that was noted
    first_activated_at: Timestamp,
    /// When it last became active
    activated_at: Timestamp,
    is_active: bool,
}

/// What a rollback may name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollBack)]
struct RollBack {
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    digest: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Candidate)]
struct CandidateJson {
    digest: Option<Digest>,
    problem: String,
}

/// `GET plugins`: all of them, by name.
#[utoipa::path(
    get, path = "/api/v1/plugins", tag = "plugins", summary = "Lists the plugins, by name",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<PluginJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<PluginJson>>, AdminError> {
    let limit = parameters.limit()?;
    let after: Option<PluginName> = parameters.parse("cursor")?;
    parameters.finish()?;
    let board = admin.board.load_full();
    let behind = board
        .entries
        .values()
        .filter(|entry| after.as_ref().is_none_or(|after| entry.name > *after));
    let limit_and_one = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<&Arc<Entry>> = behind.take(limit_and_one.saturating_add(1)).collect();
    let ids = page.iter().filter_map(|entry| entry.id);
    let counts = admin.store.runs_of_plugins(ids).await?;
    let json = |entry: &Arc<Entry>| plugin_json(&admin, entry, counts_of(entry, &counts));
    let items = page.into_iter().map(json).collect();
    Ok(Page::new(items, limit, |plugin: &PluginJson| plugin.name.clone()).json())
}

/// `GET plugins/{name}`.
#[utoipa::path(
    get, path = "/api/v1/plugins/{name}", tag = "plugins", summary = "Shows one plugin with its versions",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    responses((status = 200, description = "The plugin", body = PluginJson)),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<PluginJson>, AdminError> {
    shown(&admin, &name).await
}

/// A plugin with its versions.
async fn shown(admin: &Admin, name: &str) -> Result<Json<PluginJson>, AdminError> {
    let board = admin.board.load_full();
    let entry = board.entries.get(&plugin_name(name)?);
    let entry = entry.ok_or_else(|| named::unknown(name));
    let entry = named::explained(admin, entry).await?;
    let versions = versions(admin, entry).await?;
    let cost = match entry.id {
        Some(id) => admin.store.cost(id).await?.map(CostJson::from),
        None => None,
    };
    let counts = admin.store.runs_of_plugins(entry.id).await?;
    Ok(Json(PluginJson {
        versions: Some(versions),
        cost: Some(cost),
        ..plugin_json(admin, entry, counts_of(entry, &counts))
    }))
}

/// The versions that can be active: kept here, the one that became so last first.
async fn versions(admin: &Admin, entry: &Entry) -> Result<Vec<VersionJson>, AdminError> {
    let Some(id) = entry.id else {
        return Ok(Vec::new());
    };
    let active = entry.active.as_ref().map(|active| active.digest);
    let mut kept = Vec::new();
    for row in admin.store.versions(id).await? {
        let Ok(digest) = row.digest.parse::<Digest>() else {
            continue;
        };
        let is_active = active == Some(digest);
        if is_active || admin.shelf.has(digest).await {
            let now = entry.manifest.as_ref().filter(|_| is_active);
            kept.push(VersionJson {
                digest,
                version: row.version.or(now.map(|now| now.version.clone())),
                first_activated_at: row.first_activated_at,
                activated_at: row.activated_at,
                is_active,
            });
        }
    }
    Ok(kept)
}

/// `POST plugins/{name}/pause`: no run of it is started until it is resumed.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/pause", tag = "plugins", summary = "Starts no run of it until it is resumed",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    responses((status = 204, description = "It is paused")),
)]
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, true).await
}

/// `POST plugins/{name}/resume`: it is paused no more, and tripped on no host.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/resume", tag = "plugins", summary = "Starts its runs again",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    responses((status = 204, description = "It is paused no more")),
)]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, false).await
}

async fn set_paused(admin: &Admin, name: &str, is_paused: bool) -> Result<StatusCode, AdminError> {
    let plugin = named::id_of(&admin.board.load(), name);
    let plugin = named::explained(admin, plugin).await?;
    admin.store.pause_plugin(plugin, is_paused).await?;
    admin.registry_changed.notify_one();
    if let Err(error) = admin.store.tell_registry().await {
        tracing::debug!(%error, "other hosts are not told of the registry; they look by themselves");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST plugins/{name}/rollback {"digest"?}`: a version that was active before is
/// again, and stays so until a version appears that was never seen, or it is unpinned.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/rollback", tag = "plugins", summary = "Makes an earlier version active and pins it",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    request_body(content = Option<RollBack>),
    responses((status = 200, description = "The plugin", body = PluginJson), (status = 409, description = "There is no such version here", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn roll_back(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: JsonBytes,
) -> Result<Json<PluginJson>, AdminError> {
    let asked: Option<RollBack> = body.object_if_any()?;
    let to = asked.and_then(|asked| asked.digest);
    let to = to.map(|text| {
        text.parse::<Digest>()
            .map_err(|_| AdminError::unknown("version", text))
    });
    let plugin = plugin_name(&name)?;
    admin.controls.roll_back(plugin, to.transpose()?).await?;
    shown(&admin, &name).await
}

/// `POST plugins/{name}/unpin`: the file in the plugins directory may run again;
/// answers when it was looked at.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/unpin", tag = "plugins", summary = "Lets the file on disk be active again",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    responses((status = 200, description = "The plugin", body = PluginJson), (status = 409, description = "It is not pinned", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn unpin(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<PluginJson>, AdminError> {
    let file = admin.controls.unpin(plugin_name(&name)?).await?;
    admin.rescan.again([file]);
    admin.rescan.now().await;
    shown(&admin, &name).await
}

/// `POST plugins/{name}/forget`: takes away a plugin whose file is gone.
#[utoipa::path(
    post, path = "/api/v1/plugins/{name}/forget", tag = "plugins", summary = "Takes away a plugin whose file is gone",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name")),
    responses((status = 202, description = "It has begun", body = BegunJson), (status = 409, description = "A host has its file", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn forget(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<BegunJson>), AdminError> {
    // That its file is gone may not have been noticed yet.
    admin.rescan.now().await;
    let forgotten = admin.controls.forget(plugin_name(&name)?, caller.token);
    let operation = forgotten.await?;
    admin.operation_begun.notify_one();
    let operation_id = operation.to_string();
    Ok((StatusCode::ACCEPTED, Json(BegunJson { operation_id })))
}

fn plugin_name(name: &str) -> Result<PluginName, AdminError> {
    name.parse().map_err(|_| named::unknown(name))
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

/// What was counted for a plugin; nothing for one that the store does not know.
pub(super) fn counts_of(
    entry: &Entry,
    counts: &HashMap<PluginId, PluginRuns>,
) -> Option<PluginRuns> {
    counts.get(&entry.id?).copied()
}

fn plugin_json(admin: &Admin, entry: &Entry, counts: Option<PluginRuns>) -> PluginJson {
    let mut runs = BTreeMap::new();
    if let Some(counts) = counts {
        runs.extend(states(&counts, entry.can_run(admin.clock.now())));
        runs.extend([
            ("succeeded", counts.succeeded),
            ("dead", counts.dead),
            ("cancelled", counts.cancelled),
        ]);
    }
    let candidate = entry.candidate.as_ref();
    let manifest = entry.manifest.as_ref();
    PluginJson {
        name: entry.name.to_string(),
        file: entry.file.clone(),
        state: entry.state().as_str(),
        role: role(manifest),
        digest: entry.active.as_ref().map(|active| active.digest),
        version: manifest.map(|manifest| manifest.version.clone()),
        description: manifest.map(|manifest| manifest.description.clone()),
        contract: entry
            .active
            .as_ref()
            .map(|active| active.contract.version()),
        triggers: entry.triggers.iter().map(TriggerText::from).collect(),
        wants: manifest
            .map(|manifest| manifest.wants.clone())
            .unwrap_or_default(),
        missing_grants: candidate
            .map(|candidate| candidate.missing_grants.clone())
            .unwrap_or_default(),
        grants: grants_json(&entry.settings),
        candidate: candidate.map(|candidate| CandidateJson {
            digest: candidate.digest,
            problem: candidate.problem.clone(),
        }),
        pinned: entry.is_pinned,
        hosts: {
            let here = entry.active.iter().map(|_| admin.host_name.to_string());
            here.chain(entry.elsewhere.iter().cloned()).collect()
        },
        runs,
        loaded_at: entry.loaded_at,
        error: candidate
            .filter(|_| entry.active.is_none())
            .map(|candidate| candidate.problem.clone())
            .or(entry.trip().map(|trip| trip.to_string())),
        versions: None,
        cost: None,
    }
}

fn grants_json(settings: &PluginConfig) -> GrantsJson {
    let endpoint = |(name, grant): (&String, &EndpointGrant)| {
        let endpoint = EndpointJson {
            origin: grant.origin.to_string(),
            secrets: grant.secrets.iter().cloned().collect(),
            private: grant.private,
        };
        (name.clone(), endpoint)
    };
    GrantsJson {
        http: settings.http.iter().map(endpoint).collect(),
        secrets: settings.secrets.keys().cloned().collect(),
        config: settings.config.keys().cloned().collect(),
    }
}

fn role(manifest: Option<&Manifest>) -> &'static str {
    match manifest.is_some_and(Manifest::is_verifier) {
        true => Role::Verifier.as_str(),
        false => Role::Plugin.as_str(),
    }
}
