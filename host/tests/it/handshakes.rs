//! What senders ask before they send, through the door: each is answered as its sender
//! expects, unsigned ones leave no event, and a wrong one gets nothing.

use hookbay::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Host;
use crate::http::{Answer, Client};
use crate::signing::{Headers, hmac_sha256, with};

mod fetched;
mod later;
mod learnt;

const SOURCES: &str = r#"
[sources.slack]
provider = "slack"
secret = "slack secret"

[sources.meta]
provider = "meta"
secret = { secret = "meta secret", verify_token = "meta token" }

[sources.zoom]
provider = "zoom"
secret = "zoom secret"

[sources.x]
provider = "x"
secret = "x secret"

[sources.graph]
provider = "microsoft-graph"
secret = "client state"

[sources.dropbox]
provider = "dropbox"
secret = "dropbox secret"

[sources.okta]
provider = "okta"
secret = "okta secret"

[sources.discord]
provider = "discord"
secret = "7f4199fa6342300bb4358da9b4fe7679b5e7ce23ed440fdcd30ac329c46c5322"

[sources.twitch]
provider = "twitch"
secret = "twitch secret"

[sources.box]
provider = "box"
secret = "box secret"

[sources.linkedin]
provider = "linkedin"
secret = "linkedin secret"

[sources.nylas]
provider = "nylas"
secret = "nylas secret"

[sources.onfleet]
provider = "onfleet"
secret = "0123abcd"

[sources.smartsheet]
provider = "smartsheet"
secret = "smartsheet secret"

[sources.youtube]
provider = "youtube"
secret = { secret = "youtube secret", verify_token = "youtube token" }
"#;

/// `{"type":1}` at 1760000000, by Python's cryptography.
const DISCORD_PING: &str = "7bb386a7728dc9f3609e7bdfe64028f38b2bfcc6e52d89b2c1d5606ab10b06ee\
                            3d3ffd90eb0707d2a602f7960e1b7cac82c8c8ffd97fb3a752f4fe20884dc90e";

