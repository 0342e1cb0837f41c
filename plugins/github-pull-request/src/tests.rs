//! What the plugin makes of a pull request's life, on the fake host.

use hookbay_plugin::{Failure, testing};
use serde_json::{Value, json};

use super::GithubPullRequest;

fn payload(action: &str, state: &str, is_merged: bool) -> Value {
    json!({
        "action": action,
        "number": 7,
        "pull_request": {
            "id": 900, "number": 7, "title": "Close the harbor", "state": state,
            "merged": is_merged, "html_url": "https://github.com/octo/hello/pull/7",
            "user": {"login": "ilse"}, "head": {"ref": "storm"}, "base": {"ref": "main"},
            "commits": 2, "additions": 30, "deletions": 4, "changed_files": 3,
        },
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    })
}

#[test]
fn ends_are_counted_apart() {
    let mut host = testing::Host::new();
    for (action, state, is_merged, summary) in [
        (
            "opened",
            "open",
            false,
            "octo/hello#7 opened by mona: Close the harbor",
        ),
        (
            "closed",
            "closed",
            false,
            "octo/hello#7 closed by mona: Close the harbor",
        ),
        (
            "reopened",
            "open",
            false,
            "octo/hello#7 reopened by mona: Close the harbor",
        ),
        (
            "closed",
            "closed",
            true,
            "octo/hello#7 merged by mona: Close the harbor",
        ),
        (
            "labeled",
            "closed",
            true,
            "octo/hello#7 labeled by mona: Close the harbor",
        ),
    ] {
        let body = payload(action, state, is_merged);
        let event = testing::json_event("github", &format!("pull_request.{action}"), &body);
        assert_eq!(host.handle::<GithubPullRequest>(&event).summary(), summary);
    }
    assert_eq!(host.stored("closed/octo/hello"), Some("1"));
    assert_eq!(host.stored("merged/octo/hello"), Some("1"));
    assert_eq!(host.all_stored().count(), 2);
}

#[test]
fn programs_get_data() {
    let body = payload("closed", "closed", true);
    let event = testing::json_event("github", "pull_request.closed", &body);
    let attempt = testing::Host::new().handle::<GithubPullRequest>(&event);
    let expected = json!({
        "repository": "octo/hello", "number": 7, "title": "Close the harbor",
        "url": "https://github.com/octo/hello/pull/7", "action": "closed", "state": "merged",
        "author": "ilse", "actor": "mona", "head": "storm", "base": "main",
        "commits": 2, "additions": 30, "deletions": 4, "changed_files": 3,
    });
    assert_eq!(attempt.data::<Value>(), expected);
}

#[test]
fn another_body_fails_for_good() {
    let event = testing::event("github", "pull_request.opened", "{}");
    let attempt = testing::Host::new().handle::<GithubPullRequest>(&event);
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
}
