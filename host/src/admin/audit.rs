//! `audit`: who changed what, when, from where, and how that was answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::clock::Timestamp;
use crate::store::{AuditId, ChangeFilter, ChangeRow};

use super::page::{Page, Parameters};
use super::schema::Time;
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

/// Which changes are meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeQuery {
    /// Changes by this token
    #[param(min_length = 1)]
    token: Option<String>,
    /// Changes of this sort
    #[param(min_length = 1)]
    action: Option<String>,
    /// At this time (RFC 3339, or Unix seconds) or later
    #[param(value_type = Option<Time>)]
    since: Option<Timestamp>,
    /// Before this time
    #[param(value_type = Option<Time>)]
    until: Option<Timestamp>,
}

/// `GET audit?token=&action=&since=&until=&limit=&cursor=`.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "access", summary = "Lists what was changed, newest first",
    params(ChangeQuery, ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,19}$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<ChangeJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<ChangeJson>>, AdminError> {
    let limit = parameters.limit()?;
    let query = ChangeQuery::take(&mut parameters)?;
    let filter = ChangeFilter {
        token: query.token,
        action: query.action,
        since: query.since,
        until: query.until,
        before: parameters.place("cursor")?.map(AuditId),
        limit: limit + 1,
    };
    parameters.finish()?;
    let rows = admin.store.changes(&filter).await?;
    let items = rows.into_iter().map(change_json).collect();
    Ok(Page::new(items, limit, |change: &ChangeJson| change.id.clone()).json())
}

impl ChangeQuery {
    fn take(parameters: &mut Parameters) -> Result<Self, AdminError> {
        Ok(Self {
            token: parameters.take("token"),
            action: parameters.take("action"),
            since: parameters.time("since")?,
            until: parameters.time("until")?,
        })
    }
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
