//! One thread for each pull request.
//!
//! Its first event posts the message that shows how it stands, whichever event that is:
//! GitHub promises no order. Later ones update that message and answer in its thread. Where
//! the message stands is in kv, under `thread/`, the month in which the pull request was
//! opened, and its id: so the oldest stand first, and are forgotten after a year.

use hookbay_github::{PullRequest, PullRequestEvent};
use hookbay_plugin::{Failure, Run, Success, kv};
use hookbay_slack::Posted;
use serde::{Deserialize, Serialize};

use crate::say;

/// Threads that one closing has forgotten at most: more than it stands for, so that they
/// become fewer.
const FORGOTTEN_MAX: usize = 3;

#[derive(Serialize, Deserialize)]
struct Thread {
    /// The message that begins it.
    root: Posted,
    /// When the pull request was as that message shows it.
    shown: String,
}

pub(crate) fn tell(event: &PullRequestEvent, run: &Run) -> Result<Success, Failure> {
    let key = key(&event.pull_request);
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
    if event.action == "closed" {
        forget_old(&key, &event.pull_request)?;
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

fn key(pull_request: &PullRequest) -> String {
    let month = pull_request.created_at.get(..7).unwrap_or_default();
    format!("thread/{month}/{}", pull_request.id)
}

/// Forgets the threads of pull requests that were opened more than a year before this one was
/// closed. Only the oldest key is looked at: threads that are begun meanwhile do not conflict.
fn forget_old(own: &str, closed: &PullRequest) -> Result<(), Failure> {
    let Some(kept_from) = a_year_before(&closed.updated_at) else {
        return Ok(());
    };
    let first_kept = format!("thread/{kept_from}");
    for _ in 0..FORGOTTEN_MAX {
        match kv::list("thread/", 1)?.first() {
            Some(oldest) if *oldest < first_kept && oldest != own => kv::delete(oldest)?,
            Some(_) | None => break,
        }
    }
    Ok(())
}

/// The same month of the year before, of `2026-03-02T…`: `2025-03`.
fn a_year_before(time: &str) -> Option<String> {
    let (year, month) = (time.get(..4)?, time.get(4..7)?);
    let year: u32 = year.parse().ok()?;
    Some(format!("{:04}{month}", year.checked_sub(1)?))
}
