//! What the plugin says of runs that follow each other, on the fake host.

use hookbay_plugin::{Failure, testing};
use serde_json::{Value, json};

use super::GithubWorkflow;

fn ended(branch: &str, conclusion: &str) -> hookbay_plugin::Event {
    let body = json!({
        "action": "completed",
        "workflow_run": {
            "workflow_id": 3, "name": "CI", "run_number": 41, "head_branch": branch,
            "head_sha": "4f1c", "conclusion": conclusion,
            "html_url": "https://github.com/octo/hello/actions/runs/9",
        },
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    });
    testing::json_event("github", "workflow_run.completed", &body)
}

#[test]
fn failures_in_a_row_are_counted_per_branch() {
    let mut host = testing::Host::new();
    for (branch, conclusion, summary) in [
        ("main", "success", "CI #41 succeeded on main of octo/hello"),
        ("main", "failure", "CI #41 failed on main of octo/hello"),
        ("storm", "failure", "CI #41 failed on storm of octo/hello"),
        (
            "main",
            "cancelled",
            "CI #41 cancelled on main of octo/hello",
        ),
        (
            "main",
            "timed_out",
            "CI #41 timed out on main of octo/hello, 2 times in a row",
        ),
        (
            "main",
            "success",
            "CI #41 succeeded on main of octo/hello, failures before it: 2",
        ),
        ("main", "failure", "CI #41 failed on main of octo/hello"),
    ] {
        let attempt = host.handle::<GithubWorkflow>(&ended(branch, conclusion));
        assert_eq!(attempt.summary(), summary);
    }
    assert_eq!(host.stored("failures/octo/hello/3/main"), Some("1"));
}

#[test]
fn a_success_leaves_nothing_behind() {
    let mut host = testing::Host::new().with_stored("failures/octo/hello/3/main", "4");
    host.handle::<GithubWorkflow>(&ended("main", "success"));
    assert_eq!(host.all_stored().count(), 0);
}

#[test]
fn programs_get_data() {
    let attempt = testing::Host::new().handle::<GithubWorkflow>(&ended("main", "failure"));
    let expected = json!({
        "repository": "octo/hello", "workflow": "CI", "run_number": 41, "branch": "main",
        "commit": "4f1c", "conclusion": "failure", "failures_in_a_row": 1,
        "url": "https://github.com/octo/hello/actions/runs/9", "actor": "mona",
    });
    assert_eq!(attempt.data::<Value>(), expected);
}

#[test]
fn another_body_fails_for_good_and_a_store_that_is_away_does_not() {
    let event = testing::event("github", "workflow_run.completed", "{}");
    let attempt = testing::Host::new().handle::<GithubWorkflow>(&event);
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
    let mut host = testing::Host::new().with_kv_unavailable();
    let attempt = host.handle::<GithubWorkflow>(&ended("main", "success"));
    assert!(matches!(attempt.failure(), Failure::Retry { .. }));
}
