//! `hookbay plugin run FILE --journal FILE`: executes a recorded attempt again, with no
//! network, database or clock, and says whether it came out the same.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::cli::CommandError;
use crate::cli::check::load;
use crate::cli::plugin::{maxima, start, unreadable};
use crate::cli::table::{print, print_json};
use crate::cli::text;
use crate::config::{Config, Limits, Maxima};
use crate::plugin::{Divergence, JournalFile};

use super::in_file;

/// # Errors
/// The journal cannot be executed, or what happened differs from it.
pub(super) async fn run(
    config: Option<&Config>,
    plugin: &Path,
    journal: &Path,
    is_json: bool,
) -> Result<(), CommandError> {
    let bytes = std::fs::read(journal).map_err(|error| unreadable(journal, &error))?;
    let (file, event, recording) = JournalFile::read(&bytes)
        .map_err(|error| in_file(journal, &format!("cannot be executed again: {error}")))?;
    let maxima = maxima(config);
    let host = start(Maxima {
        limits: Limits {
            memory_bytes: maxima
                .limits
                .memory_bytes
                .max(recording.memory_limit_bytes()),
            ..maxima.limits
        },
        ..maxima
    })?;
    let loaded = load(&host, plugin).await;
    let loaded = loaded.map_err(|error| in_file(plugin, &error.to_string()))?;
    let is_same_version = file.digest == Some(loaded.digest.to_string());
    let n_calls = recording.n_calls();
    let report = host
        .rerun(Arc::new(loaded), Arc::new(event), recording)
        .await;
    let difference = file.difference(&report);
    if is_json {
        print_json(&as_json(difference.as_ref(), n_calls, is_same_version))?;
    } else if difference.is_none() {
        let (s, outcome) = (if n_calls == 1 { "" } else { "s" }, report.outcome.as_str());
        print(&format!("identical: {n_calls} call{s}, {outcome}\n"))?;
    }
    match difference {
        None => Ok(()),
        Some(difference) => {
            let note = if is_same_version {
                "the same version of the plugin came out differently"
            } else {
                "another version of the plugin comes out differently"
            };
            let difference = text::harmless_lines(&difference.to_string());
            Err(CommandError::Failed(format!("{note}\n{difference}")))
        }
    }
}

fn as_json(
    difference: Option<&Divergence>,
    n_calls: usize,
    is_same_version: bool,
) -> serde_json::Value {
    json!({
        "identical": difference.is_none(),
        "calls": n_calls,
        "same_digest": is_same_version,
        "difference": difference.map(|difference| json!({
            "call": difference.call,
            "recorded": difference.recorded,
            "now": difference.now,
        })),
    })
}
