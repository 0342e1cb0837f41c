//! Machines whose clocks are wrong, or are set while a host runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hookbay::clock::{Clock, Timestamp, millis};
use serde_json::{Value, json};

use crate::database::Engine;
use crate::harness::{Folder, Host, outcomes};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 2, first = "3s", jitter = 0 }
limits = { wall = "60s" }
"#;

const HOURS: Duration = Duration::from_hours(5);

/// The clock of a machine, wrong by so many milliseconds.
fn wrong(by_ms: &Arc<AtomicI64>) -> Clock {
    let (by_ms, right) = (Arc::clone(by_ms), Clock::system());
    Clock::of_machine(move || {
        let ms = right.now().millis() + by_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(ms)
    })
}

fn time(of: &Value, name: &str) -> Timestamp {
    Timestamp::parse(of[name].as_str().unwrap()).unwrap()
}

/// Alone a host has no other clock to go by.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_doubles_nothing_and_lets_nothing_wait() {
    let by_ms = Arc::new(AtomicI64::new(0));
    let lease = match Engine::of_hosts() {
        Engine::Sqlite => "lease = \"1s\"\n",
        // Its is short already.
        Engine::Postgres | Engine::Pooled => "",
    };
    let mut folder = Folder::new(&format!("{lease}{CONFIG}"), &["misbehave"]).await;
    folder.clock = wrong(&by_ms);
    let host = Host::over(folder).await;

    let event = host.tell(&json!({ "do": "sleep", "ms": 4000 })).await;
    host.run_in(&event, &["running"]).await;
    by_ms.fetch_add(millis(HOURS), Ordering::SeqCst);
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["succeeded"], "it was not started again");

    let what = json!({ "do": "retry_until", "attempt": 2 });
    let event = host.tell(&what).await;
    host.run_in(&event, &["waiting"]).await;
    by_ms.fetch_sub(2 * millis(HOURS), Ordering::SeqCst);
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["retry", "succeeded"]);
    let run = host.told(&json!({ "do": "ok" })).await;
    assert_eq!(outcomes(&run), ["succeeded"]);

    // Nor where it is set while no host runs.
    let event = host.tell(&what).await;
    host.run_in(&event, &["waiting"]).await;
    let folder = host.stop().await;
    by_ms.fetch_sub(millis(HOURS), Ordering::SeqCst);
    let host = Host::over(folder).await;
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["retry", "succeeded"]);
}

/// Of several, each goes by the database's.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_are_hours_apart_agree() {
    const MANY: usize = 60;
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let mut ahead = Folder::new(CONFIG, &["misbehave"]).await;
    let mut behind = ahead.beside(CONFIG, &["misbehave"]);
    let by_ms = Arc::new(AtomicI64::new(millis(HOURS)));
    ahead.clock = wrong(&by_ms);
    behind.clock = wrong(&Arc::new(AtomicI64::new(-millis(HOURS))));
    let hosts = [Host::over(ahead).await, Host::over(behind).await];
    let what = json!({ "do": "kv_increment", "key": "n", "by": 1 });
    let mut events = join_all((0..MANY).map(|n| hosts[n % 2].tell(&what))).await;
    let asleep = json!({ "do": "sleep", "ms": 4000 });
    for host in &hosts {
        events.push(host.tell(&asleep).await);
    }
    // It jumps on while they work.
    by_ms.fetch_add(millis(HOURS), Ordering::SeqCst);
    let again = json!({ "do": "retry_until", "attempt": 2 });
    let retried = hosts[0].tell(&again).await;
    let mut received = Vec::new();
    for event in &events {
        let run = hosts[1].finished(event).await;
        assert_eq!(outcomes(&run), ["succeeded"]);
        received.push(time(&run, "created_at"));
    }
    let run = hosts[1].finished(&retried).await;
    assert_eq!(outcomes(&run), ["retry", "succeeded"]);
    assert_eq!(hosts[0].kv("misbehave", "n").await, Some(MANY.to_string()));
    let (first, last) = (received.iter().min(), received.iter().max());
    let apart = last.unwrap().since(*first.unwrap());
    assert!(apart < Duration::from_mins(10), "{apart:?}");
    assert_eq!(hosts[0].store().live_hosts().await.unwrap().len(), 2);
}
