//! `sources`: the inbound addresses and what came in by them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::ingest::scheme::{Coverage, Proof};
use crate::ingest::{Source, pauses};
use crate::store::SourceMinute;

use super::page::{Page, Parameters};
use super::stats::minutes;
use super::{Admin, AdminError};

/// A source.
#[derive(Serialize)]
pub(super) struct SourceJson {
    name: String,
    paths: Vec<String>,
    provider: String,
    /// Whether the sender's proof covers the body.
    covers_body: bool,
    paused: bool,
    last_event_at: Option<Timestamp>,
    received_1h: i64,
    rejected_1h: i64,
    secrets: Vec<SecretJson>,
}

#[derive(Serialize)]
struct SecretJson {
    /// Which one, from 1 in the order of the configuration.
    n: usize,
    last_matched_at: Option<Timestamp>,
}

/// `GET sources`: all of them, by name.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<SourceJson>>, AdminError> {
    let limit = parameters.limit()?;
    let after = parameters.take("cursor");
    parameters.finish()?;
    let since = admin.clock.now().minus(Duration::from_hours(1));
    let (minutes, _) = minutes(&admin, since).await?;
    let mut items = Vec::new();
    for source in admin.sources.all() {
        if after
            .as_deref()
            .is_some_and(|after| source.config.name.as_str() <= after)
        {
            continue;
        }
        items.push(source_json(&admin, &source, &minutes).await?);
    }
    Ok(Page::new(items, limit, |source: &SourceJson| source.name.clone()).json())
}

/// `POST sources/{name}/pause`: its senders are told to come again, by every host,
/// until it is resumed.
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, true).await
}

/// `POST sources/{name}/resume`.
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, false).await
}

async fn set_paused(admin: &Admin, name: &str, is_paused: bool) -> Result<StatusCode, AdminError> {
    if admin.sources.named(name).is_none() {
        return Err(AdminError::unknown("source", name));
    }
    admin.store.pause_source(name, is_paused).await?;
    // Here at once; other hosts look every second.
    pauses::read(&admin.store, &admin.sources).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn source_json(
    admin: &Admin,
    source: &Source,
    minutes: &[SourceMinute],
) -> Result<SourceJson, AdminError> {
    let config = &source.config;
    let name = config.name.as_str();
    let (mut received_1h, mut rejected_1h) = (0, 0);
    for minute in minutes.iter().filter(|minute| minute.source == name) {
        received_1h += minute.received + minute.duplicates;
        rejected_1h += minute.rejected;
    }
    let secrets = source.secrets_matched().into_iter().enumerate();
    Ok(SourceJson {
        name: name.to_owned(),
        paths: std::iter::once(format!("/webhooks/{name}"))
            .chain(config.path.clone())
            .collect(),
        provider: config.provider.name.clone(),
        covers_body: covers_body(admin, &config.provider.proof),
        paused: admin.sources.is_paused(source),
        last_event_at: admin.store.last_event_at(name).await?,
        received_1h,
        rejected_1h,
        secrets: secrets
            .map(|(index, last_matched_at)| SecretJson {
                n: index + 1,
                last_matched_at,
            })
            .collect(),
    })
}

/// Of a verifier, what it says of itself.
fn covers_body(admin: &Admin, proof: &Proof) -> bool {
    let Proof::Verifier(by) = proof else {
        return proof.coverage() == Coverage::Body;
    };
    let board = admin.board.load();
    let entry = board.entries.get(&by.verifier);
    let manifest = entry.and_then(|entry| entry.manifest.as_ref());
    let said = manifest.and_then(|manifest| manifest.verifies.as_ref());
    said.is_some_and(|said| said.covers_body)
}
