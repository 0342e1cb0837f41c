//! What each service makes of a repetition, and of what is wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Postmark, Resend, TOKEN};
use crate::http::Request;
use crate::service::Service;

fn ask(
    service: &mut dyn Service,
    headers: &[(&str, &str)],
    body: &Value,
    now: SystemTime,
) -> (u16, Value) {
    let path = match service.name() {
        "resend" => "/emails",
        _ => "/email",
    };
    let mut request = Request::new("POST", path, body.to_string().as_bytes());
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    request.headers.extend(headers);
    let answer = service.answer(&request, now);
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn resend_knows_a_key_for_a_day() {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "k")];
    let mail = |text: &str| json!({"from": "A <a@x.example>", "to": ["b@x.example"], "subject": "s", "text": text});
    let mut resend = Resend::default();
    let first = ask(&mut resend, &headers, &mail("a"), UNIX_EPOCH);
    let again = ask(&mut resend, &headers, &mail("a"), UNIX_EPOCH);
    assert_eq!((first.0, &first.1["id"]), (200, &again.1["id"]));
    let other = ask(&mut resend, &headers, &mail("b"), UNIX_EPOCH);
    assert_eq!(
        (other.0, &other.1["name"]),
        (409, &json!("invalid_idempotent_request"))
    );
    assert_eq!(resend.mails().len(), 1);
    let next_day = UNIX_EPOCH + Duration::from_secs(86_400);
    assert_eq!(ask(&mut resend, &headers, &mail("b"), next_day).0, 200);
    assert_eq!(resend.mails()[1].field("to"), "b@x.example");
}

#[test]
fn resend_says_what_is_wrong() {
    let bearer = format!("Bearer {TOKEN}");
    let authorized = [("Authorization", bearer.as_str())];
    let fine = json!({"from": "a@x.example", "to": ["b@x.example"], "subject": "s"});
    for (headers, body, expected) in [
        (&[][..], &fine, (401, "missing_api_key")),
        (
            &authorized[..],
            &json!({"from": "a@x.example"}),
            (422, "missing_required_field"),
        ),
        (
            &authorized[..],
            &json!({"from": "a@x.example", "to": ["b"], "subject": "s"}),
            (422, "validation_error"),
        ),
    ] {
        let mut resend = Resend::default();
        let (status, answer) = ask(&mut resend, headers, body, UNIX_EPOCH);
        assert_eq!(
            (status, answer["name"].as_str()),
            (expected.0, Some(expected.1))
        );
        assert!(resend.mails().is_empty());
    }
}

#[test]
fn resend_takes_two_requests_a_second() {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let body = json!({"from": "a@x.example", "to": ["b@x.example"], "subject": "s"});
    let mut resend = Resend::new(true);
    let statuses = [5, 5, 5, 6].map(|second| {
        ask(
            &mut resend,
            &headers,
            &body,
            UNIX_EPOCH + Duration::from_secs(second),
        )
        .0
    });
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[test]
fn postmark_sends_and_says_what_is_wrong() {
    let token = [("X-Postmark-Server-Token", TOKEN)];
    let fine = json!({"From": "a@x.example", "To": "b@x.example, c@x.example", "TextBody": "t"});
    for (headers, body, expected) in [
        (&token[..], &fine, (200, 0)),
        (&[][..], &fine, (401, 10)),
        (
            &token[..],
            &json!({"From": "a@x.example", "To": "b@x.example"}),
            (422, 300),
        ),
        (
            &token[..],
            &json!({"From": "a@x.example", "To": "b", "TextBody": "t"}),
            (422, 300),
        ),
    ] {
        let mut postmark = Postmark::default();
        let (status, answer) = ask(&mut postmark, headers, body, UNIX_EPOCH);
        assert_eq!(
            (status, answer["ErrorCode"].as_u64()),
            (expected.0, Some(expected.1))
        );
        assert_eq!(postmark.mails().len(), usize::from(status == 200));
    }
}
