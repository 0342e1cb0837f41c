//! Says what happened to an issue on GitHub, and counts openings and closings.
//!
//! The counters are in the plugin's kv, under `opened/OWNER/REPOSITORY` and
//! `closed/OWNER/REPOSITORY`; reopening counts as opening.

use hookbay_github::IssueEvent;
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, manifest};
use serde::Serialize;

struct GithubIssues;

hookbay_plugin::export!(GithubIssues);

impl Plugin for GithubIssues {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::provider("github", "issues.*"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let happened: IssueEvent = event.json()?;
        let repository = &happened.repository.full_name;
        match happened.action.as_str() {
            "opened" | "reopened" => kv::increment(&format!("opened/{repository}"), 1)?,
            "closed" => kv::increment(&format!("closed/{repository}"), 1)?,
            _ => {}
        }
        Success::new(happened.to_string()).with_data(&Digest::of(&happened))
    }
}

/// The data that is kept with the run.
#[derive(Serialize)]
struct Digest<'event> {
    repository: &'event str,
    number: u64,
    title: &'event str,
    url: &'event str,
    action: &'event str,
    state: &'event str,
    author: &'event str,
    actor: &'event str,
    labels: Vec<&'event str>,
}

impl<'event> Digest<'event> {
    fn of(event: &'event IssueEvent) -> Self {
        let issue = &event.issue;
        Self {
            repository: &event.repository.full_name,
            number: issue.number,
            title: &issue.title,
            url: &issue.html_url,
            action: &event.action,
            state: &issue.state,
            author: issue.author(),
            actor: event.actor(),
            labels: issue
                .labels
                .iter()
                .map(|label| label.name.as_str())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
