//! Events that plugins emit: stored with the success of their run, once, with runs of
//! their own, and no chain without end.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::components;
use crate::harness::{Folder, Host, eventually};
use crate::http::Answer;
use crate::program::Program;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**" }, { source = "plugin:misbehave", kind = "again" }]
retry = { attempts = 3, first = "0s", jitter = 0 }

[plugins.follower]
file = "follower.wasm"
triggers = [{ provider = "hookbay", kind = "order.*" }]
retry = { attempts = 1 }
"#;

async fn start() -> Host {
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    components::named("misbehave").place(&folder.plugins_dir(), "follower.wasm");
    Host::over(folder).await
}

async fn emitted(host: &Host) -> Vec<Value> {
    host.items("events?source=plugin:misbehave&limit=1000")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn emitted_events_are_stored_once_with_their_runs() {
    let host = start().await;
    let what = json!({"do": "emit", "kind": "order.paid", "times": 2, "until": 3});
    let event = host.send("misbehave", &[], what.to_string()).await.event();
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], &run["attempt"]),
        (&json!("succeeded"), &json!(3))
    );
    let events = emitted(&host).await;
    // Two failed attempts emitted as well, in vain.
    assert_eq!(events.len(), 2, "{events:?}");
    let mut bodies = Vec::new();
    for follow_up in &events {
        let id = follow_up["id"].as_str().unwrap();
        assert_eq!(follow_up["kind"], "order.paid");
        assert_eq!(follow_up["provider"], "hookbay");
        assert_eq!(follow_up["content_type"], "application/json");
        let whole = host.get(&format!("events/{id}")).await;
        let headers = whole["headers"].as_array().unwrap();
        assert!(
            headers.contains(&json!(["hookbay-event", event])),
            "{headers:?}"
        );
        assert!(headers.contains(&json!(["hookbay-depth", "1"])));
        let run = host.run_in(id, &["dead"]).await;
        // The follower expects a body of its own kind, but it got its run.
        assert_eq!(run["plugin"], "follower");
        bodies.push(host.get(&format!("events/{id}/body")).await);
    }
    bodies.sort_by_key(Value::to_string);
    assert_eq!(bodies, [json!(0), json!(1)]);
}

/// What is emitted is stored with the success of its run, so that a host which dies before,
/// in or after that leaves all of it or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_emitted_is_there_once_whenever_its_host_dies() {
    // One more, and a run that was under way each time would be taken for their cause.
    const KILLS: usize = 2;
    const EACH: usize = 60;
    const TIMES: usize = 2;
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    components::named("misbehave").place(&folder.plugins_dir(), "follower.wasm");
    let what = json!({"do": "emit", "kind": "order.paid", "times": TIMES});
    let mut sent: Vec<String> = Vec::new();
    let mut kills = 0;
    while kills < KILLS {
        let program = Program::start(&folder).await;
        let answers = join_all((0..EACH).map(|_| program.send("misbehave", &what))).await;
        sent.extend(answers.iter().map(Answer::event));
        let is_under_way = eventually("some have emitted", async || {
            let plugin = program.get("plugins/misbehave").await;
            let of = |state: &str| plugin["runs"][state].as_u64().unwrap();
            let open = of("ready") + of("running");
            (open == 0 || of("succeeded") > 0).then_some(open > 0)
        })
        .await;
        program.kill().await;
        kills += usize::from(is_under_way);
    }
    let host = Host::over(folder).await;
    for event in &sent {
        assert_eq!(host.finished(event).await["state"], "succeeded");
    }
    let mut emitted_by: BTreeMap<String, usize> = BTreeMap::new();
    for follow_up in emitted(&host).await {
        let id = follow_up["id"].as_str().unwrap();
        let whole = host.get(&format!("events/{id}")).await;
        let headers = whole["headers"].as_array().unwrap();
        let origin = headers.iter().find(|header| header[0] == "hookbay-event");
        let origin = origin.unwrap()[1].as_str().unwrap().to_owned();
        *emitted_by.entry(origin).or_default() += 1;
        // And each has its one run.
        let run = host.run_in(id, &["dead"]).await;
        assert_eq!(run["plugin"], "follower");
    }
    let expected: BTreeMap<String, usize> = sent.into_iter().map(|id| (id, TIMES)).collect();
    assert_eq!(emitted_by, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_emits_nothing() {
    let host = start().await;
    let what = json!({"do": "emit", "kind": "order.paid", "times": 1, "until": 9});
    let event = host.send("misbehave", &[], what.to_string()).await.event();
    assert_eq!(host.finished(&event).await["state"], "dead");
    let what = json!({"do": "emit", "kind": "no kind", "times": 1});
    let event = host.send("misbehave", &[], what.to_string()).await.event();
    let run = host.finished(&event).await;
    let said = run["error"]["message"].as_str().unwrap();
    assert!(said.contains("`no kind` is no kind"), "{said}");
    let what = json!({"do": "emit", "kind": "many", "times": 101});
    let event = host.send("misbehave", &[], what.to_string()).await.event();
    let run = host.finished(&event).await;
    assert_eq!(run["error"]["code"], "calls", "{run}");
    assert_eq!(emitted(&host).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_events_ends() {
    let host = start().await;
    host.send("misbehave", &[], r#"{"do":"emit_self"}"#).await;
    let dead = eventually("the last of the chain has failed", async || {
        host.items("runs?state=dead").await.pop()
    })
    .await;
    let said = dead["error"]["message"].as_str().unwrap();
    assert!(said.contains("8 events led here"), "{said}");
    assert_eq!(emitted(&host).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_can_pretend_to_be_deep_in_a_chain() {
    let host = start().await;
    let headers = [("hookbay-depth", "8"), ("hookbay-event", "x")];
    let what = r#"{"do":"emit","kind":"order.paid","times":1}"#;
    let event = host.send("misbehave", &headers, what).await.event();
    assert_eq!(host.finished(&event).await["state"], "succeeded");
}
