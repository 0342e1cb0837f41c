//! `issues`: from an issue's opening to its end.

use std::fmt;

use serde::Deserialize;

use crate::{Repository, User, login, words};

/// Something happened to an issue.
#[derive(Clone, Debug, Deserialize)]
pub struct IssueEvent {
    /// What: `opened`, `labeled`, `closed` …
    pub action: String,
    /// The issue as it was then.
    pub issue: Issue,
    /// The label that was put on or taken off.
    pub label: Option<Label>,
    /// Who was put in charge, or relieved.
    pub assignee: Option<User>,
    /// Where.
    pub repository: Repository,
    /// Who did it.
    pub sender: Option<User>,
}

/// An issue.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// What it is about.
    pub title: String,
    /// What was written at its opening.
    pub body: Option<String>,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
    /// `open` or `closed`.
    pub state: String,
    /// Why it was closed: `completed`, `not_planned` …
    pub state_reason: Option<String>,
    /// Who opened it.
    pub user: Option<User>,
    /// What is on it.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// A label.
#[derive(Clone, Debug, Deserialize)]
pub struct Label {
    /// What it says.
    pub name: String,
}

impl IssueEvent {
    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> &str {
        login(self.sender.as_ref())
    }

    /// What happened, in words: `labeled safety`, `closed as not planned`.
    #[must_use]
    pub fn what(&self) -> String {
        let label = self.label.as_ref().map(|label| label.name.as_str());
        let assignee = self.assignee.as_ref().map(|user| user.login.as_str());
        let reason = self.issue.state_reason.as_deref();
        match (self.action.as_str(), label, assignee, reason) {
            (action @ ("labeled" | "unlabeled"), Some(label), _, _) => format!("{action} {label}"),
            ("assigned", _, Some(whom), _) => format!("assigned to {whom}"),
            ("unassigned", _, Some(whom), _) => format!("unassigned from {whom}"),
            ("closed", _, _, Some(reason)) => format!("closed as {}", words(reason)),
            (action, ..) => words(action),
        }
    }
}

impl Issue {
    /// Who opened it.
    #[must_use]
    pub fn author(&self) -> &str {
        login(self.user.as_ref())
    }
}

impl fmt::Display for IssueEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (repository, number) = (&self.repository.full_name, self.issue.number);
        let (what, actor, title) = (self.what(), self.actor(), &self.issue.title);
        write!(f, "{repository}#{number} {what} by {actor}: {title}")
    }
}
