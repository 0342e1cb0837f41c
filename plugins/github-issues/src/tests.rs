//! What the plugin makes of an issue's life, on the fake host.

use hookbay_plugin::{Failure, testing};
use serde_json::{Value, json};

use super::GithubIssues;

fn payload(action: &str, state: &str) -> Value {
    json!({
        "action": action,
        "issue": {
            "number": 5, "title": "Leak", "state": state,
            "html_url": "https://github.com/octo/hello/issues/5",
            "user": {"login": "ilse"}, "labels": [{"name": "safety"}, {"name": "bug"}],
        },
        "label": {"name": "bug"},
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    })
}

#[test]
fn openings_and_closings_are_counted() {
    let mut host = testing::Host::new();
    for (action, state, summary) in [
        ("opened", "open", "octo/hello#5 opened by mona: Leak"),
        ("labeled", "open", "octo/hello#5 labeled bug by mona: Leak"),
        ("closed", "closed", "octo/hello#5 closed by mona: Leak"),
        ("reopened", "open", "octo/hello#5 reopened by mona: Leak"),
    ] {
        let kind = format!("issues.{action}");
        let event = testing::json_event("github", &kind, &payload(action, state));
        assert_eq!(host.handle::<GithubIssues>(&event).summary(), summary);
    }
    assert_eq!(host.stored("opened/octo/hello"), Some("2"));
    assert_eq!(host.stored("closed/octo/hello"), Some("1"));
}

#[test]
fn programs_get_data() {
    let event = testing::json_event("github", "issues.labeled", &payload("labeled", "open"));
    let attempt = testing::Host::new().handle::<GithubIssues>(&event);
    let expected = json!({
        "repository": "octo/hello", "number": 5, "title": "Leak",
        "url": "https://github.com/octo/hello/issues/5", "action": "labeled", "state": "open",
        "author": "ilse", "actor": "mona", "labels": ["safety", "bug"],
    });
    assert_eq!(attempt.data::<Value>(), expected);
}

#[test]
fn another_body_fails_for_good() {
    let event = testing::event("github", "issues.opened", "[]");
    let attempt = testing::Host::new().handle::<GithubIssues>(&event);
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
}
