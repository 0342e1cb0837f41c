//! Says what happened to a pull request on GitHub, and counts how they end.
//!
//! The counters are in the plugin's kv, under `merged/OWNER/REPOSITORY` and
//! `closed/OWNER/REPOSITORY`.

use hookbay_github::{PullRequestEvent, State};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, manifest};
use serde::Serialize;

struct GithubPullRequest;

hookbay_plugin::export!(GithubPullRequest);

impl Plugin for GithubPullRequest {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::provider("github", "pull_request.*"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let happened: PullRequestEvent = event.json()?;
        let digest = Digest::of(&happened);
        if happened.action == "closed" {
            kv::increment(&format!("{}/{}", digest.state, digest.repository), 1)?;
        }
        Success::new(happened.to_string()).with_data(&digest)
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
    state: State,
    author: &'event str,
    actor: &'event str,
    head: &'event str,
    base: &'event str,
    commits: u64,
    additions: u64,
    deletions: u64,
    changed_files: u64,
}

impl<'event> Digest<'event> {
    fn of(event: &'event PullRequestEvent) -> Self {
        let pull_request = &event.pull_request;
        Self {
            repository: &event.repository.full_name,
            number: pull_request.number,
            title: &pull_request.title,
            url: &pull_request.html_url,
            action: &event.action,
            state: pull_request.state(),
            author: pull_request.author(),
            actor: event.actor(),
            head: &pull_request.head.name,
            base: &pull_request.base.name,
            commits: pull_request.commits,
            additions: pull_request.additions,
            deletions: pull_request.deletions,
            changed_files: pull_request.changed_files,
        }
    }
}

#[cfg(test)]
mod tests;
