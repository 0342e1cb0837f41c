//! Tells a Slack channel what happens on GitHub: pushes, pull requests, issues, published
//! releases, and workflows that failed.
//!
//! A pull request has one message, which shows how it stands, and a thread under it with
//! what happened (`thread.rs`). How each event reads is in `say.rs`.

use hookbay_github::{IssueEvent, Push, ReleaseEvent, WorkflowRunEvent};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest};
use hookbay_slack::{self as slack, Message};

mod say;
mod thread;

struct GithubToSlack;

hookbay_plugin::export!(GithubToSlack);

impl Plugin for GithubToSlack {
    fn manifest() -> Manifest {
        let github = |kind| Trigger::provider("github", kind);
        slack::wants(manifest!())
            .trigger(github("push"))
            // A thread is looked up, then begun: one event of a pull request at a time.
            .trigger(github("pull_request.*").ordered_by("/pull_request/id"))
            .trigger(github("issues.*"))
            .trigger(github("release.published"))
            .trigger(github("workflow_run.completed"))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let (kind, _) = event.kind.split_once('.').unwrap_or((&event.kind, ""));
        match kind {
            "pull_request" => thread::tell(&event.json()?, run),
            "push" => {
                let push: Push = event.json()?;
                tell(&push.to_string(), Some(say::push(&push)), run)
            }
            "issues" => {
                let issue: IssueEvent = event.json()?;
                tell(&issue.to_string(), say::issue(&issue), run)
            }
            "release" => {
                let release: ReleaseEvent = event.json()?;
                tell(&release.to_string(), Some(say::release(&release)), run)
            }
            "workflow_run" => {
                let workflow: WorkflowRunEvent = event.json()?;
                tell(&workflow.to_string(), say::workflow(&workflow), run)
            }
            other => Err(Failure::permanent(format!(
                "there is no message for `{other}`"
            ))),
        }
    }
}

/// Posts a message, where the event is worth one.
fn tell(what: &str, message: Option<Message>, run: &Run) -> Result<Success, Failure> {
    match message {
        Some(message) => {
            let posted = message.post(run)?;
            Success::new(format!("posted: {what}")).with_data(&posted)
        }
        None => Ok(Success::new(format!("not worth a message: {what}"))),
    }
}

#[cfg(test)]
mod tests;
