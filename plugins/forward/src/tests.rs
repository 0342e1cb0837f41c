//! What goes out, checked as a receiver would, and what comes of the answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookbay_plugin::Failure;
use hookbay_plugin::testing::{self, Answer, Attempt, Host, Request};
use sha2::Sha256;

use super::Forward;

/// The example of the specification:
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &[u8] = b"{\"order\": \"7\" ,\n\"total\":\xff}";

fn host(path: &str, answer: fn() -> Answer) -> Host {
    let mut host = Host::new()
        .with_secret("FORWARD_SECRET", SECRET)
        .with_now_ms(1_674_087_231_999);
    host.on("target", "POST", path, move |_| answer());
    host
}

fn forward(host: &mut Host) -> Attempt {
    let event = testing::event("shop", "order.paid", BODY);
    host.attempt::<Forward>(&event, &testing::run(3))
}

/// As a receiver does it: the parts joined anew, from what arrived.
fn is_genuine(request: &Request) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let key = STANDARD.decode(&SECRET[6..]).expect("it is base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length is fine");
    for part in [
        &header("webhook-id"),
        ".",
        &header("webhook-timestamp"),
        ".",
    ] {
        mac.update(part.as_bytes());
    }
    mac.update(&request.body);
    let given = header("webhook-signature");
    let given = given.strip_prefix("v1,").expect("version 1");
    let given = STANDARD.decode(given).expect("it is base64");
    mac.verify_slice(&given).is_ok()
}

#[test]
fn the_body_goes_out_as_it_came_and_signed() {
    let attempt = forward(&mut host("/", || Answer::new(204)));
    assert_eq!(attempt.summary(), "order.paid relayed: 204");
    let sent = &attempt.requests[0];
    assert_eq!(sent.body, BODY);
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", "event-1"),
        ("webhook-timestamp", "1674087231"),
        ("hookbay-event-id", "event-1"),
        ("hookbay-source", "shop"),
        ("hookbay-kind", "order.paid"),
        ("hookbay-attempt", "3"),
    ] {
        assert_eq!(sent.header(name), Some(value), "{name}");
    }
    assert!(is_genuine(sent));
    let mut forged = sent.clone();
    forged.body.push(b' ');
    assert!(!is_genuine(&forged));
}

/// Bytes that another implementation signed: `openssl dgst -sha256 -mac HMAC`.
#[test]
fn the_signature_is_what_openssl_makes() {
    let mut host = host("/", || Answer::new(200));
    let mut event = testing::event("shop", "order.paid", r#"{"test": 2432232314}"#);
    event.id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
    host = host.with_now_ms(1_614_265_330_000);
    let attempt = host.handle::<Forward>(&event);
    assert_eq!(
        attempt.requests[0].header("webhook-signature"),
        Some("v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=")
    );
}

#[test]
fn the_path_is_the_operators() {
    let mut host = host("/hooks/in?team=7", || Answer::new(200));
    host = host.with_config("path", "/hooks/in?team=7");
    assert_eq!(forward(&mut host).requests[0].path, "/hooks/in?team=7");
}

#[test]
fn a_body_without_type_gets_none() {
    let mut event = testing::event("shop", "order.paid", BODY);
    event.content_type = None;
    let attempt = host("/", || Answer::new(200)).handle::<Forward>(&event);
    assert_eq!(attempt.requests[0].header("content-type"), None);
}

#[test]
fn refusals_are_for_good_and_troubles_are_not() {
    for (answer, expected) in [
        (
            (|| Answer::new(400).body("no order 7")) as fn() -> Answer,
            Failure::permanent("POST target / answered 400: no order 7"),
        ),
        (
            || Answer::new(302).header("location", "https://elsewhere.example"),
            Failure::permanent("POST target / answered 302, and redirects are not followed"),
        ),
        (
            || Answer::new(410),
            Failure::permanent(
                "POST target / answered 410. The receiver is gone for good and wants no more: \
                 take this plugin's trigger away, or pause it",
            ),
        ),
        (
            || Answer::new(429).header("retry-after", "20"),
            Failure::retry("POST target / answered 429").after(Duration::from_secs(20)),
        ),
        (
            || Answer::new(503).header("retry-after", "Thu, 19 Jan 2023 00:14:31 GMT"),
            Failure::retry("POST target / answered 503").after(Duration::from_millis(39_001)),
        ),
        (
            || Answer::new(500),
            Failure::retry("POST target / answered 500"),
        ),
        (
            Answer::timeout,
            Failure::retry("http timeout: POST target /: the test made it so"),
        ),
    ] {
        let attempt = forward(&mut host("/", answer));
        assert_eq!(attempt.failure(), &expected);
    }
}

#[test]
fn the_operator_can_have_refusals_tried_again_but_not_a_farewell() {
    let patient = |answer| {
        let mut host = host("/", answer).with_config("retry_4xx", "true");
        forward(&mut host).failure().clone()
    };
    assert_eq!(
        patient(|| Answer::new(404)),
        Failure::retry("POST target / answered 404")
    );
    let farewell = patient(|| Answer::new(410));
    assert!(matches!(farewell, Failure::Permanent { .. }));
}

#[test]
fn a_secret_of_another_form_is_named() {
    let mut host = host("/", || Answer::new(200)).with_secret("FORWARD_SECRET", "plain text");
    let failure = forward(&mut host).failure().clone();
    assert!(matches!(failure, Failure::Permanent { .. }));
    assert!(failure.reason().contains("`FORWARD_SECRET`"), "{failure}");
}
