//! `workflow_run`: how a run of GitHub Actions ended.

use std::fmt;

use serde::Deserialize;

use crate::{Repository, User, login, words};

/// Something happened to a run of a workflow.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkflowRunEvent {
    /// What: `requested`, `in_progress` or `completed`.
    pub action: String,
    /// The run as it was then.
    pub workflow_run: WorkflowRun,
    /// Where.
    pub repository: Repository,
    /// Who did what started it.
    pub sender: Option<User>,
}

/// A run of a workflow.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkflowRun {
    /// The workflow's id.
    pub workflow_id: u64,
    /// The workflow's name.
    pub name: Option<String>,
    /// The run's number in its workflow.
    pub run_number: u64,
    /// How it ended: `success`, `failure`, `cancelled` …; none before its end.
    pub conclusion: Option<String>,
    /// The branch.
    pub head_branch: Option<String>,
    /// The commit.
    #[serde(default)]
    pub head_sha: String,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
}

impl WorkflowRunEvent {
    /// Who did what started it.
    #[must_use]
    pub fn actor(&self) -> &str {
        login(self.sender.as_ref())
    }
}

impl WorkflowRun {
    /// The workflow's name.
    #[must_use]
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("a workflow")
    }

    /// The branch, or what GitHub leaves of it.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.head_branch.as_deref().unwrap_or("no branch")
    }

    /// Whether it ended in a way that somebody must look at.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let conclusion = self.conclusion.as_deref().unwrap_or_default();
        matches!(conclusion, "failure" | "timed_out" | "startup_failure")
    }

    /// How it ended, in words: `failed`, `succeeded`, `timed out`.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.conclusion.as_deref() {
            Some("failure") => "failed".to_owned(),
            Some("success") => "succeeded".to_owned(),
            Some("startup_failure") => "could not start".to_owned(),
            Some(other) => words(other),
            None => "has not ended".to_owned(),
        }
    }
}

impl fmt::Display for WorkflowRunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, repository) = (&self.workflow_run, &self.repository.full_name);
        let (title, number) = (run.title(), run.run_number);
        let (outcome, branch) = (run.outcome(), run.branch());
        write!(f, "{title} #{number} {outcome} on {branch} of {repository}")
    }
}
