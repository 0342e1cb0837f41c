//! The recorded host calls of attempts: with their run, and as a file of their own that
//! `hookbay plugin run --journal` executes again.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::value::RawValue;

use crate::http::Problem;
use crate::plugin::{JournalFile, RecordedEnd, RecordedEvent, RecordedLine};
use crate::run::{LogLevel, RunId};
use crate::store::{AttemptRow, RunFilter, StoreError};

use super::runs::{StoredLine, run_id};
use super::{Admin, AdminError};

/// The calls of a kept journal: `[{call, request, response, started_ms, duration_ms}]`.
pub(super) fn calls(journal: Option<&str>) -> Vec<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Calls {
        calls: Vec<Box<RawValue>>,
    }
    let calls = journal.and_then(|text| serde_json::from_str::<Calls>(text).ok());
    calls.map(|journal| journal.calls).unwrap_or_default()
}

/// `GET runs/{id}/attempts/{n}/journal`.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/attempts/{n}/journal", tag = "runs", summary = "Gives the recorded host calls of an attempt",
    params(("id" = RunId, Path, description = "The run's id"), ("n" = u32, Path, minimum = 1, description = "Which attempt, from 1")),
    responses((status = 200, description = "The journal, as `hookbay plugin run --journal` takes it", body = serde_json::Value), (status = 409, description = "It kept none", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path((id, n)): Path<(String, String)>,
) -> Result<Json<JournalFile>, AdminError> {
    let run = run_id(&id)?;
    let missing = || AdminError::unknown("attempt", format!("{n} of run {id}"));
    let n: u32 = n.parse().map_err(|_| missing())?;
    let filter = RunFilter {
        id: Some(run),
        limit: 1,
        ..RunFilter::default()
    };
    let row = admin.store.runs(&filter).await?.pop();
    let row = row.ok_or_else(|| AdminError::unknown("run", &id))?;
    let attempts = admin.store.attempts(run).await?;
    let attempt = attempts
        .into_iter()
        .find(|attempt| attempt.n == i64::from(n));
    let attempt = attempt.ok_or_else(missing)?;
    let text = admin.store.journal(run, n).await?;
    let text = text.ok_or_else(|| {
        AdminError::NotNow(format!(
            "attempt {n} of run `{id}` kept no journal; `journal = \"all\"` of its plugin keeps every one"
        ))
    })?;
    let event = match admin.store.event_of_run(row.event).await {
        Err(StoreError::EventGone) => {
            let why = format!("the event of run `{id}` is not kept any more");
            return Err(AdminError::NotNow(why));
        }
        event => event?,
    };
    // Summary and data stand with the run, for the attempt that succeeded.
    let is_success = attempt.outcome == "succeeded";
    let data = row.data.filter(|_| is_success);
    let digest = attempt.digest.as_ref().map(hex::encode);
    Ok(Json(JournalFile {
        digest,
        event: RecordedEvent::from(&*event),
        ended: RecordedEnd {
            summary: row.summary.filter(|_| is_success),
            data: data.and_then(|data| serde_json::from_str(&data).ok()),
            logs: lines(&attempt),
            outcome: attempt.outcome,
            error: attempt.error,
        },
        journal: RawValue::from_string(text)
            .map_err(|_| AdminError::NotNow("the journal cannot be read".to_owned()))?,
    }))
}

fn lines(attempt: &AttemptRow) -> Vec<RecordedLine> {
    let lines: Vec<StoredLine> = serde_json::from_str(&attempt.logs).unwrap_or_default();
    let line =
        |(_, level, message, fields): StoredLine| Some((LogLevel::parse(&level)?, message, fields));
    lines.into_iter().filter_map(line).collect()
}
