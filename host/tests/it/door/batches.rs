//! Requests that are several events, and events that start no run.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Host;
use crate::signing::hmac_sha256;

const BATCHES: &str = r#"
[sources.gocardless]
provider = "gocardless"
secret = "webhook-secret"

[sources.listed]
provider = "none"
batch = ""
json = true
kind = "/type"
id = "/id"

[sources.headed]
provider = "none"
batch = ""
json = true
kind_header = "x-kind"

[sources.noop]
provider = "none"
batch = "/events"
kind = "/type"
id = "/id"
ack = { status = 200 }
"#;

async fn body_of(host: &Host, event: &str) -> String {
    let path = format!("/api/v1/events/{event}/body");
    host.ask(Method::GET, &path, "").await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_an_event() {
    let host = Host::start(BATCHES, &[]).await;
    let first = r#"{"id":"EV1","resource_type":"payments", "action":"confirmed","n":1.50}"#;
    let second = r#"{"id":"EV2","resource_type":"mandates","action":"failed"}"#;
    let body = format!(r#"{{"events":[{first}, {second}],"meta":{{"webhook_id":"WB1"}}}}"#);
    let send = async |body: &str| {
        let signature = hmac_sha256("webhook-secret", body.as_bytes());
        host.send("gocardless", &[("webhook-signature", &signature)], body)
            .await
    };
    let answer = send(&body).await;
    let told = answer.json();
    assert_eq!((answer.status, &told["status"]), (202, &json!("accepted")));
    assert_eq!(told["event_id"], Value::Null);
    let ids: Vec<String> = serde_json::from_value(told["event_ids"].clone()).unwrap();
    for (id, part, kind, delivery) in [
        (&ids[0], first, "payments.confirmed", "EV1"),
        (&ids[1], second, "mandates.failed", "EV2"),
    ] {
        let event = host.get(&format!("events/{id}")).await;
        assert_eq!(
            (
                &event["kind"],
                &event["delivery_id"],
                &event["content_type"]
            ),
            (&json!(kind), &json!(delivery), &Value::Null)
        );
        assert_eq!(body_of(&host, id).await, part);
    }
    // All of it again; then one that is known among one that is not.
    let again = send(&body).await;
    assert_eq!(
        (again.status, &again.json()["event_ids"]),
        (200, &told["event_ids"])
    );
    assert_eq!(again.json()["status"], "duplicate");
    let third = r#"{"id":"EV3","resource_type":"payouts","action":"paid"}"#;
    let mixed = send(&format!(r#"{{"events":[{third},{first}]}}"#)).await;
    assert_eq!(mixed.status, 202);
    assert_eq!(mixed.json()["event_ids"][1], ids[0].as_str());
    // A single one is told like any event.
    let fourth = third.replace("EV3", "EV4");
    let single = send(&format!(r#"{{"events":[{fourth}]}}"#)).await;
    assert_eq!(single.word(), (202, "accepted".into()));
    assert_eq!(body_of(&host, &single.event()).await, fourth);
    assert_eq!(host.items("events").await.len(), 4);
    // A forged one leaves nothing.
    let forged = host
        .send("gocardless", &[("webhook-signature", "00")], body)
        .await;
    assert_eq!(forged.status, 498);
    assert_eq!(host.items("events").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_not_as_expected() {
    let host = Host::start(BATCHES, &["noop"]).await;
    // A console that tries the address sends no item.
    let check = host.send("listed", &[], "[]").await;
    assert_eq!(check.word(), (202, "pong".into()));
    let event = host.get(&format!("events/{}", check.event())).await;
    assert_eq!(
        (&event["handshake"], &event["no_run_reason"]),
        (&json!(true), &json!("handshake"))
    );
    for (source, body, status, kinds) in [
        // Without a list it is one event.
        ("listed", r#"{"type":"alone","id":1}"#, 202, vec!["alone"]),
        (
            "noop",
            r#"{"type":"alone","events":{}}"#,
            200,
            vec!["alone"],
        ),
        ("noop", "no JSON", 200, vec!["unknown"]),
        ("listed", "no JSON", 400, vec![]),
        ("headed", "no JSON", 400, vec![]),
        ("headed", "{}", 202, vec!["unknown"]),
        ("listed", r#"[{"type":"a"}"#, 400, vec![]),
        (
            "listed",
            r#"[1,null,{"type":"a"}]"#,
            202,
            vec!["unknown", "unknown", "a"],
        ),
        (
            "noop",
            r#"{"events":[{"type":"b"}],"events":[]}"#,
            200,
            vec!["unknown"],
        ),
    ] {
        let before = host.items("events").await.len();
        let answer = host.send(source, &[], body).await;
        assert_eq!(answer.status, status, "{body}");
        let events = host.items("events").await;
        let mut found: Vec<&str> = events[..events.len() - before]
            .iter()
            .map(|event| event["kind"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        let mut kinds = kinds;
        kinds.sort_unstable();
        assert_eq!(found, kinds, "{body}");
    }
    let many = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
    assert_eq!(host.send("listed", &[], many(5001)).await.status, 413);
    // Each event has all headers: a small request must not become hundreds of megabytes.
    let long = "x".repeat(40_000);
    let headers = [("x-long", long.as_str())];
    let refused = host.send("listed", &headers, many(900)).await;
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(host.send("listed", &headers, many(2)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_without_an_id_go_by_the_requests_key() {
    let host = Host::start(BATCHES, &[]).await;
    let body = r#"[{"type":"a"},{"type":"a"},{"type":"a","id":"x"}]"#;
    let key = [("idempotency-key", "k1")];
    let first = host.send("listed", &key, body).await;
    assert_eq!(first.json()["event_ids"].as_array().unwrap().len(), 3);
    let again = host.send("listed", &key, body).await;
    assert_eq!(
        (again.status, &again.json()["event_ids"]),
        (200, &first.json()["event_ids"])
    );
    // Without either, nobody can know.
    assert_eq!(host.send("listed", &[], body).await.status, 202);
    assert_eq!(host.items("events").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_request_is_none_of_its_items() {
    let source = r#"
        [sources.listed]
        provider = "generic"
        secret = "orders-secret"
        batch = ["/rows", ""]
        kind_pointer = "/type"
        id = [["header:x-delivery"], ["/id"]]
    "#;
    let host = Host::start(source, &[]).await;
    let send = async |body: &str| {
        let signature = hmac_sha256("orders-secret", body.as_bytes());
        let headers = [
            ("x-webhook-signature", signature.as_str()),
            ("x-delivery", "d-1"),
        ];
        let answer = host.send("listed", &headers, body).await;
        assert!([200, 202].contains(&answer.status), "{}", answer.text());
        answer.json()
    };
    let first = send(r#"[{"type":"a"},{"type":"b"},{"type":"c","id":"x"}]"#).await;
    let again = send(r#"[{"type":"a"},{"type":"b"},{"type":"c","id":"x"}]"#).await;
    assert_eq!(
        (&again["status"], &again["event_ids"]),
        (&json!("duplicate"), &first["event_ids"])
    );
    let events = host.items("events").await;
    let of = |field: &str| -> Vec<&Value> { events.iter().map(|event| &event[field]).collect() };
    assert_eq!(of("kind"), ["c", "b", "a"]);
    assert_eq!(of("delivery_id"), ["x", "d-1", "d-1"]);
    assert_eq!(of("dedup_conflict"), [false, false, false]);
    // Its own id goes wherever the item is, and whichever list it is in.
    let moved = send(r#"{"rows":[{"type":"c","id":"x"}]}"#).await;
    assert_eq!(moved["event_id"], first["event_ids"][2]);
}

const FILTERS: &str = r#"
[sources.noop]
provider = "generic"
secret = "orders-secret"
kind_pointer = "/type"
id_pointer = "/id"
filter = { kind = ["order.*"], "/total" = { gt = 0 }, any = [{ "/country" = ["NL", "BE"] }, { "header:x-vip" = { exists = true } }] }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_does_not_take_is_kept_and_starts_no_run() {
    let host = Host::start(FILTERS, &["noop"]).await;
    let order = json!({ "id": "a", "type": "order.made", "total": 5, "country": "NL" });
    let with = |key: &str, value: Value| {
        let mut order = order.clone();
        order[key] = value;
        order["id"] = json!(format!("{key} {}", order[key]));
        order
    };
    for (body, vip, is_taken) in [
        (order.clone(), false, true),
        (with("country", json!("FR")), true, true),
        (with("total", json!("7.50")), false, true),
        (with("country", json!("FR")), false, false),
        (with("total", json!(0)), false, false),
        (with("total", Value::Null), false, false),
        (with("type", json!("refund")), false, false),
    ] {
        let mut body = body;
        body["id"] = json!(format!("{} {vip}", body["id"]));
        let body = body.to_string();
        let signature = hmac_sha256("orders-secret", body.as_bytes());
        let mut headers = vec![("x-webhook-signature", signature.as_str())];
        if vip {
            headers.push(("x-vip", "1"));
        }
        let answer = host.send("noop", &headers, body.clone()).await;
        assert_eq!(answer.word(), (202, "accepted".into()), "{body}");
        let id = answer.event();
        if is_taken {
            host.finished(&id).await;
            continue;
        }
        let event = host.get(&format!("events/{id}")).await;
        assert_eq!(
            (&event["runs"], &event["no_run_reason"]),
            (&json!([]), &json!("filtered")),
            "{body}"
        );
        // Whoever asks for it gets it run.
        assert_eq!(host.post(&format!("events/{id}/replay")).await.status, 202);
        host.finished(&id).await;
    }
}