async fn ask(host: &Host, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("http://{}/webhooks/{path}", host.public);
    Client::new().ask(method, &url, headers, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_questions_are_answered_and_not_stored() {
    let host = Host::start(SOURCES, &[]).await;
    // Computed with Python's hmac module.
    let crc = json!({ "response_token": "sha256=WhKgEf3SNO7W7MmdtnX+Ao3Yv0ndSP+Cq8cEmLTfOHo=" });
    let okta = json!({ "verification": "okta challenge" });
    for (method, path, headers, status, body) in [
        (
            Method::GET,
            "meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meta+token",
            vec![],
            200,
            "1158201444",
        ),
        (
            Method::GET,
            "meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another",
            vec![],
            403,
            "",
        ),
        (
            Method::GET,
            "x?crc_token=crc-1",
            vec![],
            200,
            crc.to_string().as_str(),
        ),
        (
            Method::POST,
            "graph?validationToken=a%20b",
            vec![],
            200,
            "a b",
        ),
        (Method::GET, "dropbox?challenge=xyz", vec![], 200, "xyz"),
        (
            Method::GET,
            "okta",
            vec![("x-okta-verification-challenge", "okta challenge")],
            200,
            okta.to_string().as_str(),
        ),
        (Method::GET, "okta", vec![], 405, ""),
        (Method::HEAD, "box", vec![], 200, ""),
        (Method::GET, "slack", vec![], 405, ""),
    ] {
        check_unsigned(&host, method, path, &headers, (status, body)).await;
    }
    assert_eq!(host.items("events").await.len(), 0);
    assert_eq!(host.items("quarantine").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_questions_of_further_senders_are_answered() {
    let host = Host::start(SOURCES, &[]).await;
    // Computed with Python's hmac module.
    let linkedin = json!({
        "challengeCode": "890e4665-4dfe-4ab1-b689-ed553bceeed0",
        "challengeResponse": "b4bfbf610e5e46575ca78f54b6a4ffc7a0f582bce3f7e27741cc98099a8cf3e2",
    });
    let smartsheet = json!({ "smartsheetHookResponse": "smartsheet challenge" });
    for (method, path, headers, status, body) in [
        (
            Method::GET,
            "linkedin?challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0",
            vec![],
            200,
            linkedin.to_string().as_str(),
        ),
        (Method::GET, "nylas?challenge=xyz", vec![], 200, "xyz"),
        (Method::GET, "onfleet?check=xyz", vec![], 200, "xyz"),
        (
            Method::POST,
            "smartsheet",
            vec![("smartsheet-hook-challenge", "smartsheet challenge")],
            200,
            smartsheet.to_string().as_str(),
        ),
        (
            Method::GET,
            "youtube?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=youtube+token",
            vec![],
            200,
            "1158201444",
        ),
        (
            Method::GET,
            "youtube?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another",
            vec![],
            403,
            "",
        ),
    ] {
        check_unsigned(&host, method, path, &headers, (status, body)).await;
    }
    assert_eq!(host.items("events").await.len(), 0);
}

/// Asks, and looks at status and body; who is refused gets nothing of the question.
async fn check_unsigned(
    host: &Host,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    (status, body): (u16, &str),
) {
    let answer = ask(host, method, path, headers).await;
    assert_eq!(answer.status, status, "{path}: {}", answer.text());
    if status == 200 {
        assert_eq!(answer.text(), body, "{path}");
    } else {
        assert!(!answer.text().contains("1158201444"), "{path}");
    }
}

/// The key that answers X's and Braintree's questions proves their events too: nobody may
/// have a body signed by asking.
#[tokio::test(flavor = "multi_thread")]
async fn no_question_signs_an_event() {
    const BRAINTREE: &str = r#"
        [sources.braintree]
        provider = "braintree"
        secret = { public_key = "integration_public_key", private_key = "integration_private_key" }
    "#;
    let host = Host::start(&[SOURCES, BRAINTREE].concat(), &[]).await;
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    for (token, is_answered) in [
        ("NTNhZmRkOTItMTM3Zi00ZjIzLWEwZWMtOGMzOTEwNDc5OTBl", true),
        ("a-b_c=", true),
        (r#"{"for_user_id":"1","tweet_create_events":[]}"#, false),
        ("[1]", false),
        ("12345", false),
        ("true", false),
        ("", false),
        ("\"text\"", false),
        ("a.b", false),
    ] {
        let path = format!("x?crc_token={}", encoded(token));
        let answer = ask(&host, Method::GET, &path, &[]).await;
        let signature = match is_answered {
            true => answer.json()["response_token"].as_str().unwrap().to_owned(),
            false => {
                assert_eq!(answer.status, 405, "{token}: {}", answer.text());
                continue;
            }
        };
        // What is signed is no event.
        let headers = [("x-twitter-webhooks-signature", signature.as_str())];
        let forged = host.send("x", &headers, token).await;
        assert_eq!(forged.status, 400, "{token}");
    }
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let path = format!("braintree?bt_challenge={challenge}");
    let answer = ask(&host, Method::GET, &path, &[]).await;
    assert_eq!(answer.status, 200);
    let form = format!(
        "bt_signature={}&bt_payload={challenge}",
        encoded(&answer.text())
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let forged = host.send("braintree", &headers, form).await;
    assert_eq!(forged.status, 401, "{}", forged.text());
    assert_eq!(host.items("events").await.len(), 0);
}

/// A question: its source, the headers with its signature last, its body and the answer.
type Question = (&'static str, Headers, &'static str, String);

/// Questions that are signed now.
fn signed_questions() -> Vec<Question> {
    let now = Clock::system().now();
    let seconds = now.seconds().to_string();
    let time = now.to_string();
    let signed = |secret: &str, parts: &[&str]| hmac_sha256(secret, parts.concat().as_bytes());
    let slack = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let zoom =
        r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}"#;
    let zoom_answer = json!({
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": hmac_sha256("zoom secret", b"qgg8vlvZRS6UYooatFL8Aw"),
    });
    let twitch = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo"}"#;
    let v0 =
        |secret: &str, body: &str| format!("v0={}", signed(secret, &["v0:", &seconds, ":", body]));
    vec![
        (
            "slack",
            vec![
                ("x-slack-request-timestamp", seconds.clone()),
                ("x-slack-signature", v0("slack secret", slack)),
            ],
            slack,
            "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".to_owned(),
        ),
        (
            "zoom",
            vec![
                ("x-zm-request-timestamp", seconds.clone()),
                ("x-zm-signature", v0("zoom secret", zoom)),
            ],
            zoom,
            zoom_answer.to_string(),
        ),
        (
            "twitch",
            vec![
                ("twitch-eventsub-message-id", "m-1".to_owned()),
                ("twitch-eventsub-message-timestamp", time.clone()),
                (
                    "twitch-eventsub-message-type",
                    "webhook_callback_verification".to_owned(),
                ),
                (
                    "twitch-eventsub-message-signature",
                    format!(
                        "sha256={}",
                        signed("twitch secret", &["m-1", &time, twitch])
                    ),
                ),
            ],
            twitch,
            "pogchamp-kappa-360noscope-vohiyo".to_owned(),
        ),
        (
            // Its age is not looked at.
            "discord",
            vec![
                ("x-signature-timestamp", "1760000000".to_owned()),
                ("x-signature-ed25519", DISCORD_PING.to_owned()),
            ],
            r#"{"type":1}"#,
            r#"{"type":1}"#.to_owned(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_questions_are_proven_stored_and_answered() {
    let host = Host::start(SOURCES, &[]).await;
    let cases = signed_questions();
    for (source, headers, body, expected) in &cases {
        let answer = host.send_signed(source, headers, *body).await;
        assert_eq!(answer.status, 200, "{source}: {}", answer.text());
        assert_eq!(&answer.text(), expected, "{source}");
        let name = headers.last().unwrap().0;
        let forged = with(headers.clone(), name, &"0".repeat(128));
        let answer = host.send_signed(source, &forged, *body).await;
        assert_eq!(answer.status, 401, "{source}");
        assert!(!answer.text().contains(expected.as_str()), "{source}");
    }
    let events = host.items("events").await;
    assert_eq!(events.len(), cases.len());
    let is_handshake = |event: &Value| event["handshake"] == true && event["runs"] == json!({});
    assert!(events.iter().all(is_handshake), "{events:?}");
}
