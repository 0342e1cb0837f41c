//! `plugins/rescan`: a look at the plugins directory now, and the plugin that is called so.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use crate::admin::access::Target;
use crate::admin::{Admin, AdminError};
use crate::dispatch::Board;
use crate::http::Problem;
use crate::name::PluginName;
use crate::plugin::Digest;

use super::{PluginJson, shown};

/// Bytes of a digest in the audit log: enough to tell versions apart, and to find one by.
const DIGEST_BYTES: usize = 6;

/// `GET plugins/rescan`: the plugin of this name, since the address is no other's.
#[utoipa::path(
    get, path = "/api/v1/plugins/rescan", tag = "plugins", summary = "Shows the plugin that is called `rescan`",
    responses((status = 200, description = "The plugin", body = PluginJson), (status = 404, description = "There is none of this name", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::admin) async fn show_rescan(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<PluginJson>, AdminError> {
    shown(&admin, "rescan").await
}

/// `POST plugins/rescan`: answers when every file was looked at. The audit log has what became
/// active meanwhile.
#[utoipa::path(
    post, path = "/api/v1/plugins/rescan", tag = "plugins", summary = "Looks at the plugins directory now",
    responses((status = 204, description = "Every file was looked at")),
)]
pub(in crate::admin) async fn rescan(
    State(admin): State<Arc<Admin>>,
) -> (StatusCode, Option<Extension<Target>>, ()) {
    let before = active(&admin.board.load());
    admin.rescan.now().await;
    let mut new = active(&admin.board.load());
    new.retain(|name, digest| before.get(name) != Some(digest));
    let new = new.iter().map(|(name, digest)| {
        let digest = hex::encode(&digest.as_bytes()[..DIGEST_BYTES]);
        format!("{name} {digest}")
    });
    let target = new.collect::<Vec<_>>().join(", ");
    let target = (!target.is_empty()).then_some(Extension(Target(target)));
    (StatusCode::NO_CONTENT, target, ())
}

/// Which version of each plugin is active.
fn active(board: &Board) -> BTreeMap<PluginName, Digest> {
    let entries = board.entries.iter();
    let active = entries.filter_map(|(name, entry)| {
        let active = entry.active.as_ref()?;
        Some((name.clone(), active.digest))
    });
    active.collect()
}
