//! Which failure an answer is, or its absence, to a plugin that goes on with `?`.

use std::time::Duration;

use hookbay_plugin::{
    Event, Failure, Manifest, Plugin, Run, Success, http, manifest,
    testing::{self, Answer},
};
use serde_json::json;

struct Ask;

impl Plugin for Ask {
    fn manifest() -> Manifest {
        manifest!().endpoint("shop", "https://shop.example", "the shop")
    }

    fn handle(_event: &Event, _run: &Run) -> Result<Success, Failure> {
        let response = http::get("shop", "/orders").query("token", "x").send()?;
        let n: u32 = response.error_for_status()?.json()?;
        Ok(Success::new(format!("{n} orders")))
    }
}

/// What a plugin that goes on with `?` makes of one answer.
fn failure_of(answer: Answer) -> Failure {
    let mut host = testing::Host::new();
    host.answer("shop", "GET", "/orders", [answer]);
    let attempt = host.handle::<Ask>(&testing::event("shop", "asked", "{}"));
    attempt.failure().clone()
}

#[test]
fn a_status_becomes_the_failure_that_fits() {
    let retry = |status: u16| Failure::retry(format!("GET shop /orders answered {status}"));
    let permanent =
        |reason: &str| Failure::permanent(format!("GET shop /orders answered {reason}"));
    for status in [408, 409, 425, 429, 500, 502, 503, 599] {
        assert_eq!(failure_of(Answer::new(status)), retry(status));
    }
    for (answer, reason) in [
        (Answer::new(400), "400".to_owned()),
        (
            Answer::json(422, &json!({"error": "no\n currency"})),
            r#"422: {"error":"no\n currency"}"#.to_owned(),
        ),
        (
            Answer::new(404).body(" no\tsuch\r\n\u{7}order "),
            "404: no such order".to_owned(),
        ),
        (Answer::new(403).body("<html>no</html>"), "403".to_owned()),
        (
            Answer::new(400).body("é".repeat(201)),
            format!("400: {}…", "é".repeat(200)),
        ),
        (
            Answer::new(302).header("Location", "/elsewhere"),
            "302, and redirects are not followed".to_owned(),
        ),
    ] {
        assert_eq!(failure_of(answer), permanent(&reason));
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let date = "Tue, 14 Nov 2023 22:14:20 GMT";
    let after = |seconds| Some(Duration::from_secs(seconds));
    for (headers, expected) in [
        (&[("Retry-After", "120")][..], after(120)),
        (&[("retry-after", " 1 ")], after(1)),
        // The host's clock stands at 22:13:20.
        (&[("Retry-After", date)], after(60)),
        // The receiver's own clock wins.
        (
            &[
                ("Retry-After", date),
                ("Date", "Tue, 14 Nov 2023 22:14:00 GMT"),
            ],
            after(20),
        ),
        // The two older forms of RFC 9110, 5.6.7.
        (
            &[("Retry-After", "Tuesday, 14-Nov-23 22:13:21 GMT")],
            after(1),
        ),
        (&[("Retry-After", "Tue Nov 14 22:13:22 2023")], after(2)),
        // What is no delay is the operator's schedule.
        (&[("Retry-After", "0")], None),
        (&[("Retry-After", "Tue, 14 Nov 2023 22:13:00 GMT")], None),
        (&[("Retry-After", "soon")], None),
        (&[("Retry-After", "-5")], None),
        (&[], None),
    ] {
        let answer = headers
            .iter()
            .fold(Answer::new(503), |answer, (name, value)| {
                answer.header(name, value)
            });
        let Failure::Retry { after, .. } = failure_of(answer) else {
            panic!("503 is worth a retry");
        };
        assert_eq!(after, expected, "{headers:?}");
    }

    let gone = Answer::new(410).header("Retry-After", "5");
    assert!(matches!(failure_of(gone), Failure::Permanent { .. }));
}

#[test]
fn what_is_not_answered_becomes_the_failure_that_fits() {
    let why = "GET shop /orders: the test made it so";
    for (answer, failure) in [
        (
            Answer::timeout(),
            Failure::retry(format!("http timeout: {why}")),
        ),
        (
            Answer::unavailable(),
            Failure::retry(format!("http unavailable: {why}")),
        ),
        (
            Answer::denied(),
            Failure::permanent(format!("http denied: {why}")),
        ),
        (
            Answer::too_large(),
            Failure::permanent(format!("http too large: {why}")),
        ),
        (
            Answer::new(200).body("no"),
            Failure::permanent(
                "http json: GET shop /orders: body of the 200 answer: \
                 expected ident at line 1 column 2",
            ),
        ),
    ] {
        assert_eq!(failure_of(answer), failure);
    }
}
