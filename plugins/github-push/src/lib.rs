//! Says what was pushed to GitHub, and counts the pushes to each repository.
//!
//! The counters are in the plugin's kv, under `pushes/OWNER/REPOSITORY`.

use hookbay_github::{Change, Push};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, log, manifest};
use serde::Serialize;

struct GithubPush;

hookbay_plugin::export!(GithubPush);

impl Plugin for GithubPush {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::provider("github", "push"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let push: Push = event.json()?;
        let summary = push.to_string();
        let repository = &push.repository.full_name;

        // Merges with the increments of pushes that are handled at the same time.
        kv::increment(&format!("pushes/{repository}"), 1)?;

        log::info!("{summary}"; repository = repository, commits = push.commits.len());
        Success::new(summary).with_data(&Digest::of(&push))
    }
}

/// The data that is kept with the run.
#[derive(Serialize)]
struct Digest<'push> {
    repository: &'push str,
    #[serde(rename = "ref")]
    full_ref: &'push str,
    change: Change,
    commits: usize,
    pusher: &'push str,
    compare: Option<&'push str>,
}

impl<'push> Digest<'push> {
    fn of(push: &'push Push) -> Self {
        Self {
            repository: &push.repository.full_name,
            full_ref: &push.full_ref,
            change: push.change(),
            commits: push.commits.len(),
            pusher: push.pusher(),
            compare: push.compare.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
