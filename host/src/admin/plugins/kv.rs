//! `plugins/{name}/kv`: what a plugin keeps, by key.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::page::{Page, Parameters};
use crate::admin::{Admin, AdminError};
use crate::clock::Timestamp;
use crate::store::KvItem;

use super::named;

/// A key of a plugin's state.
#[derive(Serialize, ToSchema)]
#[schema(as = KvItem)]
pub(in crate::admin) struct KvJson {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    size_bytes: usize,
    updated_at: Timestamp,
}

/// `GET plugins/{name}/kv?prefix=`, by key.
#[utoipa::path(
    get, path = "/api/v1/plugins/{name}/kv", tag = "plugins", summary = "Lists what a plugin keeps, by key",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The plugin's name"), ("prefix" = Option<String>, Query, min_length = 1, description = "Only keys that begin so"), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, min_length = 1, description = "Continues behind this key")),
    responses((status = 200, description = "A page", body = Page<KvJson>)),
)]
pub(in crate::admin) async fn list(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Page<KvJson>>, AdminError> {
    let plugin = named::id_of(&admin.board.load(), &name);
    let plugin = named::explained(&admin, plugin).await?;
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
