//! Says what was released on GitHub, and passes it on as an event of its own.
//!
//! The event, `release.announced`, comes from the source `plugin:github-release`. Whoever
//! announces releases is triggered by it, and need not know GitHub's payload: a
//! `slack-notify` with `Version {/version} of {/repository} is out`, for one.

use hookbay_github::ReleaseEvent;
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, events, manifest};
use serde::Serialize;

struct GithubRelease;

hookbay_plugin::export!(GithubRelease);

impl Plugin for GithubRelease {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::provider("github", "release.published"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let happened: ReleaseEvent = event.json()?;
        let announcement = Announcement::of(&happened);
        events::emit_json("release.announced", &announcement)?;
        Success::new(happened.to_string()).with_data(&announcement)
    }
}

/// The body of the follow-up event, and the data that is kept with the run.
#[derive(Serialize)]
struct Announcement<'event> {
    repository: &'event str,
    version: &'event str,
    title: &'event str,
    notes: &'event str,
    url: &'event str,
    is_prerelease: bool,
    author: &'event str,
}

impl<'event> Announcement<'event> {
    fn of(event: &'event ReleaseEvent) -> Self {
        let release = &event.release;
        Self {
            repository: &event.repository.full_name,
            version: &release.tag_name,
            title: release.title(),
            notes: release.body.as_deref().unwrap_or_default(),
            url: &release.html_url,
            is_prerelease: release.prerelease,
            author: event.actor(),
        }
    }
}

#[cfg(test)]
mod tests;
