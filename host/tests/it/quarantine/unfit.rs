//! Requests that their sender has proven and that are not what they must be: kept as they
//! came, and released once the source is corrected.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hookbay::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use super::{release, set_aside};
use crate::door::limits::compressed;
use crate::harness::{Folder, Host, eventually, standing};
use crate::signing::{Headers, hmac_sha256};

const SECRET: &str = "orders-secret";

/// A source with a schema, and one whose bodies are anything.
const SOURCES: &str = r#"
[sources.orders]
provider = "stripe"
secret = "orders-secret"
schema = "order.json"
max_body = "64KiB"

[sources.rows]
provider = "generic"
secret = "orders-secret"
batch = ""
json = true
kind_pointer = "/type"
id_pointer = "/id"
schema = "rows.json"
"#;

const STRICT: &str = r#"{ "properties": { "total": { "type": "number" } } }"#;
const STRICT_ROWS: &str = r#"{ "items": { "properties": { "total": { "type": "number" } } } }"#;

/// A host whose clock stands still until it is moved, and its milliseconds.
async fn host() -> (Host, Arc<AtomicI64>) {
    let mut folder = Folder::new(SOURCES, &[]).await;
    fs::write(folder.path().join("order.json"), STRICT).unwrap();
    fs::write(folder.path().join("rows.json"), STRICT_ROWS).unwrap();
    let now_ms = Arc::new(AtomicI64::new(Clock::system().now().millis()));
    folder.clock = standing(&now_ms);
    (Host::over(folder).await, now_ms)
}

/// The headers of a request that Stripe would sign at a time, over these bytes.
fn signed(now_ms: &AtomicI64, bytes: &[u8]) -> Headers {
    let time = now_ms.load(Ordering::SeqCst) / 1000;
    let message = [format!("{time}.").as_bytes(), bytes].concat();
    let signature = hmac_sha256(SECRET, &message);
    vec![("stripe-signature", format!("t={time},v1={signature}"))]
}

fn compressed_headers(mut headers: Headers) -> Headers {
    headers.push(("content-encoding", "gzip".to_owned()));
    headers
}

fn gzip(body: &[u8]) -> Vec<u8> {
    compressed(body, 6)
}

/// Sends a request that is refused with a status, and waits until it is set aside.
async fn refused(host: &Host, source: &str, headers: &Headers, body: &[u8], status: u16) -> Value {
    let answer = host.send_signed(source, headers, body).await;
    assert_eq!(answer.status, status, "{}", answer.text());
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    set_aside(host, &id).await
}

