//! What senders ask that came to the catalogue later, beside what gets no answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbay::clock::Clock;
use reqwest::Method;
use serde_json::json;

use crate::harness::Host;
use crate::signing::hmac_sha256;

use super::ask;

const SOURCES: &str = r#"
[sources.oura]
provider = "oura"
secret = { secret = "oura secret", verify_token = "oura token" }

[sources.ringcentral]
provider = "ringcentral"
secret = "ringcentral token"

[sources.circle]
provider = "circle"
secret = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJu/OvQ7p40pmkYfhizqRIrL3M5RbZJzJ+fkh6fna2BKQI4venMe7Mw0VDGdwTdJa5wVSBXRLbzG/QHB0WHLQ5g=="

[sources.lark]
provider = "lark"
secret = "lark token"

[sources.front]
provider = "front"
secret = "front secret"

[sources.clio]
provider = "clio"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_questions_are_answered_and_not_stored() {
    let host = Host::start(SOURCES, &[]).await;
    let challenge = json!({ "challenge": "asked" }).to_string();
    for (method, path, status, body) in [
        (
            Method::GET,
            "oura?verification_token=oura+token&challenge=asked",
            200,
            challenge.as_str(),
        ),
        (
            Method::GET,
            "oura?verification_token=another&challenge=asked",
            403,
            "",
        ),
        (Method::HEAD, "circle", 200, ""),
        (Method::GET, "circle", 405, ""),
    ] {
        let answer = ask(&host, method, path, &[]).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(status != 200 || answer.text() == body, "{path}");
    }
    for (source, header) in [
        ("ringcentral", "validation-token"),
        ("clio", "x-hook-secret"),
    ] {
        let answer = host.send(source, &[(header, "brought")], "").await;
        assert_eq!(answer.status, 200, "{source}");
        assert_eq!(answer.header(header), "brought", "{source}");
        assert_eq!(host.send(source, &[], "{}").await.status, 401, "{source}");
    }
    let question = r#"{"challenge":"asked","token":"lark token","type":"url_verification"}"#;
    assert_eq!(host.send("lark", &[], question).await.text(), challenge);
    assert_eq!(host.items("events").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn front_gets_its_challenge_once_it_has_proven_itself() {
    let host = Host::start(SOURCES, &[]).await;
    let body = r#"{"type":"sync","authorization":{"id":"cmp_abc"}}"#;
    let time = Clock::system().now().millis().to_string();
    for (secret, status) in [("front secret", 200), ("another", 401)] {
        let signature = hmac_sha256(secret, format!("{time}:{body}").as_bytes());
        let signature = STANDARD.encode(hex::decode(signature).unwrap());
        let headers = [
            ("x-front-challenge", "asked"),
            ("x-front-request-timestamp", time.as_str()),
            ("x-front-signature", signature.as_str()),
        ];
        let answer = host.send("front", &headers, body).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text() == r#"{"challenge":"asked"}"#, status == 200);
    }
    let events = host.items("events").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["handshake"], true);
}
