//! How each event reads, and one thread per pull request, on the fake host.

use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use hookbay_plugin::{Event, Failure};
use serde_json::{Value, json};

use super::GithubToSlack;

const POST: &str = "/api/chat.postMessage";
const UPDATE: &str = "/api/chat.update";

/// A host whose Slack numbers the messages that it takes.
fn host() -> Host {
    let mut host = Host::new().with_config("channel", "C1");
    let mut n = 0;
    host.on("slack", "POST", POST, move |_| {
        n += 1;
        Answer::json(
            200,
            &json!({"ok": true, "channel": "C1", "ts": format!("{n}.0")}),
        )
    });
    host.on("slack", "POST", UPDATE, |request| {
        let ts = request.json::<Value>()["ts"].clone();
        Answer::json(200, &json!({"ok": true, "channel": "C1", "ts": ts}))
    });
    host
}

fn event(kind: &str, fields: Value) -> Event {
    let mut body = json!({
        "action": kind.rsplit('.').next(),
        "repository": {"full_name": "octo/hello"},
        "sender": {"login": "mona"},
    });
    let fields = fields.as_object().expect("fields are an object").clone();
    body.as_object_mut().expect("it is one").extend(fields);
    testing::json_event("github", kind, &body)
}

/// What was sent: each method with the first section, or the text where there is none.
fn said(attempt: &Attempt) -> Vec<(&str, String)> {
    let shown = |body: &Value| {
        let section = body.pointer("/blocks/0/text/text");
        section
            .unwrap_or(&body["text"])
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let requests = attempt.requests.iter();
    requests
        .map(|request| (request.path.as_str(), shown(&request.json())))
        .collect()
}

#[track_caller]
fn check(kind: &str, fields: Value, expected: &str) {
    let attempt = host().handle::<GithubToSlack>(&event(kind, fields));
    assert!(
        attempt.summary().starts_with("posted: "),
        "{}",
        attempt.summary()
    );
    assert_eq!(said(&attempt), [(POST, expected.to_owned())]);
}

#[track_caller]
fn check_silence(kind: &str, fields: Value) {
    let attempt = host().handle::<GithubToSlack>(&event(kind, fields));
    assert!(
        attempt.summary().starts_with("not worth a message: "),
        "{}",
        attempt.summary()
    );
    assert!(attempt.requests.is_empty());
}

#[test]
fn pushes_list_their_first_commits() {
    let commit = |n: usize| json!({"id": format!("{n:07}abc"), "url": format!("https://x/{n}"), "message": format!("<{n}>\n\nMore")});
    let commits: Vec<Value> = (1..=7).map(commit).collect();
    let push =
        json!({"ref": "refs/heads/main", "compare": "https://x/compare", "commits": commits});
    check(
        "push",
        push,
        "<https://x/compare|7 commits to octo/hello on main by mona>\n\
         • <https://x/1|0000001> &lt;1&gt;\n\
         • <https://x/2|0000002> &lt;2&gt;\n\
         • <https://x/3|0000003> &lt;3&gt;\n\
         • <https://x/4|0000004> &lt;4&gt;\n\
         • <https://x/5|0000005> &lt;5&gt;\n\
         … and 2 more",
    );
    let gone = json!({"ref": "refs/heads/old", "deleted": true, "compare": "https://x/compare"});
    check("push", gone, "branch old deleted from octo/hello by mona");
}

#[test]
fn issues_are_told_from_opening_to_end() {
    let issue = |state: &str| {
        json!({"issue": {
            "number": 5, "title": "<!channel> leaks", "state": state, "body": "At noon & later\nagain",
            "html_url": "https://x/5", "state_reason": (state == "closed").then_some("completed"),
        }, "label": {"name": "bug"}})
    };
    check(
        "issues.opened",
        issue("open"),
        "*<https://x/5|#5 &lt;!channel&gt; leaks>*\nIssue opened by mona\n\
         > At noon &amp; later\n> again",
    );
    check(
        "issues.closed",
        issue("closed"),
        "*<https://x/5|#5 &lt;!channel&gt; leaks>*\nIssue closed as completed by mona",
    );
    check_silence("issues.labeled", issue("open"));
}

#[test]
fn releases_are_quoted() {
    let release = json!({"release": {
        "tag_name": "v1.2.0", "name": "Spring tide", "body": "* Pilots", "html_url": "https://x/r",
    }});
    check(
        "release.published",
        release,
        "*<https://x/r|Spring tide>*\nNew release `v1.2.0`\n> * Pilots",
    );
}

#[test]
fn only_failed_workflows_are_told() {
    let run = |conclusion: &str| {
        json!({"workflow_run": {
            "workflow_id": 3, "name": "CI", "run_number": 41, "head_branch": "main",
            "conclusion": conclusion, "html_url": "https://x/41",
        }})
    };
    check(
        "workflow_run.completed",
        run("failure"),
        "\u{274c} *<https://x/41|CI #41>* failed on `main`, started by mona",
    );
    check_silence("workflow_run.completed", run("success"));
    check_silence("workflow_run.completed", run("cancelled"));
}

/// A pull request at a minute of an hour.
fn pull_request(action: &str, minute: u32, state: &str, is_merged: bool) -> Event {
    let pull_request = json!({
        "id": 900, "number": 7, "title": "Close the harbor", "state": state, "merged": is_merged,
        "html_url": "https://x/7", "user": {"login": "ilse"}, "head": {"ref": "storm"},
        "base": {"ref": "main"}, "additions": 3, "deletions": 1, "changed_files": 2,
        "created_at": "2026-03-01T09:00:00Z",
        "updated_at": format!("2026-03-02T10:{minute:02}:00Z"),
    });
    event(
        &format!("pull_request.{action}"),
        json!({"pull_request": pull_request}),
    )
}

fn card(state: &str) -> String {
    format!("*<https://x/7|#7 Close the harbor>*\n{state}, `storm` → `main`, by ilse")
}

const OPEN: &str = "\u{1f7e2} Open";
const MERGED: &str = "\u{1f7e3} Merged";

#[test]
fn a_pull_request_has_one_thread() {
    let mut host = host();
    for (event, expected) in [
        (
            pull_request("opened", 1, "open", false),
            vec![(POST, card(OPEN))],
        ),
        (
            pull_request("labeled", 2, "open", false),
            vec![(UPDATE, card(OPEN))],
        ),
        (
            pull_request("synchronize", 3, "open", false),
            vec![(UPDATE, card(OPEN)), (POST, "*updated* by mona".to_owned())],
        ),
        (
            pull_request("closed", 4, "closed", true),
            vec![
                (UPDATE, card(MERGED)),
                (POST, "*merged* by mona".to_owned()),
            ],
        ),
    ] {
        let attempt = host.handle::<GithubToSlack>(&event);
        assert_eq!(said(&attempt), expected, "{:?}", attempt.result);
        for request in &attempt.requests[1..] {
            assert_eq!(request.json::<Value>()["thread_ts"], "1.0");
        }
    }
}

#[test]
fn late_events_do_not_turn_it_back() {
    let mut host = host();
    let merged = host.handle::<GithubToSlack>(&pull_request("closed", 4, "closed", true));
    assert_eq!(said(&merged), [(POST, card(MERGED))]);
    let late = host.handle::<GithubToSlack>(&pull_request("opened", 1, "open", false));
    assert_eq!(said(&late), [(POST, "*opened* by mona".to_owned())]);
    assert_eq!(late.requests[0].json::<Value>()["thread_ts"], "1.0");
    // The same second: Slack is told again, as the later of the two is not known.
    let labeled = host.handle::<GithubToSlack>(&pull_request("labeled", 4, "closed", true));
    assert_eq!(said(&labeled), [(UPDATE, card(MERGED))]);
}

#[test]
fn a_deleted_message_is_posted_anew() {
    let mut host = host();
    host.handle::<GithubToSlack>(&pull_request("opened", 1, "open", false));
    let gone = json!({"ok": false, "error": "message_not_found"});
    host.answer("slack", "POST", UPDATE, [Answer::json(200, &gone)]);
    let attempt = host.handle::<GithubToSlack>(&pull_request("synchronize", 2, "open", false));
    assert_eq!(said(&attempt), [(UPDATE, card(OPEN)), (POST, card(OPEN))]);
    let thread = host.stored("thread/2026-03/900").unwrap_or_default();
    assert!(thread.contains(r#""ts":"2.0""#), "{thread}");
}

#[test]
fn threads_are_forgotten_after_a_year() {
    let mut host = host();
    for (key, root) in [
        ("thread/2024-12/1", "1.0"),
        ("thread/2025-01/20", "2.0"),
        ("thread/2025-01/3", "3.0"),
        ("thread/2025-02/4", "4.0"),
        ("thread/2025-03/5", "5.0"),
    ] {
        let thread = json!({"root": {"channel": "C1", "ts": root}, "shown": ""});
        host = host.with_stored(key, thread.to_string());
    }
    let keys =
        |host: &Host| -> Vec<String> { host.all_stored().map(|(key, _)| key.to_owned()).collect() };
    host.handle::<GithubToSlack>(&pull_request("opened", 1, "open", false));
    assert_eq!(keys(&host).len(), 6);
    // Three at a time: a thread that is kept costs nobody's run much.
    host.handle::<GithubToSlack>(&pull_request("closed", 2, "closed", true));
    let own = "thread/2026-03/900";
    assert_eq!(keys(&host), ["thread/2025-02/4", "thread/2025-03/5", own]);
    host.handle::<GithubToSlack>(&pull_request("closed", 3, "closed", true));
    assert_eq!(keys(&host), ["thread/2025-03/5", own]);
    host.handle::<GithubToSlack>(&pull_request("closed", 4, "closed", true));
    assert_eq!(keys(&host), ["thread/2025-03/5", own]);
}

#[test]
fn a_thread_that_was_not_begun_is_not_remembered() {
    let mut host = Host::new().with_config("channel", "C1");
    host.answer(
        "slack",
        "POST",
        POST,
        [Answer::new(429).header("Retry-After", "30")],
    );
    let attempt = host.handle::<GithubToSlack>(&pull_request("opened", 1, "open", false));
    assert!(matches!(
        attempt.failure(),
        Failure::Retry { after: Some(_), .. }
    ));
    assert_eq!(host.all_stored().count(), 0);
}

#[test]
fn what_it_knows_nothing_of_fails_for_good() {
    for (kind, body, reason) in [
        ("star.created", "{}", "there is no message for `star`"),
        ("push", "[]", "body of the push event: "),
    ] {
        let attempt = host().handle::<GithubToSlack>(&testing::event("github", kind, body));
        let failure = attempt.failure();
        assert!(matches!(failure, Failure::Permanent { .. }));
        assert!(failure.reason().starts_with(reason), "{failure}");
    }
}
