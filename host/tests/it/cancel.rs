//! Ending single runs by hand, and pausing plugins.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Host, eventually, outcomes};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**", ordering_key = "/key" }]
retry = { attempts = 2, first = "1h", factor = 1, max = "1h" }
limits = { wall = "60s" }
concurrency = 1
on_dead = "block"
"#;

async fn host() -> Host {
    Host::start(CONFIG, &["misbehave"]).await
}

async fn cancel(host: &Host, run: &Value) -> (u16, Value) {
    let id = run["id"].as_str().unwrap();
    let answer = host.post(&format!("runs/{id}/cancel")).await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_is_ended_and_can_be_retried() {
    let host = host().await;
    let event = host
        .tell(&json!({ "do": "retry_until", "attempt": 2 }))
        .await;
    let run = host.run_in(&event, &["waiting"]).await;
    let (status, cancelled) = cancel(&host, &run).await;
    assert_eq!(
        (
            status,
            &cancelled["state"],
            &cancelled["outcome"],
            &cancelled["id"]
        ),
        (202, &json!("cancelled"), &json!("cancelled"), &run["id"])
    );
    assert_eq!(outcomes(&cancelled), ["retry"]);
    assert_eq!(host.settled("misbehave").await["runs"]["cancelled"], 1);

    let retry = format!("runs/{}/retry", run["id"].as_str().unwrap());
    assert_eq!(host.post(&retry).await.status, 202);
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["retry", "succeeded"])
    );
    assert_eq!(host.settled("misbehave").await["runs"]["cancelled"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_ended_with_its_guest() {
    let host = host().await;
    let event = host.tell(&json!({ "do": "sleep", "ms": 50_000 })).await;
    let run = host.run_in(&event, &["running"]).await;
    let (status, cancelled) = cancel(&host, &run).await;
    assert_eq!((status, &cancelled["state"]), (202, &json!("cancelled")));
    assert_eq!(outcomes(&cancelled), ["cancelled"]);
    // The plugin's one place is free long before the guest would have ended.
    let next = host.told(&json!({ "do": "ok" })).await;
    assert_eq!(next["state"], "succeeded");
    let after = host
        .get(&format!("runs/{}", run["id"].as_str().unwrap()))
        .await;
    assert_eq!(
        (&after["state"], outcomes(&after)),
        (&json!("cancelled"), vec!["cancelled"])
    );
}

/// What is asked next on a connection; empty if nobody is there any more.
async fn asked(connection: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let n = connection.read(&mut bytes).await.unwrap_or(0);
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_run_is_ended_asks_for_nothing_more() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let shop = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", shop.local_addr().unwrap());
    let config = format!(
        r#"
        [sources.caller]
        provider = "none"

        [plugins.caller]
        retry = {{ attempts = 1 }}
        limits = {{ wall = "60s" }}
        concurrency = 1
        http.shop = {{ origin = "{origin}", private = true }}
        "#
    );
    let host = Host::start(&config, &["caller"]).await;
    let call = async |times: u32| {
        let call = json!({ "endpoint": "shop", "path": "/pay", "times": times });
        let sent = host.send("caller", &[], call.to_string()).await;
        sent.event()
    };
    let event = call(2).await;
    let (mut first, _) = shop.accept().await.unwrap();
    assert!(asked(&mut first).await.starts_with("POST /pay "));
    let run = host.run_in(&event, &["running"]).await;
    assert_eq!(cancel(&host, &run).await.0, 202);

    // Its place is free: the next one asks, and gets its answer.
    let next = call(1).await;
    let (mut second, _) = shop.accept().await.unwrap();
    assert!(asked(&mut second).await.starts_with("POST /pay "));
    second.write_all(ANSWER).await.unwrap();
    assert_eq!(host.finished(&next).await["state"], "succeeded");

    // Nobody takes the first answer any more, and goes on to the second call with it.
    let _is_hung_up = first.write_all(ANSWER).await;
    assert_eq!(asked(&mut first).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_that_blocks_its_key_is_ended_and_the_next_goes_on() {
    let host = host().await;
    let told = json!({ "do": "kv_set", "key": "k", "value": "first" });
    let wrong = json!({ "do": "kv_set", "key": "k" });
    let dead = host.told(&wrong).await;
    assert_eq!(dead["state"], "dead");
    let behind = host.tell(&told).await;
    host.run_in(&behind, &["blocked"]).await;
    let (status, cancelled) = cancel(&host, &dead).await;
    assert_eq!((status, &cancelled["state"]), (202, &json!("cancelled")));
    assert_eq!(host.finished(&behind).await["state"], "succeeded");

    // One behind its key is live: it is ended too.
    let first = host
        .tell(&json!({ "do": "kv_get", "key": "k", "more": 1 }))
        .await;
    let dead = host.finished(&first).await;
    let behind = host.tell(&told).await;
    let run = host.run_in(&behind, &["blocked"]).await;
    assert_eq!(cancel(&host, &run).await.0, 202);
    assert_eq!(host.finished(&behind).await["state"], "cancelled");
    assert_eq!(cancel(&host, &dead).await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cancelled_is_refused() {
    let host = host().await;
    let succeeded = host.told(&json!({ "do": "ok" })).await;
    // Dead, but nobody waits behind it: it has no key.
    let dead = host.told(&json!({ "do": "permanent" })).await;
    for (what, id, status) in [
        ("succeeded", succeeded["id"].as_str().unwrap(), 409),
        ("dead", dead["id"].as_str().unwrap(), 409),
        ("unknown", "9999999", 404),
        ("not an id", "none", 404),
    ] {
        let answer = host.post(&format!("runs/{id}/cancel")).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let again = cancel(&host, &dead).await;
    assert!(
        again.1["detail"].as_str().unwrap().contains("is dead"),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_paused_and_resumed_by_name() {
    let host = host().await;
    for (path, status) in [
        ("plugins/misbehave/pause", 204),
        ("plugins/misbehave/pause", 204),
        ("plugins/nobody/pause", 404),
        ("plugins/Not A Name/resume", 404),
    ] {
        let answer = host.post(&path.replace(' ', "%20")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let paused = async || host.store().plugins().await.unwrap()[0].is_paused;
    assert!(paused().await);
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    eventually("it runs again", async || (!paused().await).then_some(())).await;
    assert_eq!(
        host.told(&json!({ "do": "ok" })).await["state"],
        "succeeded"
    );
}
