//! What the plugin makes of each shape of payload, on the fake host.

use hookbay_plugin::{Failure, testing};
use serde_json::{Value, json};

use super::GithubPush;

/// A push of two commits to a branch, changed by the fields of `changes`.
fn payload(changes: Value) -> String {
    let mut payload = json!({
        "ref": "refs/heads/main",
        "before": "1111111111111111111111111111111111111111",
        "after": "2222222222222222222222222222222222222222",
        "created": false,
        "deleted": false,
        "forced": false,
        "compare": "https://github.com/octo/hello/compare/111111111111...222222222222",
        "commits": [{"id": "3333"}, {"id": "2222"}],
        "repository": {"id": 7, "full_name": "octo/hello"},
        "pusher": {"name": "mona", "email": "mona@example.com"},
        "sender": {"login": "mona-login", "id": 9},
    });
    for (name, value) in changes.as_object().expect("changes are an object") {
        payload[name] = value.clone();
    }
    payload.to_string()
}

#[track_caller]
fn check(changes: Value, summary: &str) {
    let event = testing::event("github", "push", payload(changes));
    let attempt = testing::Host::new().handle::<GithubPush>(&event);
    assert_eq!(attempt.summary(), summary);
}

#[test]
fn commits_are_counted() {
    check(json!({}), "2 commits to octo/hello on main by mona");
    check(
        json!({"commits": [{}]}),
        "1 commit to octo/hello on main by mona",
    );
    check(
        json!({"commits": []}),
        "branch main updated in octo/hello by mona",
    );
    check(
        json!({"ref": "refs/heads/fix/a \u{e9}"}),
        "2 commits to octo/hello on fix/a \u{e9} by mona",
    );
}

#[test]
fn branches_come_and_go() {
    check(
        json!({"created": true, "commits": []}),
        "branch main created in octo/hello by mona",
    );
    check(
        json!({"created": true, "commits": [{}]}),
        "branch main created in octo/hello with 1 commit by mona",
    );
    check(
        json!({"deleted": true, "commits": [], "after": "0".repeat(40)}),
        "branch main deleted from octo/hello by mona",
    );
}

#[test]
fn tags_come_and_go() {
    let tag = "refs/tags/v1.0";
    check(
        json!({"ref": tag, "created": true, "commits": []}),
        "tag v1.0 created in octo/hello by mona",
    );
    check(
        json!({"ref": tag, "deleted": true, "commits": []}),
        "tag v1.0 deleted from octo/hello by mona",
    );
    check(
        json!({"ref": tag, "forced": true, "commits": []}),
        "tag v1.0 force-pushed in octo/hello by mona",
    );
}

#[test]
fn force_is_said() {
    check(
        json!({"forced": true, "commits": [{}]}),
        "1 commit force-pushed to octo/hello on main by mona",
    );
    check(
        json!({"forced": true, "commits": []}),
        "branch main force-pushed in octo/hello by mona",
    );
}

#[test]
fn other_refs_keep_their_full_name() {
    check(
        json!({"ref": "refs/notes/commits", "commits": []}),
        "ref refs/notes/commits updated in octo/hello by mona",
    );
}

#[test]
fn the_sender_stands_in_for_a_missing_pusher() {
    let summary = "2 commits to octo/hello on main by mona-login";
    check(json!({"pusher": null}), summary);
    check(json!({"pusher": {}}), summary);
    check(
        json!({"pusher": null, "sender": null}),
        "2 commits to octo/hello on main by somebody",
    );
}

#[test]
fn every_push_is_counted_logged_and_kept_as_data() {
    let mut host = testing::Host::new();
    let event = testing::event("github", "push", payload(json!({})));

    let attempt = host.handle::<GithubPush>(&event);
    assert_eq!(
        attempt.log(),
        ["info: 2 commits to octo/hello on main by mona repository=octo/hello commits=2"]
    );
    assert_eq!(
        attempt.data::<Value>(),
        json!({
            "repository": "octo/hello",
            "ref": "refs/heads/main",
            "change": "pushed",
            "commits": 2,
            "pusher": "mona",
            "compare": "https://github.com/octo/hello/compare/111111111111...222222222222",
        })
    );

    host.handle::<GithubPush>(&event);
    assert_eq!(host.stored("pushes/octo/hello"), Some("2"));
}

#[test]
fn another_body_fails_for_good_and_counts_nothing() {
    let mut host = testing::Host::new();
    let event = testing::event("github", "push", "{\n  \"ref\": 3\n}");

    let attempt = host.handle::<GithubPush>(&event);

    let reason =
        "body of the push event: invalid type: integer `3`, expected a string at line 2 column 10";
    assert_eq!(attempt.failure(), &Failure::permanent(reason));
    assert_eq!(host.all_stored().count(), 0);
}

#[test]
fn a_store_that_is_away_is_worth_a_retry() {
    let event = testing::event("github", "push", payload(json!({})));
    let attempt = testing::Host::new()
        .with_kv_unavailable()
        .handle::<GithubPush>(&event);
    assert!(matches!(
        attempt.failure(),
        Failure::Retry { after: None, .. }
    ));
}
