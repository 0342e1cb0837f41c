//! What is sent to Slack, and which failure each answer is.

use std::time::Duration;

use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, kv, manifest};
use hookbay_slack::{Message, Posted};
use serde_json::{Value, json};

/// Posts the body's text; answers in a thread or updates where its kv says so.
struct Probe;

impl Plugin for Probe {
    fn manifest() -> Manifest {
        hookbay_slack::wants(manifest!())
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let text: String = event.json()?;
        let message = Message::new(&text)
            .heading(&text)
            .section(&text)
            .context("small");
        if let Some(root) = kv::get_json::<Posted>("thread")? {
            message.in_thread(&root).post(run)?;
        } else if let Some(posted) = kv::get_json::<Posted>("update")? {
            match message.update(&posted) {
                Err(error) if error.is_gone() => return Ok(Success::new("gone")),
                result => result?,
            }
        } else {
            kv::set_json("posted", &message.post(run)?)?;
        }
        Ok(Success::new("done"))
    }
}

fn answered(host: Host, method: &str, answer: Answer, text: &str) -> (Host, Attempt) {
    let mut host = host.with_config("channel", "C1");
    host.answer("slack", "POST", &format!("/api/{method}"), [answer]);
    let attempt = host.handle::<Probe>(&testing::json_event("shop", "order", &text));
    (host, attempt)
}

fn refused(error: Value) -> Failure {
    let mut body = json!({"ok": false});
    let fields = error.as_object().expect("an error is an object").clone();
    body.as_object_mut().expect("it is one").extend(fields);
    let (_, attempt) = answered(
        Host::new(),
        "chat.postMessage",
        Answer::json(200, &body),
        "text",
    );
    attempt.failure().clone()
}

const POSTED: &str = r#"{"channel":"C1","ts":"1700000000.000100"}"#;

#[test]
fn a_message_is_posted_once_per_run() {
    let yes = json!({"ok": true, "channel": "C1", "ts": "1700000000.000100"});
    let (host, attempt) = answered(
        Host::new(),
        "chat.postMessage",
        Answer::json(200, &yes),
        "a &amp; b",
    );

    let request = &attempt.requests[0];
    let bearer = Some("Bearer [secret SLACK_TOKEN]");
    assert_eq!(request.header("authorization"), bearer);
    let markup = |text: &str| json!({"type": "mrkdwn", "text": text, "verbatim": true});
    let heading = json!({"type": "plain_text", "text": "a &amp; b", "emoji": false});
    let expected = json!({
        "channel": "C1",
        "text": "a &amp; b",
        "blocks": [
            {"type": "header", "text": heading},
            {"type": "section", "text": markup("a &amp; b")},
            {"type": "context", "elements": [markup("small")]},
        ],
        "unfurl_links": false,
        "unfurl_media": false,
        "client_msg_id": testing::run(1).uuid("message"),
    });
    assert_eq!(request.json::<Value>(), expected);
    assert_eq!(host.stored("posted"), Some(POSTED));
}

#[test]
fn a_reply_goes_to_its_threads_channel() {
    let host = Host::new().with_stored("thread", r#"{"channel":"C0","ts":"1.1"}"#);
    let yes = json!({"ok": true, "channel": "C0", "ts": "2.2"});
    let (_, attempt) = answered(host, "chat.postMessage", Answer::json(200, &yes), "a");
    let sent: Value = attempt.requests[0].json();
    assert_eq!(
        (&sent["channel"], &sent["thread_ts"]),
        (&json!("C0"), &json!("1.1"))
    );
}

#[test]
fn an_update_names_its_message_and_finds_out_that_it_is_gone() {
    for (answer, summary) in [
        (json!({"ok": true, "channel": "C0", "ts": "1.1"}), "done"),
        (json!({"ok": false, "error": "message_not_found"}), "gone"),
    ] {
        let host = Host::new().with_stored("update", r#"{"channel":"C0","ts":"1.1"}"#);
        let (_, attempt) = answered(host, "chat.update", Answer::json(200, &answer), "a");
        assert_eq!(attempt.summary(), summary);
        let sent: Value = attempt.requests[0].json();
        assert_eq!(
            (&sent["channel"], &sent["ts"]),
            (&json!("C0"), &json!("1.1"))
        );
        assert_eq!(sent["client_msg_id"], Value::Null);
    }
}

#[test]
fn what_is_too_long_is_cut() {
    let yes = json!({"ok": true, "channel": "C1", "ts": "1.1"});
    let answer = Answer::json(200, &yes);
    let (_, attempt) = answered(Host::new(), "chat.postMessage", answer, &"é".repeat(5_000));
    let sent: Value = attempt.requests[0].json();
    let chars = |pointer: &str| {
        let text = sent.pointer(pointer).and_then(Value::as_str);
        text.map(|text| text.chars().count())
    };
    let lengths = ["/text", "/blocks/0/text/text", "/blocks/1/text/text"].map(chars);
    assert_eq!(lengths, [Some(4_000), Some(150), Some(3_000)]);
}

#[test]
fn refusals_say_what_a_person_can_do() {
    for (error, reason) in [
        (
            json!({"error": "channel_not_found"}),
            "channel_not_found: the token sees no channel `C1`",
        ),
        (
            json!({"error": "not_in_channel"}),
            "not_in_channel: invite the bot to the channel `C1`",
        ),
        (
            json!({"error": "is_archived"}),
            "is_archived: the channel `C1` is archived",
        ),
        (
            json!({"error": "missing_scope", "needed": "chat:write"}),
            "missing_scope: the token lacks the scope `chat:write`",
        ),
        (
            json!({"error": "invalid_auth"}),
            "invalid_auth: Slack does not accept the token in secrets.SLACK_TOKEN",
        ),
        (
            json!({"error": "invalid_blocks", "response_metadata": {"messages": ["[ERROR] no text"]}}),
            "invalid_blocks; [ERROR] no text",
        ),
        (json!({"error": "something_new"}), "something_new"),
        (json!({}), "unknown_error"),
    ] {
        let expected = Failure::permanent(format!("chat.postMessage: {reason}"));
        assert_eq!(refused(error), expected);
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    for code in ["internal_error", "ratelimited", "service_unavailable"] {
        let expected = Failure::retry(format!("chat.postMessage: {code}"));
        assert_eq!(refused(json!({"error": code})), expected);
    }
    let line = "POST slack /api/chat.postMessage";
    let slower = Answer::json(429, &json!({"ok": false, "error": "ratelimited"}));
    let ratelimited = format!(r#"{line} answered 429: {{"error":"ratelimited","ok":false}}"#);
    for (answer, expected) in [
        (
            slower.header("Retry-After", "30"),
            Failure::retry(ratelimited).after(Duration::from_secs(30)),
        ),
        (
            Answer::new(503),
            Failure::retry(format!("{line} answered 503")),
        ),
        (
            Answer::new(404),
            Failure::permanent(format!("{line} answered 404")),
        ),
    ] {
        let (_, attempt) = answered(Host::new(), "chat.postMessage", answer, "text");
        assert_eq!(attempt.failure(), &expected);
    }
    let page = Answer::new(200).body("<html>down for maintenance</html>");
    let (_, attempt) = answered(Host::new(), "chat.postMessage", page, "text");
    assert!(matches!(attempt.failure(), Failure::Retry { .. }));
}
