//! Plugins that want more than the operator grants them.

use std::fs;

use serde_json::{Value, json};

use crate::components::named;
use crate::harness::Host;

const SOURCES: &str = r#"
[sources.noop]
provider = "none"

[sources.wants-config]
provider = "none"
"#;

async fn send(host: &Host, source: &str) -> String {
    host.send(source, &[], r#"{"do":"ok"}"#).await.event()
}

async fn plugin(host: &Host, name: &str) -> Value {
    host.get(&format!("plugins/{name}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_wants_more_than_it_is_granted_is_held() {
    let host = Host::start(SOURCES, &["wants-config"]).await;
    let held = plugin(&host, "wants-config").await;
    assert_eq!(
        (&held["state"], &held["missing_grants"], &held["digest"]),
        (&json!("held"), &json!(["config.database_id"]), &Value::Null)
    );
    assert_eq!(held["candidate"]["digest"], named("wants-config").digest());
    assert_eq!(held["wants"]["config"][0]["name"], "database_id");
    let event = send(&host, "wants-config").await;
    host.run_in(&event, &["blocked"]).await;

    let folder = host.stop().await;
    let granted = format!(
        "{}\n[plugins.wants-config]\nconfig.database_id = \"db-1\"\n",
        fs::read_to_string(folder.config_file()).unwrap()
    );
    fs::write(folder.config_file(), granted).unwrap();
    let host = Host::over(folder).await;
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], &run["summary"]),
        (&json!("succeeded"), &json!("db-1"))
    );
    let active = plugin(&host, "wants-config").await;
    assert_eq!(
        (&active["state"], &active["missing_grants"]),
        (&json!("active"), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_that_wants_more_is_held_beside_the_older() {
    let host = Host::start(SOURCES, &["noop"]).await;
    host.install(&named("wants-config"), "noop.wasm").await;
    let held = plugin(&host, "noop").await;
    assert_eq!(
        (&held["state"], &held["digest"], &held["missing_grants"]),
        (
            &json!("active"),
            &json!(named("noop").digest()),
            &json!(["config.database_id"])
        )
    );
    assert_eq!(held["candidate"]["digest"], named("wants-config").digest());
    let event = send(&host, "noop").await;
    assert_eq!(host.finished(&event).await["summary"], "ok");

    // What ran before runs on over a restart, from the data directory.
    let host = host.restart().await;
    let again = plugin(&host, "noop").await;
    assert_eq!(
        (&again["state"], &again["digest"]),
        (&json!("active"), &json!(named("noop").digest()))
    );
    let event = send(&host, "noop").await;
    assert_eq!(host.finished(&event).await["summary"], "ok");
}
