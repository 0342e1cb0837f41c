//! GitHub's webhook payloads, as far as plugins read them, and what each says in one
//! line of plain text (its `Display`).
//!
//! ```
//! let body = r#"{
//!     "ref": "refs/heads/main", "commits": [{}, {}],
//!     "repository": {"full_name": "octo-labs/harbor"}, "sender": {"login": "mona"}
//! }"#;
//! let push: hookbay_github::Push = serde_json::from_str(body)?;
//! assert_eq!(push.to_string(), "2 commits to octo-labs/harbor on main by mona");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! Only what a plugin cannot do without is required: GitHub Enterprise and older
//! deliveries leave things out. Nothing here knows of Hookbay.
//!
//! The payloads: <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

mod issue;
mod pull_request;
mod push;
mod release;
mod workflow;

pub use issue::{Issue, IssueEvent};
pub use pull_request::{Branch, PullRequest, PullRequestEvent, State};
pub use push::{Change, Commit, Push};
pub use release::{Release, ReleaseEvent};
pub use workflow::{WorkflowRun, WorkflowRunEvent};

use serde::Deserialize;

/// Where it happened.
#[derive(Clone, Debug, Deserialize)]
pub struct Repository {
    /// `OWNER/REPOSITORY`.
    pub full_name: String,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
}

/// Who did it.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// The account's name.
    pub login: String,
}

/// The name of somebody, where GitHub says it.
fn login(user: Option<&User>) -> &str {
    user.map_or("somebody", |user| user.login.as_str())
}

/// An action as a word of a sentence: `ready_for_review` is `ready for review`.
fn words(action: &str) -> String {
    action.replace('_', " ")
}
