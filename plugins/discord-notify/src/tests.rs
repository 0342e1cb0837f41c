//! What is posted for each wording, and which failure each answer is, on the fake host.

use std::time::Duration;

use hookbay_plugin::Failure;
use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use serde_json::{Value, json};

use super::DiscordNotify;

const PATH: &str = "/api/v10/channels/772/messages";

fn answered(text: Option<&str>, answer: Answer) -> Attempt {
    let mut host = Host::new().with_config("channel_id", "772");
    if let Some(text) = text {
        host = host.with_config("text", text);
    }
    host.answer("discord", "POST", PATH, [answer]);
    let body = json!({"name": "@everyone *a*\n<@1>", "long": "é".repeat(3_000)});
    host.handle::<DiscordNotify>(&testing::json_event("shop", "order.paid", &body))
}

fn posted() -> Answer {
    Answer::json(
        200,
        &json!({"id": "9", "channel_id": "772", "content": "…"}),
    )
}

#[track_caller]
fn check(text: Option<&str>, expected: &str) {
    let attempt = answered(text, posted());
    assert_eq!(
        attempt.data::<Value>(),
        json!({"id": "9", "channel_id": "772"})
    );
    let request = &attempt.requests[0];
    let authorization = request.header("authorization");
    assert_eq!(authorization, Some("Bot [secret DISCORD_TOKEN]"));
    let nonce = testing::run(1).uuid("message").replace('-', "");
    let expected = json!({
        "content": expected,
        "nonce": nonce[..25],
        "enforce_nonce": true,
        "allowed_mentions": {"parse": []},
    });
    assert_eq!(request.json::<Value>(), expected);
}

#[test]
fn the_operators_wording_is_filled_in_and_escaped() {
    check(None, "**order.paid** from shop");
    check(Some("_{/name}_"), "_\\@everyone \\*a\\*\n\\<\\@1\\>_");
}

#[test]
fn what_is_too_long_is_cut() {
    let attempt = answered(Some("{/long}"), posted());
    let sent: Value = attempt.requests[0].json();
    let content = sent["content"].as_str().unwrap_or_default();
    assert_eq!(
        (content.chars().count(), content.chars().last()),
        (2_000, Some('…'))
    );
}

#[test]
fn an_answer_becomes_the_failure_that_fits() {
    let line = format!("POST discord {PATH} answered");
    let unknown = json!({"message": "Unknown Channel", "code": 10003});
    for (answer, expected) in [
        (
            Answer::json(429, &json!({"retry_after": 2.5})).header("Retry-After", "3"),
            Failure::retry(format!(r#"{line} 429: {{"retry_after":2.5}}"#))
                .after(Duration::from_secs(3)),
        ),
        (Answer::new(502), Failure::retry(format!("{line} 502"))),
        (
            Answer::json(404, &unknown),
            Failure::permanent(format!(
                r#"{line} 404: {{"code":10003,"message":"Unknown Channel"}}"#
            )),
        ),
    ] {
        assert_eq!(answered(None, answer).failure(), &expected);
    }
    let broken = answered(Some("{"), posted());
    assert!(broken.failure().reason().starts_with("config.text: "));
    assert!(matches!(broken.failure(), Failure::Permanent { .. }));
}
