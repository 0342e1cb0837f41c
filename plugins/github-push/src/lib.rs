//! Says what was pushed to GitHub, and counts the pushes to each repository.
//!
//! The counters are in the plugin's kv, under `pushes/OWNER/REPOSITORY`.
//! The payload: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.

use std::fmt;

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, log, manifest};
use serde::{Deserialize, Serialize, de::IgnoredAny};

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
        Success::new(summary).with_data(&push.digest())
    }
}

/// What this plugin reads of a payload; serde skips the rest.
#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    full_ref: String,
    repository: Repository,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    /// Only counted. GitHub lists at most 2,048 of them.
    #[serde(default)]
    commits: Vec<IgnoredAny>,
    compare: Option<String>,
    pusher: Option<Pusher>,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Repository {
    /// `OWNER/REPOSITORY`.
    full_name: String,
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Sender {
    login: String,
}

/// What happened to the branch or tag.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Created,
    Deleted,
    Forced,
    Pushed,
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

impl Push {
    fn change(&self) -> Change {
        if self.deleted {
            Change::Deleted
        } else if self.created {
            Change::Created
        } else if self.forced {
            Change::Forced
        } else {
            Change::Pushed
        }
    }

    /// What kind of ref it is, and its short name: `branch` and `main`.
    fn target(&self) -> (&'static str, &str) {
        let full_ref = self.full_ref.as_str();
        if let Some(branch) = full_ref.strip_prefix("refs/heads/") {
            ("branch", branch)
        } else if let Some(tag) = full_ref.strip_prefix("refs/tags/") {
            ("tag", tag)
        } else {
            ("ref", full_ref)
        }
    }

    fn pusher(&self) -> &str {
        let pusher = self
            .pusher
            .as_ref()
            .and_then(|pusher| pusher.name.as_deref());
        let sender = self.sender.as_ref().map(|sender| sender.login.as_str());
        pusher.or(sender).unwrap_or("somebody")
    }

    fn digest(&self) -> Digest<'_> {
        Digest {
            repository: &self.repository.full_name,
            full_ref: &self.full_ref,
            change: self.change(),
            commits: self.commits.len(),
            pusher: self.pusher(),
            compare: self.compare.as_deref(),
        }
    }
}

impl fmt::Display for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = &self.repository.full_name;
        let (what, name) = self.target();
        let commits = match self.commits.len() {
            1 => "1 commit".to_owned(),
            n => format!("{n} commits"),
        };
        match (self.change(), self.commits.len()) {
            (Change::Deleted, _) => write!(f, "{what} {name} deleted from {repository}"),
            (Change::Created, 0) => write!(f, "{what} {name} created in {repository}"),
            (Change::Created, _) => {
                write!(f, "{what} {name} created in {repository} with {commits}")
            }
            (Change::Forced, 0) => write!(f, "{what} {name} force-pushed in {repository}"),
            (Change::Forced, _) => write!(f, "{commits} force-pushed to {repository} on {name}"),
            (Change::Pushed, 0) => write!(f, "{what} {name} updated in {repository}"),
            (Change::Pushed, _) => write!(f, "{commits} to {repository} on {name}"),
        }?;
        write!(f, " by {}", self.pusher())
    }
}

#[cfg(test)]
mod tests;
