//! One thread for each pull request.
//!
//! Its first event posts the message that shows how it stands, whichever event that is:
//! GitHub promises no order. Later ones update that message and answer in its thread. Where
//! the message stands is in kv, under `thread/` and the pull request's id.

use hookbay_github::PullRequestEvent;
use hookbay_plugin::{Failure, Run, Success, kv};
use hookbay_slack::Posted;
use serde::{Deserialize, Serialize};

use crate::say;

#[derive(Serialize, Deserialize)]
struct Thread {
    /// The message that begins it.
    root: Posted,
    /// When the pull request was as that message shows it.
    shown: String,
}

pub(crate) fn tell(event: &PullRequestEvent, run: &Run) -> Result<Success, Failure> {
    let key = format!("thread/{}", event.pull_request.id);
    let Some(thread) = kv::get_json::<Thread>(&key)? else {
        return begin(&key, event, run);
    };
    if event.pull_request.updated_at >= thread.shown {
        match say::pull_request(event).update(&thread.root) {
            // Somebody deleted it.
            Err(error) if error.is_gone() => return begin(&key, event, run),
            result => result?,
        }
        keep(&key, event, thread.root.clone())?;
    }
    match say::reply(event) {
        Some(reply) => {
            reply.in_thread(&thread.root).post(run)?;
            Success::new(format!("answered in its thread: {event}")).with_data(&thread.root)
        }
        None => Success::new(format!("brought up to date: {event}")).with_data(&thread.root),
    }
}

fn begin(key: &str, event: &PullRequestEvent, run: &Run) -> Result<Success, Failure> {
    let root = say::pull_request(event).post(run)?;
    keep(key, event, root.clone())?;
    Success::new(format!("posted: {event}")).with_data(&root)
}

fn keep(key: &str, event: &PullRequestEvent, root: Posted) -> Result<(), Failure> {
    let shown = event.pull_request.updated_at.clone();
    Ok(kv::set_json(key, &Thread { root, shown })?)
}
