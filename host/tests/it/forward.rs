//! The plugin `forward` in the real sandbox: what arrives is what came, signed anew.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hookbay_stand_in::{Fault, Options, Request, StandIn};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Host, outcomes};

/// The secret of the first receiver, and its key.
const KEY: &[u8] = b"the key of the first receiver";
/// The key of the second one.
const OTHER_KEY: &[u8] = b"the key of the second receiver";
/// No JSON, and not even text.
const BODY: &[u8] = b"order 7\r\n\xff\x00 paid";

/// Two receivers of the same events, from one file.
async fn start(stand_in: &StandIn) -> Host {
    let instance = |name: &str, key: &[u8], path: &str| {
        let (origin, key) = (stand_in.origin(), STANDARD.encode(key));
        format!(
            r#"
            [plugins.{name}]
            file = "forward.wasm"
            triggers = [{{ source = "orders", kind = "**" }}]
            http.target = {{ origin = "{origin}", private = true }}
            secrets.FORWARD_SECRET = "whsec_{key}"
            config.path = "{path}"
            retry = {{ first = "1h" }}
            "#
        )
    };
    let config = format!(
        "[sources.orders]\nprovider = \"none\"\n{}{}",
        instance("to-billing", KEY, "/sink/billing"),
        instance("to-stock", OTHER_KEY, "/sink/stock?team=7"),
    );
    Host::start(&config, &["forward"]).await
}

/// Sends an order; the runs of both, by plugin, once they have ended or wait.
async fn runs(host: &Host) -> (String, [Value; 2]) {
    let headers = [("content-type", "text/x-order")];
    let event = host.send("orders", &headers, BODY).await.event();
    for plugin in ["to-billing", "to-stock"] {
        host.settled(plugin).await;
    }
    let stored = host.get(&format!("events/{event}")).await;
    let mut runs = Vec::new();
    for run in stored["runs"].as_array().unwrap() {
        let id = run["id"].as_str().unwrap();
        runs.push(host.get(&format!("runs/{id}")).await);
    }
    runs.sort_by_key(|run| run["plugin"].as_str().unwrap().to_owned());
    (event, runs.try_into().unwrap())
}

/// What a receiver of Standard Webhooks checks, with nothing of the host's.
fn is_genuine(request: &Request, key: &[u8]) -> bool {
    let header = |name: &str| request.header(name).unwrap();
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(header("webhook-id").as_bytes());
    mac.update(b".");
    mac.update(header("webhook-timestamp").as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    let given = header("webhook-signature").strip_prefix("v1,").unwrap();
    let now = jiff::Timestamp::now().as_second();
    let sent: i64 = header("webhook-timestamp").parse().unwrap();
    (now - 300..=now).contains(&sent) && mac.verify_slice(&STANDARD.decode(given).unwrap()).is_ok()
}

fn received(stand_in: &StandIn, path: &str) -> Vec<Request> {
    stand_in.with(|services| {
        let all = services.sink.received();
        all.filter(|request| request.path == path)
            .cloned()
            .collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_what_came_signed_for_each_receiver() {
    let stand_in = StandIn::start(Options::quiet()).unwrap();
    let host = start(&stand_in).await;
    let (event, runs) = runs(&host).await;
    for run in &runs {
        assert_eq!(outcomes(run), ["succeeded"], "{run}");
    }
    for (path, key, other) in [
        ("/sink/billing", KEY, OTHER_KEY),
        ("/sink/stock", OTHER_KEY, KEY),
    ] {
        let arrived = received(&stand_in, path);
        assert_eq!(arrived.len(), 1);
        let request = &arrived[0];
        assert_eq!(
            (request.method.as_str(), request.body.as_slice()),
            ("POST", BODY)
        );
        assert!(is_genuine(request, key));
        assert!(!is_genuine(request, other));
        for (name, value) in [
            ("content-type", "text/x-order"),
            ("webhook-id", event.as_str()),
            ("hookbay-event-id", event.as_str()),
            ("hookbay-source", "orders"),
            ("hookbay-attempt", "1"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
    }
    // Neither the guest nor anybody who looks at its runs sees a key.
    let seen = json!(runs).to_string();
    assert!(!seen.contains(&STANDARD.encode(KEY)), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn troubles_are_tried_again_and_farewells_are_not() {
    let stand_in = StandIn::start(Options::quiet()).unwrap();
    let host = start(&stand_in).await;
    stand_in.inject(Fault::status("POST", "/sink/billing", 503).retry_after(600));
    stand_in.inject(Fault::status("POST", "/sink/stock", 410));
    let (_, [billing, stock]) = runs(&host).await;
    assert_eq!(
        (&billing["state"], outcomes(&billing)),
        (&json!("waiting"), vec!["retry"])
    );
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let next = time(&billing["next_attempt_at"]).as_second();
    let started = time(&billing["attempts"][0]["started_at"]).as_second();
    assert!((600..=661).contains(&(next - started)), "{billing}");
    assert_eq!(
        (&stock["state"], outcomes(&stock)),
        (&json!("dead"), vec!["permanent"])
    );
    let reason = stock["error"]["message"].as_str().unwrap();
    assert!(reason.contains("gone for good"), "{reason}");

    let id = billing["id"].as_str().unwrap();
    host.post(&format!("runs/{id}/retry")).await;
    let run = crate::harness::eventually("it is relayed", async || {
        let run = host.get(&format!("runs/{id}")).await;
        (run["state"] == "succeeded").then_some(run)
    })
    .await;
    assert_eq!(outcomes(&run), ["retry", "succeeded"]);
    let arrived = received(&stand_in, "/sink/billing");
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].header("hookbay-attempt"), Some("2"));
    assert!(is_genuine(&arrived[0], KEY));
}
