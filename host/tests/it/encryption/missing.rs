//! Events that a host cannot read, since it lacks the key that they are encrypted with: they
//! wait for a host that has it, are named to whoever asks for them, and hold nobody up.

use reqwest::Method;
use serde_json::{Value, json};

use super::{MARK, NEW, OLD, set_keys, toml};
use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, outcomes, push_body};
use crate::signing::github_headers;

/// One run at a time: one that held the place would be seen.
const ONE: &str = r#"
[plugins.misbehave]
concurrency = 1
triggers = [{ source = "misbehave", kind = "**", ordering_key = "/key" }]

[sources.signed]
provider = "github"
secret = "a long enough secret"
"#;

/// A host without the key of the first of two events, and with that of the second; the
/// plugin that they have runs for is paused.
async fn lacking() -> (Host, [String; 2]) {
    let host = Host::start(&format!("{}{ONE}", toml(&[OLD])), &["misbehave"]).await;
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    let what = json!({ "do": "kv_set", "key": "a", "value": MARK });
    let sealed = host.tell(&what).await;
    set_aside(&host, "first").await;
    let folder = host.stop().await;
    set_keys(&folder, &[NEW]);
    let host = Host::over(folder).await;
    set_aside(&host, "second").await;
    let what = json!({ "do": "kv_set", "key": "b", "value": MARK });
    let legible = host.tell(&what).await;
    (host, [sealed, legible])
}

/// Sends one that is refused, and waits until it is in quarantine.
async fn set_aside(host: &Host, delivery: &str) {
    let before = host.items("quarantine").await.len();
    let body = push_body("octo/harbor", 1);
    let headers = github_headers("another secret", "push", delivery, &body);
    let refused = host.send_signed("signed", &headers, body).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    eventually("it is set aside", async || {
        (host.items("quarantine").await.len() > before).then_some(())
    })
    .await;
}

/// The runs of an event, which itself may not be legible.
async fn runs(host: &Host, event: &str) -> Vec<Value> {
    host.items(&format!("runs?event={event}")).await
}

/// Waits until the one run of an event waits for another host, and checks that this was no
/// attempt; its id.
async fn put_back(host: &Host, event: &str) -> String {
    let run = eventually("it is put back", async || {
        let run = runs(host, event).await.remove(0);
        (run["state"] == "waiting").then_some(run)
    })
    .await;
    assert_eq!((&run["attempt"], &run["error"]), (&json!(0), &Value::Null));
    let id = run["id"].as_str().unwrap().to_owned();
    let run = host.get(&format!("runs/{id}")).await;
    assert_eq!(run["attempts"], json!([]));
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    let count = "\nhookbay_runs_postponed_total{plugin=\"misbehave\"} ";
    assert!(metrics.contains(count), "{metrics}");
    id
}