async fn body_of(host: &Host, path: &str) -> Vec<u8> {
    let path = format!("/api/v1/{path}/body");
    host.ask(Method::GET, &path, "").await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_agreed_is_kept_as_it_came_and_judged_as_of_its_receipt() {
    let (host, now_ms) = host().await;
    let order = |n: u32| format!(r#"{{"id":"evt_{n}","type":"invoice.paid","total":"1.50"}}"#);
    let plain = order(1).into_bytes();
    let packed = [gzip(order(2).as_bytes()), gzip(order(3).as_bytes())];
    let mut cases = vec![(signed(&now_ms, &plain), plain)];
    // Some sign what they send, some what they mean.
    for (n, sent) in (2..).zip(packed) {
        let over = if n == 2 {
            sent.clone()
        } else {
            order(n).into_bytes()
        };
        cases.push((compressed_headers(signed(&now_ms, &over)), sent));
    }
    let mut ids = Vec::new();
    for (headers, sent) in &cases {
        let one = refused(&host, "orders", headers, sent, 422).await;
        assert_eq!(one["reason"]["code"], "schema_mismatch");
        let message = one["reason"]["message"].as_str().unwrap();
        assert!(
            message.contains("`/total`") && !message.contains("1.50"),
            "{message}"
        );
        let hint = one["reason"]["hint"].as_str().unwrap();
        assert!(hint.contains("schema"), "{hint}");
        assert_eq!(one["size_bytes"], sent.len());
        let id = one["id"].as_str().unwrap().to_owned();
        assert_eq!(&body_of(&host, &format!("quarantine/{id}")).await, sent);
        ids.push((id, one["received_at"].clone()));
    }
    let still = release(&host, &ids[0].0, &json!({})).await;
    assert_eq!(
        (still.status, &still.json()["reason"]["code"]),
        (422, &json!("schema_mismatch"))
    );
    // Long after the signatures' time is over, the schema is corrected.
    now_ms.fetch_add(86_400_000, Ordering::SeqCst);
    fs::write(host.folder.path().join("order.json"), "{}").unwrap();
    for (n, ((id, received_at), (_, sent))) in (1..).zip(ids.iter().zip(&cases)) {
        let released = eventually("the schema is read again", async || {
            let answer = release(&host, id, &json!({})).await;
            (answer.status == 202).then_some(answer)
        })
        .await;
        let event = host.get(&format!("events/{}", released.event())).await;
        assert_eq!(
            (&event["delivery_id"], &event["kind"], &event["forced"]),
            (
                &json!(format!("evt_{n}")),
                &json!("invoice.paid"),
                &json!(false)
            )
        );
        assert_eq!(&event["received_at"], received_at);
        let body = body_of(&host, &format!("events/{}", released.event())).await;
        assert_eq!(&body, sent);
    }
    assert_eq!(host.items("quarantine").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_as_agreed_is_released_as_its_items() {
    let (host, _) = host().await;
    let rows = r#"[{"id":1,"type":"a","total":1},{"id":2,"type":"b","total":"2"}]"#;
    let headers = vec![("x-webhook-signature", hmac_sha256(SECRET, rows.as_bytes()))];
    let one = refused(&host, "rows", &headers, rows.as_bytes(), 422).await;
    let message = one["reason"]["message"].as_str().unwrap();
    assert!(message.contains("`/1/total`"), "{message}");
    // One of its items comes alone meanwhile.
    let alone = r#"[{"id":1,"type":"a","total":1}]"#;
    let headers = vec![("x-webhook-signature", hmac_sha256(SECRET, alone.as_bytes()))];
    let first = host.send_signed("rows", &headers, alone).await.event();
    fs::write(host.folder.path().join("rows.json"), "true").unwrap();
    let id = one["id"].as_str().unwrap();
    let released = eventually("the schema is read again", async || {
        let answer = release(&host, id, &json!({})).await;
        (answer.status == 202).then(|| answer.json())
    })
    .await;
    assert_eq!(released["status"], "accepted");
    assert_eq!(released["event_ids"][0], first.as_str());
    let events = host.items("events").await;
    let mut kinds: Vec<&str> = events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_kept_with_its_reason() {
    let (host, now_ms) = host().await;
    let whole = gzip(br#"{"id":"evt_1","type":"invoice.paid"}"#);
    let cut = &whole[..whole.len() - 9];
    let large = gzip(&[b' '; (64 << 10) + 1]);
    let many = format!("[{}]", vec!["{}"; 5001].join(","));
    for (source, body, is_packed, status, code, hint) in [
        (
            "orders",
            b"id=evt_1".as_slice(),
            false,
            400,
            "not_json",
            "JSON",
        ),
        ("orders", cut, true, 400, "not_gzip", "Content-Encoding"),
        (
            "orders",
            large.as_slice(),
            true,
            413,
            "inflates_too_large",
            "max_body",
        ),
        (
            "rows",
            many.as_bytes(),
            false,
            413,
            "too_many_items",
            "smaller batches",
        ),
        ("rows", b"[1", false, 400, "not_json", "JSON"),
    ] {
        let mut headers = match source {
            "orders" => signed(&now_ms, body),
            _ => vec![("x-webhook-signature", hmac_sha256(SECRET, body))],
        };
        if is_packed {
            headers = compressed_headers(headers);
        }
        let one = refused(&host, source, &headers, body, status).await;
        assert_eq!(one["reason"]["code"], code);
        let told = one["reason"]["hint"].as_str().unwrap();
        assert!(told.contains(hint), "{told}");
        let id = one["id"].as_str().unwrap();
        assert_eq!(body_of(&host, &format!("quarantine/{id}")).await, body);
        let still = release(&host, id, &json!({})).await;
        assert_eq!(
            (still.status, &still.json()["reason"]["code"]),
            (422, &json!(code))
        );
        // Whoever answers for it has it as it is.
        let forced = release(&host, id, &json!({ "force": true })).await;
        assert_eq!(forced.status, 202, "{code}: {}", forced.text());
        assert_eq!(
            body_of(&host, &format!("events/{}", forced.event())).await,
            body
        );
        // A forged one is refused as such.
        let answer = host.send_signed(source, &Vec::new(), body).await;
        assert_eq!(answer.status, 401, "{code}");
    }
}

/// A forger uses up what a source may have set aside, and takes nothing from its sender.
#[tokio::test(flavor = "multi_thread")]
async fn a_forger_takes_no_place_from_the_genuine() {
    let (host, now_ms) = host().await;
    for _ in 0..90 {
        let forged = host.send("orders", &[("stripe-signature", "t=1,v1=00")], "{}");
        assert_eq!(forged.await.status, 401);
    }
    let mut ids = Vec::new();
    for n in 0..20 {
        let body = format!(r#"{{"id":"evt_{n}","total":"x"}}"#);
        let headers = signed(&now_ms, body.as_bytes());
        let one = refused(&host, "orders", &headers, body.as_bytes(), 422).await;
        ids.push(one["id"].as_str().unwrap().to_owned());
    }
    let listed = host
        .items("quarantine?reason=schema_mismatch&limit=1000")
        .await;
    assert_eq!(listed.len(), ids.len());
    let forged = host
        .items("quarantine?reason=wrong_signature&limit=1000")
        .await;
    assert!(forged.len() <= 50, "{}", forged.len());
}
