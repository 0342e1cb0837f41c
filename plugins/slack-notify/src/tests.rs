//! What is posted for each wording, on the fake host.

use hookbay_plugin::Failure;
use hookbay_plugin::testing::{self, Answer, Host};
use serde_json::{Value, json};

use super::SlackNotify;

fn host() -> Host {
    let mut host = Host::new().with_config("channel", "C1");
    let yes = json!({"ok": true, "channel": "C1", "ts": "1.0"});
    host.answer(
        "slack",
        "POST",
        "/api/chat.postMessage",
        [Answer::json(200, &yes)],
    );
    host
}

fn order() -> hookbay_plugin::Event {
    let body = json!({"order": {"id": "A<7>", "total": 84.9}, "note": "<!channel>"});
    testing::json_event("shop", "order.paid", &body)
}

#[track_caller]
fn check(host: Host, text: &str, blocks: &Value) {
    let mut host = host;
    let attempt = host.handle::<SlackNotify>(&order());
    assert_eq!(attempt.summary(), format!("posted to C1: {text}"));
    assert_eq!(
        attempt.data::<Value>(),
        json!({"channel": "C1", "ts": "1.0"})
    );
    let sent: Value = attempt.requests[0].json();
    assert_eq!((&sent["text"], &sent["blocks"]), (&json!(text), blocks));
}

#[test]
fn the_operators_wording_is_filled_in_and_escaped() {
    check(host(), "`order.paid` from shop", &Value::Null);
    let host = host().with_config("text", "*Order {/order/id}*: {/order/total} {/note}");
    check(
        host,
        "*Order A&lt;7&gt;*: 84.9 &lt;!channel&gt;",
        &Value::Null,
    );
}

#[test]
fn a_title_stands_above_as_plain_text() {
    let blocks = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "Order A<7>", "emoji": false}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "paid", "verbatim": true}},
    ]);
    let host = host()
        .with_config("title", "Order {/order/id}")
        .with_config("text", "paid");
    check(host, "paid", &blocks);
}

#[test]
fn a_wording_that_is_none_fails_for_good_and_names_its_key() {
    for key in ["text", "title"] {
        let mut host = host().with_config(key, "{order}");
        let attempt = host.handle::<SlackNotify>(&order());
        let failure = attempt.failure();
        assert!(matches!(failure, Failure::Permanent { .. }));
        let reason = format!("config.{key}: `{{order}}` is no placeholder");
        assert!(failure.reason().starts_with(&reason), "{failure}");
        assert!(attempt.requests.is_empty());
    }
}
