//! Says how a run of GitHub Actions ended, and how often in a row it has failed.
//!
//! The failures in a row are in the plugin's kv, under
//! `failures/OWNER/REPOSITORY/WORKFLOW/BRANCH`; a success removes them. They are read and
//! then written, so the runs of one workflow are handled in order, one at a time.

use hookbay_github::WorkflowRunEvent;
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, manifest};
use serde::Serialize;

struct GithubWorkflow;

hookbay_plugin::export!(GithubWorkflow);

impl Plugin for GithubWorkflow {
    fn manifest() -> Manifest {
        let completed = Trigger::provider("github", "workflow_run.completed");
        manifest!().trigger(completed.ordered_by("/workflow_run/workflow_id"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let happened: WorkflowRunEvent = event.json()?;
        let (run, repository) = (&happened.workflow_run, &happened.repository.full_name);
        let key = format!("failures/{repository}/{}/{}", run.workflow_id, run.branch());

        let before = kv::get_counter(&key)?;
        let failures_in_a_row = match run.conclusion.as_deref() {
            _ if run.has_failed() => before + 1,
            Some("success") => 0,
            // Cancelled or skipped: neither.
            _ => before,
        };
        match failures_in_a_row {
            0 => kv::delete(&key)?,
            n => kv::set(&key, n.to_string())?,
        }

        let mut summary = happened.to_string();
        if run.has_failed() && failures_in_a_row > 1 {
            summary.push_str(&format!(", {failures_in_a_row} times in a row"));
        } else if failures_in_a_row == 0 && before > 0 {
            summary.push_str(&format!(", failures before it: {before}"));
        }
        Success::new(summary).with_data(&Digest {
            repository,
            workflow: run.title(),
            run_number: run.run_number,
            branch: run.branch(),
            commit: &run.head_sha,
            conclusion: run.conclusion.as_deref(),
            failures_in_a_row,
            url: &run.html_url,
            actor: happened.actor(),
        })
    }
}

/// The data that is kept with the run.
#[derive(Serialize)]
struct Digest<'event> {
    repository: &'event str,
    workflow: &'event str,
    run_number: u64,
    branch: &'event str,
    commit: &'event str,
    conclusion: Option<&'event str>,
    failures_in_a_row: i64,
    url: &'event str,
    actor: &'event str,
}

#[cfg(test)]
mod tests;
