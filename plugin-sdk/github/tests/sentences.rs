//! What each payload says in one line, whatever GitHub leaves out.

use hookbay_github::{IssueEvent, PullRequestEvent, Push, ReleaseEvent, State, WorkflowRunEvent};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Checks what `payload` says when the fields of each row are merged into it.
#[track_caller]
fn check<T: DeserializeOwned + ToString>(payload: &Value, rows: &[(Value, &str)]) {
    for (changes, sentence) in rows {
        let mut payload = payload.clone();
        merge(&mut payload, changes);
        let event: T = serde_json::from_value(payload).expect("a payload of its kind");
        assert_eq!(event.to_string(), *sentence, "{changes}");
    }
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, value) in changes {
                merge(into.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

#[test]
fn pushes() {
    let push = json!({
        "ref": "refs/heads/main",
        "commits": [{"id": "3333"}, {"id": "2222"}],
        "repository": {"full_name": "octo/hello"},
        "pusher": {"name": "mona"},
        "sender": {"login": "mona-login"},
    });
    let created = json!({"created": true, "commits": []});
    check::<Push>(
        &push,
        &[
            (json!({}), "2 commits to octo/hello on main by mona"),
            (
                json!({"commits": [{}]}),
                "1 commit to octo/hello on main by mona",
            ),
            (
                json!({"commits": []}),
                "branch main updated in octo/hello by mona",
            ),
            (created, "branch main created in octo/hello by mona"),
            (
                json!({"created": true, "commits": [{}]}),
                "branch main created in octo/hello with 1 commit by mona",
            ),
            (
                json!({"deleted": true, "ref": "refs/tags/v1"}),
                "tag v1 deleted from octo/hello by mona",
            ),
            (
                json!({"forced": true}),
                "2 commits force-pushed to octo/hello on main by mona",
            ),
            (
                json!({"ref": "refs/notes/commits", "forced": true, "commits": []}),
                "ref refs/notes/commits force-pushed in octo/hello by mona",
            ),
            (
                json!({"pusher": {"name": null}}),
                "2 commits to octo/hello on main by mona-login",
            ),
            (
                json!({"pusher": null, "sender": null}),
                "2 commits to octo/hello on main by somebody",
            ),
        ],
    );
}

#[test]
fn commits_have_a_subject_and_a_short_id() {
    let push = json!({
        "ref": "refs/heads/main",
        "repository": {"full_name": "octo/hello"},
        "commits": [{"id": "0123456789", "message": "One\n\nTwo"}, {"id": "é3", "message": ""}],
    });
    let push: Push = serde_json::from_value(push).unwrap();
    let shown: Vec<_> = push
        .commits
        .iter()
        .map(|c| (c.short_id(), c.subject()))
        .collect();
    assert_eq!(shown, [("0123456", "One"), ("é3", "")]);
}

fn pull_request() -> Value {
    json!({
        "action": "opened",
        "pull_request": {
            "id": 9, "number": 7, "title": "Close the harbor", "state": "open",
            "head": {"ref": "storm"}, "base": {"ref": "main"},
            "additions": 3, "deletions": 1, "changed_files": 1,
        },
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "ilse"},
    })
}

#[test]
fn pull_requests() {
    check::<PullRequestEvent>(
        &pull_request(),
        &[
            (json!({}), "octo/hello#7 opened by ilse: Close the harbor"),
            (
                json!({"action": "ready_for_review"}),
                "octo/hello#7 ready for review by ilse: Close the harbor",
            ),
            (
                json!({"action": "synchronize", "sender": null}),
                "octo/hello#7 updated by somebody: Close the harbor",
            ),
            (
                json!({"action": "closed", "pull_request": {"state": "closed"}}),
                "octo/hello#7 closed by ilse: Close the harbor",
            ),
            (
                json!({"action": "closed", "pull_request": {"state": "closed", "merged": true}}),
                "octo/hello#7 merged by ilse: Close the harbor",
            ),
        ],
    );
}

#[test]
fn a_pull_request_has_a_state_and_a_size() {
    for (changes, state) in [
        (json!({}), State::Open),
        (json!({"draft": true}), State::Draft),
        (json!({"draft": true, "state": "closed"}), State::Closed),
        (json!({"merged": true, "state": "closed"}), State::Merged),
    ] {
        let mut payload = pull_request();
        merge(&mut payload["pull_request"], &changes);
        let event: PullRequestEvent = serde_json::from_value(payload).unwrap();
        assert_eq!(event.pull_request.state(), state, "{changes}");
        assert_eq!(event.pull_request.size(), "+3 \u{2212}1 in 1 file");
        assert_eq!(event.pull_request.author(), "somebody");
    }
}

#[test]
fn issues() {
    let issue = json!({
        "action": "opened",
        "issue": {"number": 5, "title": "Leak", "state": "open"},
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    });
    let closed = |reason: Value| json!({"action": "closed", "issue": {"state": "closed", "state_reason": reason}});
    check::<IssueEvent>(
        &issue,
        &[
            (json!({}), "octo/hello#5 opened by mona: Leak"),
            (
                json!({"action": "labeled", "label": {"name": "safety"}}),
                "octo/hello#5 labeled safety by mona: Leak",
            ),
            (
                json!({"action": "labeled"}),
                "octo/hello#5 labeled by mona: Leak",
            ),
            (
                json!({"action": "assigned", "assignee": {"login": "ilse"}}),
                "octo/hello#5 assigned to ilse by mona: Leak",
            ),
            (
                json!({"action": "unassigned", "assignee": {"login": "ilse"}}),
                "octo/hello#5 unassigned from ilse by mona: Leak",
            ),
            (
                closed(json!("not_planned")),
                "octo/hello#5 closed as not planned by mona: Leak",
            ),
            (closed(json!(null)), "octo/hello#5 closed by mona: Leak"),
        ],
    );
}

#[test]
fn releases() {
    let release = json!({
        "action": "published",
        "release": {"tag_name": "v1.2.0", "name": "Spring tide"},
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    });
    check::<ReleaseEvent>(
        &release,
        &[
            (
                json!({}),
                "release v1.2.0 of octo/hello published by mona: Spring tide",
            ),
            (
                json!({"release": {"name": " ", "prerelease": true}}),
                "pre-release v1.2.0 of octo/hello published by mona",
            ),
            (
                json!({"release": {"name": null}, "action": "deleted"}),
                "release v1.2.0 of octo/hello deleted by mona",
            ),
        ],
    );
}

#[test]
fn workflow_runs() {
    let run = json!({
        "action": "completed",
        "workflow_run": {
            "workflow_id": 3, "name": "CI", "run_number": 41,
            "head_branch": "main", "conclusion": "success",
        },
        "repository": {"full_name": "octo/hello"},
    });
    let ends = |conclusion: Value| json!({"workflow_run": {"conclusion": conclusion}});
    let rows = [
        (ends(json!("success")), false, "succeeded"),
        (ends(json!("failure")), true, "failed"),
        (ends(json!("timed_out")), true, "timed out"),
        (ends(json!("startup_failure")), true, "could not start"),
        (ends(json!("cancelled")), false, "cancelled"),
        (ends(json!(null)), false, "has not ended"),
    ];
    for (changes, has_failed, outcome) in rows {
        let mut payload = run.clone();
        merge(&mut payload, &changes);
        let event: WorkflowRunEvent = serde_json::from_value(payload).unwrap();
        assert_eq!(event.workflow_run.has_failed(), has_failed, "{changes}");
        assert_eq!(
            event.to_string(),
            format!("CI #41 {outcome} on main of octo/hello")
        );
    }
    let bare = json!({"workflow_run": {"name": null, "head_branch": null}});
    check::<WorkflowRunEvent>(
        &run,
        &[(bare, "a workflow #41 succeeded on no branch of octo/hello")],
    );
}
