//! What each service is sent, and which failure each answer is, on the fake host.

use std::time::Duration;

use hookbay_plugin::Failure;
use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use serde_json::{Value, json};

use super::Email;

fn host() -> Host {
    Host::new()
        .with_config("from", "Orders <orders@example.com>")
        .with_config("to", "a@example.com, b@example.com,")
        .with_config("subject", "Order {/id}\r\nBcc: {/name}")
        .with_config("text", "{/name} paid {/total} <b>")
}

fn answered(host: Host, path: &str, answer: Answer) -> Attempt {
    let mut host = host;
    host.answer("mail", "POST", path, [answer]);
    let body = json!({"id": "A7", "name": "Nour\n<Haddad>", "total": 84.9});
    host.handle::<Email>(&testing::json_event("shop", "order.paid", &body))
}

#[test]
fn resend_is_sent_a_mail_with_a_key() {
    let attempt = answered(host(), "/emails", Answer::json(200, &json!({"id": "m-1"})));
    let subject = "Order A7 Bcc: Nour <Haddad>";
    let to = "a@example.com, b@example.com";
    assert_eq!(attempt.summary(), format!("mailed to {to}: {subject}"));
    assert_eq!(attempt.data::<Value>(), json!({"id": "m-1"}));
    let request = &attempt.requests[0];
    assert_eq!(
        request.header("authorization"),
        Some("Bearer [secret MAIL_TOKEN]")
    );
    assert_eq!(request.header("idempotency-key"), Some("event-1:plugin"));
    let expected = json!({
        "from": "Orders <orders@example.com>",
        "to": ["a@example.com", "b@example.com"],
        "subject": subject,
        "text": "Nour\n<Haddad> paid 84.9 <b>",
    });
    assert_eq!(request.json::<Value>(), expected);
}

#[test]
fn postmark_is_sent_a_mail_with_an_id_of_its_own() {
    let host = host().with_config("service", "postmark");
    let taken = json!({"To": "…", "MessageID": "m-2", "ErrorCode": 0, "Message": "OK"});
    let attempt = answered(host, "/email", Answer::json(200, &taken));
    assert_eq!(attempt.data::<Value>(), json!({"id": "m-2"}));
    let request = &attempt.requests[0];
    let token = request.header("x-postmark-server-token");
    assert_eq!(token, Some("[secret MAIL_TOKEN]"));
    let message_id = format!("<{}@hookbay.invalid>", testing::run(1).uuid("mail"));
    let expected = json!({
        "From": "Orders <orders@example.com>",
        "To": "a@example.com, b@example.com",
        "Subject": "Order A7 Bcc: Nour <Haddad>",
        "TextBody": "Nour\n<Haddad> paid 84.9 <b>",
        "Headers": [
            {"Name": "Message-ID", "Value": message_id},
            {"Name": "X-PM-KeepID", "Value": "true"},
        ],
    });
    assert_eq!(request.json::<Value>(), expected);
}

#[test]
fn an_answer_becomes_the_failure_that_fits() {
    let line = "POST mail /emails answered";
    let named = |name: &str| json!({"name": name});
    let reused = "this event was mailed within the last day, with another text; Resend will \
                  not send it again under the same idempotency key";
    for (answer, expected) in [
        (
            Answer::new(429).header("Retry-After", "1"),
            Failure::retry(format!("{line} 429")).after(Duration::from_secs(1)),
        ),
        (Answer::new(500), Failure::retry(format!("{line} 500"))),
        (
            Answer::json(409, &named("concurrent_idempotent_requests")),
            Failure::retry(format!(
                r#"{line} 409: {{"name":"concurrent_idempotent_requests"}}"#
            )),
        ),
        (
            Answer::json(409, &named("invalid_idempotent_request")),
            Failure::permanent(reused),
        ),
        (
            Answer::json(422, &named("validation_error")),
            Failure::permanent(format!(r#"{line} 422: {{"name":"validation_error"}}"#)),
        ),
    ] {
        assert_eq!(answered(host(), "/emails", answer).failure(), &expected);
    }
}

#[test]
fn a_setting_that_is_wrong_fails_for_good_and_is_named() {
    for (key, value, reason) in [
        (
            "service",
            "sendmail",
            "config.service: `sendmail` is not known",
        ),
        ("to", " , ", "config.to: there is no recipient"),
        ("subject", "{x}", "config.subject: `{x}` is no placeholder"),
        ("text", "}", "config.text: `}` closes nothing"),
    ] {
        let attempt = answered(host().with_config(key, value), "/emails", Answer::new(200));
        assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
        let said = attempt.failure().reason();
        assert!(said.starts_with(reason), "{said}");
        assert!(attempt.requests.is_empty());
    }
}
