//! Senders with a convention of their own: signed times, rotating secrets, other encodings,
//! kinds and ids in headers and bodies.

use hookbay::clock::Clock;
use serde_json::json;

use crate::harness::{Host, SECRET};
use crate::signing::{Headers, github_headers, hmac_sha256, with, without};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"
path = "/hooks/old-address"

[sources.open]
provider = "none"

[sources.orders]
provider = "generic"
secret = ["retired-secret", "orders-secret"]
timestamp_header = "x-timestamp"
kind_header = "x-event-type"
id_header = "x-order-event"

[sources.shop]
provider = "generic"
secret = "vector-secret"
algorithm = "sha512"
encoding = "base64"
prefix = "v1="
kind_pointer = "/type"
id_pointer = "/id"
"#;

/// The headers of a delivery to `orders`, signed over `{timestamp}.{body}`.
fn order_headers(secret: &str, timestamp: &str, id: &str, body: &str) -> Headers {
    let signature = hmac_sha256(secret, format!("{timestamp}.{body}").as_bytes());
    vec![
        ("x-timestamp", timestamp.to_owned()),
        ("x-webhook-signature", signature),
        ("x-event-type", "order.created".to_owned()),
        ("x-order-event", id.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_convention_of_ones_own_with_a_signed_time() {
    let host = Host::start(SOURCES, &[]).await;
    let now = Clock::system().now().seconds();
    let at = |offset: i64| (now + offset).to_string();
    let plain = |offset: i64, id: &str| order_headers("orders-secret", &at(offset), id, "{}");
    for (what, headers, status) in [
        ("now", plain(0, "a"), 202),
        ("a bit late", plain(-200, "b"), 202),
        ("a bit ahead", plain(200, "c"), 202),
        (
            "the other secret, while rotating",
            order_headers("retired-secret", &at(0), "d", "{}"),
            202,
        ),
        ("stale", plain(-3600, "e"), 401),
        ("future", plain(3600, "f"), 401),
        (
            "another time than was signed",
            with(plain(0, "g"), "x-timestamp", &at(1)),
            401,
        ),
        ("no time", without(plain(0, "h"), "x-timestamp"), 401),
        (
            "a time that is none",
            order_headers("orders-secret", "noon", "i", "{}"),
            401,
        ),
        (
            "a time with a fraction",
            order_headers("orders-secret", &format!("{now}.5"), "j", "{}"),
            401,
        ),
        (
            "no signature",
            without(plain(0, "k"), "x-webhook-signature"),
            401,
        ),
        (
            "an unknown secret",
            order_headers("other-secret", &at(0), "l", "{}"),
            401,
        ),
        ("seen before", plain(0, "a"), 200),
    ] {
        let answer = host.send_signed("orders", &headers, "{}").await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    let events = host.items("events").await;
    let seen: Vec<(&str, &str)> = events
        .iter()
        .rev()
        .map(|event| {
            (
                event["kind"].as_str().unwrap(),
                event["delivery_id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, ["a", "b", "c", "d"].map(|id| ("order.created", id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn kind_and_id_are_read_from_the_body() {
    let host = Host::start(SOURCES, &[]).await;
    // Computed with Python's hmac module.
    let vector = "v1=iV4pv/CfgHSFK5WPXhJVuOBRTEs9JiLP95Yd46hY6s26SYb+Uotm525jEWWwa3PzAoGHoHTXCNT5d9MJWH+mwg==";
    let body = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    let event = host
        .send("shop", &[("x-webhook-signature", vector)], body)
        .await
        .event();
    let event = host.get(&format!("events/{event}")).await;
    assert_eq!(
        (
            &event["kind"],
            &event["delivery_id"],
            &event["provider"],
            &event["no_run_reason"]
        ),
        (
            &json!("invoice.paid"),
            &json!("evt_1"),
            &json!("generic"),
            &json!("no_trigger")
        )
    );
    let other_prefix = vector.replace("v1=", "v2=");
    assert_eq!(
        host.send("shop", &[("x-webhook-signature", &other_prefix)], body)
            .await
            .status,
        401
    );

    for (source, headers, body, kind) in [
        ("open", vec![], "no JSON", "unknown"),
        (
            "github",
            github_headers(SECRET, "push", "d1", b"{}"),
            "{}",
            "push",
        ),
    ] {
        let event = host.send_signed(source, &headers, body).await.event();
        assert_eq!(host.get(&format!("events/{event}")).await["kind"], kind);
    }
    let issue = br#"{"action":"opened","issue":{}}"#;
    let headers = github_headers(SECRET, "issues", "i1", issue);
    let event = host
        .send_signed("github", &headers, issue.to_vec())
        .await
        .event();
    assert_eq!(
        host.get(&format!("events/{event}")).await["kind"],
        "issues.opened"
    );
}
