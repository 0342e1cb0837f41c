//! A database that goes away, and comes back: nothing is acknowledged that is not stored,
//! nothing that is stored is lost, and nobody need start anything again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};
use crate::http::send_and_leave;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }
"#;

fn increment() -> Value {
    json!({ "do": "kv_increment", "key": "n", "by": 1 })
}

async fn on_postgres() -> Option<Host> {
    if Engine::of_hosts() == Engine::Sqlite {
        return None;
    }
    Some(Host::over(Folder::new(CONFIG, &["misbehave"]).await).await)
}

/// Waits until every stored event has its one run, and that has succeeded and counted once.
pub(crate) async fn all_is_done(host: &Host, acknowledged: &BTreeSet<String>) {
    let stored = eventually("every stored event's run has succeeded", async || {
        let events = host.items("events?limit=1000").await;
        let done = host.items("runs?limit=1000&state=succeeded").await;
        let of = |items: &[Value], name: &str| -> BTreeSet<String> {
            let text = |item: &Value| item[name].as_str().unwrap().to_owned();
            items.iter().map(text).collect()
        };
        let stored = of(&events, "id");
        assert!(done.len() <= stored.len(), "an event has more than one run");
        (stored == of(&done, "event_id")).then_some(stored)
    })
    .await;
    assert!(acknowledged.is_subset(&stored), "something was lost");
    let counted = host.kv("misbehave", "n").await;
    assert_eq!(counted, Some(stored.len().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_webhooks_are_refused() {
    let Some(host) = on_postgres().await else {
        return;
    };
    let mut acknowledged = BTreeSet::new();
    for _ in 0..10 {
        acknowledged.insert(host.tell(&increment()).await);
    }
    for _ in 0..2 {
        host.folder.database.go_away().await;
        let what = increment().to_string();
        let refusals = join_all((0..5).map(|_| host.send("misbehave", &[], what.clone()))).await;
        for refusal in refusals {
            assert_eq!(refusal.status, 503, "{}", refusal.text());
            assert!(!refusal.header("retry-after").is_empty());
        }
        assert_eq!(host.public_get("/readyz").await.status, 503);
        assert_eq!(host.public_get("/healthz").await.status, 200);

        host.folder.database.come_back().await;
        eventually("the host is ready again", async || {
            (host.public_get("/readyz").await.status == 200).then_some(())
        })
        .await;
        acknowledged.insert(host.tell(&increment()).await);
    }
    all_is_done(&host, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_lose_nothing() {
    const SENDERS: usize = 8;
    let Some(host) = on_postgres().await else {
        return;
    };
    let is_over = AtomicBool::new(false);
    let send = async || {
        let mut acknowledged = Vec::new();
        while !is_over.load(Ordering::SeqCst) && acknowledged.len() < 100 {
            let answer = host.send("misbehave", &[], increment().to_string()).await;
            match answer.status {
                202 => acknowledged.push(answer.event()),
                503 => assert!(!answer.header("retry-after").is_empty()),
                other => panic!("{other} {}", answer.text()),
            }
        }
        acknowledged
    };
    let cut = async {
        let stored = "select count(*) from events";
        for n in 1..=8 {
            // Each time something was stored since, and something is under way.
            eventually("more is stored", async || {
                (host.folder.database.number(stored).await >= 10 * n).then_some(())
            })
            .await;
            host.folder.database.cut_off().await;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (acknowledged, ()) = tokio::join!(join_all((0..SENDERS).map(|_| send())), cut);
    let acknowledged: BTreeSet<String> = acknowledged.into_iter().flatten().collect();
    assert!(!acknowledged.is_empty());
    all_is_done(&host, &acknowledged).await;
    assert_eq!(host.public_get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_that_leave_do_so_without_an_open_transaction() {
    let Some(host) = on_postgres().await else {
        return;
    };
    let body = increment().to_string();
    let head = format!(
        "POST /webhooks/misbehave HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        host.public,
        body.len()
    );
    let whole = [head, body].concat().into_bytes();
    let leave = |n: usize| {
        // Half of them leave when all is sent and nothing answered.
        let length = whole.len() - (n % 2) * (1 + n);
        send_and_leave(host.public, whole[..length].to_vec())
    };
    join_all((0..60).map(leave)).await;
    let event = host.tell(&increment()).await;
    eventually("no transaction is open", async || {
        (host.folder.database.open_transactions().await == 0).then_some(())
    })
    .await;
    all_is_done(&host, &BTreeSet::from([event])).await;
}
