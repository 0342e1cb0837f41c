//! `audit`: who changed what, when, from where, and how that was answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::store::{AuditId, ChangeFilter, ChangeRow};

use super::page::{Page, Parameters, Period};
use super::{Admin, AdminError};

/// A change that was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(super) struct ChangeJson {
    id: String,
    at: Timestamp,
    token: String,
    action: String,
    target: Option<String>,
    remote_addr: Option<String>,
    /// Of the answer; null where none was given.
    status: Option<i64>,
}

/// `GET audit?token=&action=&since=&until=&limit=&cursor=`.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "access", summary = "Lists what was changed, newest first",
    params(("token" = Option<String>, Query, min_length = 1, description = "Changes by this token"), ("action" = Option<String>, Query, min_length = 1, description = "Changes of this sort"), Period, ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<ChangeJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<ChangeJson>>, AdminError> {
    let limit = parameters.limit()?;
    let filter = ChangeFilter {
        token: parameters.take("token"),
        action: parameters.take("action"),
        since: parameters.time("since")?,
        until: parameters.time("until")?,
        before: parameters.parse("cursor")?.map(AuditId),
        limit: limit + 1,
    };
    parameters.finish()?;
    let rows = admin.store.changes(&filter).await?;
    let items = rows.into_iter().map(change_json).collect();
    Ok(Page::new(items, limit, |change: &ChangeJson| change.id.clone()).json())
}

fn change_json(row: ChangeRow) -> ChangeJson {
    ChangeJson {
        id: row.id.0.to_string(),
        at: row.at,
        token: row.token,
        action: row.action,
        target: row.target,
        remote_addr: row.remote_addr,
        status: row.status,
    }
}
