//! `push`: commits, branches and tags.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Repository, User, login};

/// A push to a branch or a tag.
#[derive(Clone, Debug, Deserialize)]
pub struct Push {
    /// `refs/heads/main`.
    #[serde(rename = "ref")]
    pub full_ref: String,
    /// Where.
    pub repository: Repository,
    /// The ref is new.
    #[serde(default)]
    pub created: bool,
    /// The ref is gone.
    #[serde(default)]
    pub deleted: bool,
    /// History was rewritten.
    #[serde(default)]
    pub forced: bool,
    /// Oldest first. GitHub lists at most 2,048 of them.
    #[serde(default)]
    pub commits: Vec<Commit>,
    /// The page that shows the difference.
    pub compare: Option<String>,
    /// Who pushed, as git names them.
    pub pusher: Option<Pusher>,
    /// Who pushed, as GitHub names them.
    pub sender: Option<User>,
}

/// A commit of a push.
#[derive(Clone, Debug, Deserialize)]
pub struct Commit {
    /// Its hash.
    #[serde(default)]
    pub id: String,
    /// The whole message; see [`Commit::subject`].
    #[serde(default)]
    pub message: String,
    /// Its page.
    #[serde(default)]
    pub url: String,
}

/// Git's name of who pushed.
#[derive(Clone, Debug, Deserialize)]
pub struct Pusher {
    name: Option<String>,
}

/// What happened to the branch or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// Its history was rewritten.
    Forced,
    /// It moved on.
    Pushed,
}

impl Push {
    /// What happened to the branch or tag.
    #[must_use]
    pub fn change(&self) -> Change {
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
    #[must_use]
    pub fn target(&self) -> (&'static str, &str) {
        let full_ref = self.full_ref.as_str();
        if let Some(branch) = full_ref.strip_prefix("refs/heads/") {
            ("branch", branch)
        } else if let Some(tag) = full_ref.strip_prefix("refs/tags/") {
            ("tag", tag)
        } else {
            ("ref", full_ref)
        }
    }

    /// Who pushed.
    #[must_use]
    pub fn pusher(&self) -> &str {
        let pusher = self.pusher.as_ref();
        let name = pusher.and_then(|pusher| pusher.name.as_deref());
        name.unwrap_or_else(|| login(self.sender.as_ref()))
    }
}

impl Commit {
    /// The first line of the message.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// The beginning of the hash, as people write it.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..7).unwrap_or(&self.id)
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