/// Does bulk work to its end; done and total.
async fn done(host: &Host, path: &str, body: &Value) -> Value {
    let path = format!("/api/v1/{path}");
    let answer = host.ask(Method::POST, &path, &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["operation_id"].as_str().unwrap().to_owned();
    let operation = eventually("it is over", async || {
        let operation = host.get(&format!("operations/{id}")).await;
        (operation["state"] != "running").then_some(operation)
    })
    .await;
    assert_eq!(operation["state"], "succeeded", "{operation}");
    json!([operation["done"], operation["total"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_holds_no_place_and_waits_for_the_key() {
    let (host, [sealed, legible]) = lacking().await;
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    assert_eq!(outcomes(&host.finished(&legible).await), ["succeeded"]);
    let run = put_back(&host, &sealed).await;
    let folder = host.stop().await;
    set_keys(&folder, &[NEW, OLD]);
    let host = Host::over(folder).await;
    // Sooner than it would be.
    let answer = host.post(&format!("runs/{run}/retry")).await;
    assert!([202, 409].contains(&answer.status), "{}", answer.text());
    let run = host.finished(&sealed).await;
    assert_eq!(outcomes(&run), ["succeeded"]);
    assert_eq!(
        (&run["attempt"], &run["attempts"][0]["n"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_the_key_executes_what_another_put_back() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let config = |key| format!("{}{ONE}", toml(&[key]));
    let folder = Folder::new(&config(NEW), &["misbehave"]).await;
    let beside = folder.beside(&config(OLD), &[]);
    let (lacks, has) = (Host::over(folder).await, Host::over(beside).await);
    let what = json!({ "do": "kv_set", "key": "a", "value": MARK });
    let event = eventually("the other host knows the plugin", async || {
        let event = has.tell(&what).await;
        (!runs(&has, &event).await.is_empty()).then_some(event)
    })
    .await;
    let run = put_back(&lacks, &event).await;
    let component = crate::components::named("misbehave");
    std::fs::remove_file(lacks.folder.plugins_dir().join("misbehave.wasm")).unwrap();
    lacks.rescan().await;
    has.install(&component, "misbehave.wasm").await;
    let answer = has.post(&format!("runs/{run}/retry")).await;
    assert!([202, 409].contains(&answer.status), "{}", answer.text());
    assert_eq!(outcomes(&has.finished(&event).await), ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_it_is_told_which_key_is_missing() {
    let (host, [sealed, _]) = lacking().await;
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "/body"),
        (Method::POST, "/replay"),
    ] {
        let path = format!("/api/v1/events/{sealed}{path}");
        let answer = host.ask(method, &path, "").await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["title"], "missing key");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("`encryption.keys` does not have"),
            "{detail}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_passes_over_it() {
    let (host, [sealed, legible]) = lacking().await;
    // Its ordering key stands in the body.
    assert_eq!(
        done(&host, "events/replay", &json!({ "filter": {} })).await,
        json!([2, 2])
    );
    assert_eq!(runs(&host, &sealed).await.len(), 1);
    assert_eq!(runs(&host, &legible).await.len(), 2);
    let forced = json!({ "filter": {}, "force": true });
    assert_eq!(
        done(&host, "quarantine/release", &forced).await,
        json!([1, 1])
    );
    assert_eq!(host.items("quarantine").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_catches_up_once_the_key_is_there() {
    let plugin = ONE.replace("concurrency = 1", "catch_up = \"2h\"");
    let host = Host::start(&format!("{}{plugin}", toml(&[OLD])), &[]).await;
    let event = host.tell(&json!({ "do": "ok" })).await;
    let folder = host.stop().await;
    set_keys(&folder, &[NEW]);
    let host = Host::over(folder).await;
    let component = crate::components::named("misbehave");
    host.install(&component, "misbehave.wasm").await;
    eventually("it has looked for events", async || {
        let operations = host.items("operations").await;
        let is_counted = |one: &Value| !one["total"].is_null();
        operations.first().is_some_and(is_counted).then_some(())
    })
    .await;
    let folder = host.stop().await;
    set_keys(&folder, &[NEW, OLD]);
    let host = Host::over(folder).await;
    eventually("it has a run", async || {
        let runs = runs(&host, &event).await;
        (!runs.is_empty()).then_some(())
    })
    .await;
    assert_eq!(outcomes(&host.finished(&event).await), ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_and_an_export_have_all_others() {
    let (host, [sealed, legible]) = lacking().await;
    let found = host.get(&format!("events?q={MARK}")).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["id"], json!(legible));
    assert_eq!(found["searched"]["is_complete"], false);
    // It is found by what is not encrypted.
    let found = host.get(&format!("events?q={sealed}")).await;
    assert_eq!(found["items"][0]["id"], json!(sealed));
    let answer = host.ask(Method::GET, "/api/v1/events/export", "").await;
    let lines: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(sealed), &json!(legible)]);
    let why = lines[0]["damaged"].as_str().unwrap();
    assert!(why.contains("`encryption.keys` does not have"), "{why}");
    assert_eq!(lines[0].get("body"), None);
    assert!(lines[1]["body"].as_str().unwrap().contains(MARK));
}
