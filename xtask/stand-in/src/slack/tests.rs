//! Slack's words for what it takes and what it refuses.

use serde_json::{Value, json};

use super::{CHANNEL, Slack, TOKEN};
use crate::http::Request;
use crate::service::Service;
use std::time::{Duration, UNIX_EPOCH};

fn call(slack: &mut Slack, method: &str, body: &Value) -> Value {
    call_at(slack, method, body, 0).1
}

fn call_at(slack: &mut Slack, method: &str, body: &Value, second: u64) -> (u16, Value) {
    let mut request = Request::new(
        "POST",
        &format!("/api/{method}"),
        body.to_string().as_bytes(),
    );
    let headers = [
        ("Authorization", format!("Bearer {TOKEN}")),
        ("Content-Type", "application/json; charset=utf-8".to_owned()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    request.headers.extend(headers);
    let answer = slack.answer(&request, UNIX_EPOCH + Duration::from_secs(second));
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn message(fields: &Value) -> Value {
    let mut body = json!({ "channel": CHANNEL, "text": "a &lt;b&gt; <https://x|c>" });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn messages_are_posted_answered_and_changed() {
    let mut slack = Slack::default();
    let root = call(&mut slack, "chat.postMessage", &message(&json!({})));
    assert_eq!(root["ok"], true, "{root}");
    let thread = message(&json!({ "thread_ts": root["ts"], "text": "reply" }));
    call(&mut slack, "chat.postMessage", &thread);
    let changed = message(&json!({ "ts": root["ts"], "text": "changed" }));
    assert_eq!(call(&mut slack, "chat.update", &changed)["ts"], root["ts"]);
    let [first, second] = slack.messages() else {
        panic!("two messages: {:?}", slack.messages())
    };
    assert_eq!((first.text.as_str(), first.n_updates), ("changed", 1));
    assert_eq!(second.thread_ts, root["ts"].as_str().map(str::to_owned));
    assert_eq!(slack.sections()[0].rows, [["changed", "reply"]]);
}

#[test]
fn a_message_is_shown_without_markup() {
    let mut slack = Slack::default();
    call(&mut slack, "chat.postMessage", &message(&json!({})));
    assert_eq!(slack.messages()[0].shown(), "a <b> c");
}

#[test]
fn the_same_client_msg_id_is_the_same_message() {
    let mut slack = Slack::default();
    let body = message(&json!({ "client_msg_id": "1" }));
    let first = call(&mut slack, "chat.postMessage", &body);
    let again = call(&mut slack, "chat.postMessage", &body);
    assert_eq!(first["ts"], again["ts"]);
    call(
        &mut slack,
        "chat.postMessage",
        &message(&json!({ "client_msg_id": "2" })),
    );
    assert_eq!(slack.messages().len(), 2);
}

#[test]
fn refusals_have_the_status_200_and_a_code() {
    let header = |n: usize| json!([{ "type": "header", "text": { "type": "plain_text", "text": "é".repeat(n) } }]);
    for (fields, code) in [
        (json!({ "channel": "C9" }), "channel_not_found"),
        (json!({ "text": "" }), "no_text"),
        (json!({ "text": "é".repeat(40_001) }), "msg_too_long"),
        (json!({ "blocks": header(151) }), "invalid_blocks"),
        (json!({ "blocks": header(0) }), "invalid_blocks"),
        (
            json!({ "blocks": [{ "type": "nonsense" }] }),
            "invalid_blocks",
        ),
        (
            json!({ "blocks": [{ "type": "context", "elements": [] }] }),
            "invalid_blocks",
        ),
        (json!({ "blocks": "" }), "invalid_blocks"),
    ] {
        let mut slack = Slack::default();
        let answer = call_at(&mut slack, "chat.postMessage", &message(&fields), 0);
        assert_eq!(
            (answer.0, &answer.1["error"]),
            (200, &json!(code)),
            "{fields}"
        );
        assert!(slack.messages().is_empty());
    }
    let mut slack = Slack::default();
    let good = message(&json!({ "blocks": header(150), "ts": "1.1" }));
    assert_eq!(call(&mut slack, "chat.postMessage", &good)["ok"], true);
    assert_eq!(
        call(&mut slack, "chat.update", &good)["error"],
        "message_not_found"
    );
    slack.remove_bot();
    assert_eq!(
        call(&mut slack, "chat.postMessage", &good)["error"],
        "not_in_channel"
    );
}

#[test]
fn too_many_at_once_are_told_when_to_come_again() {
    let mut slack = Slack::new(true);
    let body = message(&json!({}));
    for _ in 0..5 {
        assert_eq!(call_at(&mut slack, "chat.postMessage", &body, 60).0, 200);
    }
    let (status, answer) = call_at(&mut slack, "chat.postMessage", &body, 60);
    assert_eq!((status, &answer["error"]), (429, &json!("ratelimited")));
    // Changes are counted apart.
    let change = message(&json!({ "ts": slack.messages()[0].ts }));
    assert_eq!(call_at(&mut slack, "chat.update", &change, 60).0, 200);
    assert_eq!(call_at(&mut slack, "chat.postMessage", &body, 61).0, 200);
}
