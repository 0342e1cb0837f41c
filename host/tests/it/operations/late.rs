//! Catch-up with an event whose commit takes long: it was received without knowing the
//! plugin, and is stored when that has long been active.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;
use sqlx::Executor as _;

use super::CONFIG;
use crate::components::named;
use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, standing};

/// Less than the lease of a test's hosts: nobody's is over when the clock is set ahead.
const STEP: i64 = 2000;
/// Longer than a plugin may be unknown, twice, and than the look for operations takes.
const STEPS: usize = 20;

/// Hosts by one clock, which a test sets ahead.
struct Hosts {
    slow: Host,
    other: Host,
    now_ms: Arc<AtomicI64>,
}

impl Hosts {
    async fn start() -> Self {
        let now_ms = Arc::new(AtomicI64::new(1_800_000_000_000));
        let config = CONFIG.replace("retry = {", "catch_up = \"2h\"\nretry = {");
        let mut first = Folder::new(&config, &[]).await;
        let mut second = first.beside(&config, &[]);
        for folder in [&mut first, &mut second] {
            folder.clock = standing(&now_ms);
        }
        Self {
            slow: Host::over(first).await,
            other: Host::over(second).await,
            now_ms,
        }
    }

    /// Sets the clock ahead by a step, and waits until both hosts have seen it.
    async fn step(&self) {
        let now_ms = self.now_ms.fetch_add(STEP, Ordering::SeqCst) + STEP;
        let beats = "select coalesce(min(lease_ms), 0) from hosts where lease_ms > 0";
        let database = &self.other.folder.database;
        eventually("both leases are renewed", async || {
            (database.number(beats).await >= now_ms + STEP).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_stalls_is_waited_for() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let hosts = Hosts::start().await;
    let (slow, other) = (&hosts.slow, &hosts.other);
    let database = &other.folder.database;
    let mut lock = database.connect().await;
    // Nobody stores an event; whoever starts a run of one may still hold it.
    let begin = "begin; lock table events in share mode";
    lock.execute(begin).await.unwrap();
    let what = json!({ "do": "ok" }).to_string();
    let sent = slow.send("misbehave", &[("x-kind", "a")], what);
    let rest = async {
        eventually("its commit stalls", async || {
            let waits =
                "select count(*) from pg_locks where relation = 'events'::regclass and not granted";
            (database.number(waits).await > 0).then_some(())
        })
        .await;
        other.install(&named("misbehave"), "misbehave.wasm").await;
        let is_known = "select count(*) from plugins where digest is not null";
        assert_eq!(database.number(is_known).await, 1);
        for _ in 0..STEPS {
            hosts.step().await;
        }
        let operation = other.items("operations").await.remove(0);
        assert_eq!(operation["what"], "catch_up");
        lock.execute("rollback").await.unwrap();
        operation
    };
    let (sent, operation) = tokio::join!(sent, rest);
    let event = sent.event();
    let path = format!("operations/{}", operation["id"].as_str().unwrap());
    for _ in 0..STEPS {
        if other.get(&path).await["state"] != "running" {
            break;
        }
        hosts.step().await;
    }
    assert_eq!(operation["state"], "running", "it did not wait");
    let over = eventually("it is over", async || {
        let operation = other.get(&path).await;
        (operation["state"] != "running").then_some(operation)
    })
    .await;
    assert_eq!(
        (&over["state"], &over["done"]),
        (&json!("succeeded"), &json!(1))
    );
    assert_eq!(other.finished(&event).await["state"], "succeeded");
}
