//! Plugins that fail by themselves again and again, and are left alone for a while.
//!
//! The hosts go by a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookbay::clock::{Clock, Timestamp, millis};
use serde_json::{Value, json};

use crate::components::named;
use crate::harness::{Folder, Host, eventually, outcomes};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[sources.noop]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }
"#;

/// A host, and how far its clock is ahead.
struct Bench {
    host: Host,
    ahead_ms: Arc<AtomicI64>,
}

impl Bench {
    async fn new() -> Self {
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let mut folder = Folder::new(CONFIG, &["misbehave", "noop"]).await;
        let (ahead, system) = (Arc::clone(&ahead_ms), Clock::system());
        folder.clock = Clock::from_fn(move || {
            let ahead = ahead.load(Ordering::SeqCst);
            Timestamp::from_millis(system.now().millis() + ahead)
        });
        let host = Host::over(folder).await;
        Self { host, ahead_ms }
    }

    fn pass(&self, time: Duration) {
        self.ahead_ms.fetch_add(millis(time), Ordering::SeqCst);
    }

    async fn plugin(&self) -> Value {
        self.host.get("plugins/misbehave").await
    }

    /// Has it fail so often, once per run, and in such ways.
    async fn fail(&self, ways: &[&str]) {
        for way in ways {
            let run = self.host.told(&json!({ "do": way })).await;
            assert_eq!(run["state"], "dead", "{run}");
        }
    }

    async fn trip(&self) {
        self.fail(&["trap"; 5]).await;
        assert_eq!(self.plugin().await["state"], "tripped");
    }

    /// Waits until it is tripped anew; until when.
    async fn tripped_until(&self, before: &str) -> String {
        eventually("it is tripped for longer", async || {
            let error = self.plugin().await["error"].as_str()?.to_owned();
            (error != before).then_some(error)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tripped_plugins_runs_wait_and_use_up_nothing() {
    let bench = Bench::new().await;
    let host = &bench.host;
    bench.fail(&["trap", "recurse", "exit", "panic"]).await;
    assert_eq!(bench.plugin().await["state"], "active");
    bench.fail(&["log_flood"]).await;
    let tripped = bench.plugin().await;
    assert_eq!(tripped["state"], "tripped");
    let error = tripped["error"].as_str().unwrap();
    for said in ["5 attempts", "`output`", "until"] {
        assert!(error.contains(said), "{error}");
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(host.tell(&json!({ "do": "ok" })).await);
    }
    for event in &waiting {
        let run = host.run_in(event, &["blocked"]).await;
        assert_eq!((&run["attempt"], outcomes(&run)), (&json!(0), vec![]));
    }
    assert_eq!(bench.plugin().await["runs"]["blocked"], 3);
    let metrics = host.ask(reqwest::Method::GET, "/metrics", "").await.text();
    assert!(
        metrics.contains("hookbay_plugins{state=\"tripped\"} 1\n"),
        "{metrics}"
    );
    // Nobody else has anything of it.
    let other = host.send("noop", &[], "{}").await.event();
    assert_eq!(host.finished(&other).await["state"], "succeeded");

    bench.pass(Duration::from_secs(31));
    for event in &waiting {
        let run = host.finished(event).await;
        assert_eq!(
            (&run["attempt"], outcomes(&run)),
            (&json!(1), vec!["succeeded"])
        );
    }
    let closed = bench.plugin().await;
    assert_eq!(
        (&closed["state"], &closed["error"]),
        (&json!("active"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_costs_one_run_and_a_longer_pause() {
    let bench = Bench::new().await;
    let host = &bench.host;
    bench.trip().await;
    let before = bench.plugin().await["error"].as_str().unwrap().to_owned();
    let trap = host.tell(&json!({ "do": "trap" })).await;
    let well = host.tell(&json!({ "do": "ok" })).await;
    bench.pass(Duration::from_secs(31));
    assert_eq!(outcomes(&host.finished(&trap).await), ["trap"]);
    bench.tripped_until(&before).await;
    // Not after the first back-off again: it is twice as long.
    bench.pass(Duration::from_secs(31));
    let run = host.run_in(&well, &["blocked"]).await;
    assert_eq!(run["attempt"], 0);
    bench.pass(Duration::from_secs(30));
    assert_eq!(outcomes(&host.finished(&well).await), ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_or_a_new_version_closes_it() {
    let bench = Bench::new().await;
    let host = &bench.host;
    bench.trip().await;
    let first = host.tell(&json!({ "do": "ok" })).await;
    host.run_in(&first, &["blocked"]).await;
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    assert_eq!(host.finished(&first).await["state"], "succeeded");
    assert_eq!(bench.plugin().await["state"], "active");

    bench.trip().await;
    // A pause is an operator's will, and comes first.
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    eventually("it is paused", async || {
        (bench.plugin().await["state"] == "paused").then_some(())
    })
    .await;
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    bench.trip().await;
    let second = host.tell(&json!({ "do": "ok" })).await;
    // The same bytes again are no new version.
    host.install(&named("misbehave"), "misbehave.wasm").await;
    assert_eq!(bench.plugin().await["state"], "tripped");
    host.install(&named("misbehave").numbered(2), "misbehave.wasm")
        .await;
    assert_eq!(host.finished(&second).await["state"], "succeeded");
    // Nor does the older one have to answer for the time before.
    let roll_back = host.post("plugins/misbehave/rollback").await;
    assert_eq!(roll_back.status, 200, "{}", roll_back.text());
    assert_eq!(bench.plugin().await["state"], "active");
}
