//! `pull_request`: from its opening to its merge.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Repository, User, login, words};

/// Something happened to a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct PullRequestEvent {
    /// What: `opened`, `synchronize`, `closed` …
    pub action: String,
    /// The pull request as it was then.
    pub pull_request: PullRequest,
    /// Where.
    pub repository: Repository,
    /// Who did it.
    pub sender: Option<User>,
}

/// A pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct PullRequest {
    /// Its id in all of GitHub.
    pub id: u64,
    /// Its number in the repository.
    pub number: u64,
    /// What it is about.
    pub title: String,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
    /// Who opened it.
    pub user: Option<User>,
    /// `open` or `closed`; see [`PullRequest::state`].
    #[serde(rename = "state")]
    open_or_closed: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    merged: bool,
    /// From where.
    pub head: Branch,
    /// To where.
    pub base: Branch,
    /// Commits in it.
    #[serde(default)]
    pub commits: u64,
    /// Lines added.
    #[serde(default)]
    pub additions: u64,
    /// Lines removed.
    #[serde(default)]
    pub deletions: u64,
    /// Files changed.
    #[serde(default)]
    pub changed_files: u64,
    /// When it was opened, to the second: such texts are in order of time.
    #[serde(default)]
    pub created_at: String,
    /// When it was last changed, likewise.
    #[serde(default)]
    pub updated_at: String,
}

/// A side of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct Branch {
    /// The branch.
    #[serde(rename = "ref")]
    pub name: String,
}

/// What became of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being worked on.
    Draft,
    /// It waits for review or merge.
    Open,
    /// It was closed without a merge.
    Closed,
    /// It was merged.
    Merged,
}

impl PullRequestEvent {
    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> &str {
        login(self.sender.as_ref())
    }

    /// What happened, in words: closing by a merge is `merged`.
    #[must_use]
    pub fn what(&self) -> String {
        match (self.action.as_str(), self.pull_request.state()) {
            ("closed", State::Merged) => "merged".to_owned(),
            ("synchronize", _) => "updated".to_owned(),
            (action, _) => words(action),
        }
    }
}

impl PullRequest {
    /// What became of it so far.
    #[must_use]
    pub fn state(&self) -> State {
        if self.merged {
            State::Merged
        } else if self.open_or_closed == "closed" {
            State::Closed
        } else if self.draft {
            State::Draft
        } else {
            State::Open
        }
    }

    /// Who opened it.
    #[must_use]
    pub fn author(&self) -> &str {
        login(self.user.as_ref())
    }

    /// Its size: `+214 −37 in 6 files`.
    #[must_use]
    pub fn size(&self) -> String {
        let files = match self.changed_files {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        format!("+{} \u{2212}{} in {files}", self.additions, self.deletions)
    }
}

impl fmt::Display for PullRequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (repository, pull_request) = (&self.repository.full_name, &self.pull_request);
        let (number, title) = (pull_request.number, &pull_request.title);
        let (what, actor) = (self.what(), self.actor());
        write!(f, "{repository}#{number} {what} by {actor}: {title}")
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Merged => "merged",
        })
    }
}
