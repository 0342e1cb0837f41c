//! The configuration while the host runs: what is changed in it, or in a secret's file.

use std::fs;

use serde_json::{Value, json};

use crate::components::named;
use crate::harness::{Folder, Host, eventually};
use crate::program::Program;
use crate::signing::{borrowed, github_headers};

const CONFIG: &str = r#"
[sources.noop]
provider = "none"
"#;
const GRANT: &str = "config.database_id = \"db-1\"\n";

/// Writes another configuration by a rename, as editors do.
fn configure(folder: &Folder, change: impl FnOnce(String) -> String) {
    let file = folder.config_file();
    let partial = folder.path().join("hookbay.toml.new");
    fs::write(&partial, change(fs::read_to_string(&file).unwrap())).unwrap();
    fs::rename(partial, file).unwrap();
}

fn with(more: &str) -> impl FnOnce(String) -> String {
    move |text| format!("{text}\n{more}\n")
}

fn without(less: &str) -> impl FnOnce(String) -> String {
    move |text| {
        assert!(text.contains(less), "{text}");
        text.replace(less, "")
    }
}

async fn plugin(host: &Host, name: &str) -> Value {
    host.get(&format!("plugins/{name}")).await
}

async fn stands(host: &Host, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), async || {
        let mut plugins = host.items("plugins").await.into_iter();
        plugins.find(|plugin| plugin["name"] == name && plugin["state"] == state)
    })
    .await
}

/// Waits until a webhook to a path is answered so.
async fn answered(host: &Host, path: &str, status: u16) {
    eventually(&format!("{path} is answered with {status}"), async || {
        let answer = host.send_to(path, &[], "{}").await;
        (answer.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_come_and_go_with_the_file() {
    let host = Host::start(CONFIG, &[]).await;
    assert_eq!(host.send("late", &[], "{}").await.status, 404);
    let late = "[sources.late]\nprovider = \"none\"\npath = \"/hooks/late\"";
    configure(&host.folder, with(late));
    answered(&host, "/webhooks/late", 202).await;
    answered(&host, "/hooks/late", 202).await;
    assert_eq!(host.items("sources").await.len(), 2);

    configure(&host.folder, without("path = \"/hooks/late\""));
    answered(&host, "/hooks/late", 404).await;
    answered(&host, "/webhooks/late", 202).await;
    configure(&host.folder, without("[sources.late]\nprovider = \"none\""));
    answered(&host, "/webhooks/late", 404).await;
    assert_eq!(host.send("noop", &[], "{}").await.status, 202);
    // Its events are there still.
    assert!(!host.items("events?source=late").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_rotated_in_its_file_holds_at_once() {
    let toml = "[sources.github]\nprovider = \"github\"\nsecret = { file = \"secrets/github\" }";
    let folder = Folder::new(toml, &[]).await;
    let secret = folder.path().join("secrets/github");
    fs::create_dir(secret.parent().unwrap()).unwrap();
    fs::write(&secret, "the-first-secret\n").unwrap();
    let host = Host::over(folder).await;
    let status = async |secret: &str, delivery: &str| {
        let headers = github_headers(secret, "push", delivery, b"{}");
        host.send("github", &borrowed(&headers), "{}").await.status
    };
    assert_eq!(status("the-first-secret", "1").await, 202);
    assert_eq!(status("the-second-secret", "2").await, 401);
    fs::write(&secret, "the-second-secret\n").unwrap();
    eventually("the new secret holds", async || {
        (status("the-second-secret", "3").await == 202).then_some(())
    })
    .await;
    assert_eq!(status("the-first-secret", "4").await, 401);
    // Gone for a moment, as while something else writes it: the one in force stays.
    fs::remove_file(&secret).unwrap();
    host.rescan().await;
    assert_eq!(status("the-second-secret", "5").await, 202);
    fs::write(&secret, "the-third-secret").unwrap();
    eventually("the third secret holds", async || {
        (status("the-third-secret", "6").await == 202).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_lets_a_held_plugin_run_and_its_end_holds_it_again() {
    let source = "[sources.wants-config]\nprovider = \"none\"\n[plugins.wants-config]\n";
    let host = Host::start(source, &["wants-config"]).await;
    stands(&host, "wants-config", "held").await;
    let waits = host.send("wants-config", &[], "{}").await.event();
    host.run_in(&waits, &["blocked"]).await;

    configure(&host.folder, with(GRANT));
    let active = stands(&host, "wants-config", "active").await;
    assert_eq!(
        (&active["candidate"], &active["missing_grants"]),
        (&Value::Null, &json!([]))
    );
    let run = host.finished(&waits).await;
    assert_eq!(
        (&run["state"], &run["summary"]),
        (&json!("succeeded"), &json!("db-1"))
    );

    configure(&host.folder, without(GRANT));
    let held = stands(&host, "wants-config", "held").await;
    assert_eq!(
        (&held["digest"], &held["missing_grants"]),
        (&Value::Null, &json!(["config.database_id"]))
    );
    let waits = host.send("wants-config", &[], "{}").await.event();
    let run = host.run_in(&waits, &["blocked"]).await;
    assert_eq!(run["attempt"], 0);
    // With another value, which the next run sees.
    configure(&host.folder, with(&GRANT.replace("db-1", "db-2")));
    assert_eq!(host.finished(&waits).await["summary"], "db-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_gets_its_grant_takes_over() {
    let table = "[plugins.noop]\ntriggers = [{ source = \"noop\", kind = \"**\" }]\n";
    let host = Host::start(&format!("{CONFIG}{table}"), &["noop"]).await;
    host.install(&named("wants-config"), "noop.wasm").await;
    assert_eq!(
        plugin(&host, "noop").await["digest"],
        named("noop").digest()
    );
    configure(&host.folder, with(GRANT));
    eventually("the candidate is active", async || {
        let plugin = plugin(&host, "noop").await;
        (plugin["digest"] == named("wants-config").digest()).then_some(())
    })
    .await;
    // Without the grant the older version runs again: its own wants are met.
    configure(&host.folder, without(GRANT));
    stands(&host, "noop", "held").await;
    let event = host.send("noop", &[], "{}").await.event();
    host.run_in(&event, &["blocked"]).await;
    assert_eq!(host.post("plugins/noop/rollback").await.status, 200);
    assert_eq!(host.finished(&event).await["summary"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_changes_nothing() {
    let host = Host::start(CONFIG, &["noop"]).await;
    let before = plugin(&host, "noop").await;
    for bad in [
        "[sources.late]\nprovider = \"nobody\"",
        "[sources.late",
        "[sources.late]\nprovider = \"github\"\nsecret = { file = \"nowhere\" }",
        "[plugins.noop]\nlimits = { memory = \"1TiB\" }",
    ] {
        configure(&host.folder, with(bad));
        // A good source beside it: if the rest were taken over, it would be there.
        configure(&host.folder, with("[sources.good]\nprovider = \"none\""));
        for _ in 0..3 {
            host.rescan().await;
        }
        assert_eq!(host.public_get("/readyz").await.status, 200, "{bad}");
        assert_eq!(host.send("good", &[], "{}").await.status, 404, "{bad}");
        assert_eq!(host.send("noop", &[], "{}").await.status, 202, "{bad}");
        configure(&host.folder, without(bad));
        answered(&host, "/webhooks/good", 202).await;
        configure(&host.folder, without("[sources.good]\nprovider = \"none\""));
        answered(&host, "/webhooks/good", 404).await;
    }
    let mut after = host.settled("noop").await;
    // What was sent meanwhile ran, and took its time.
    for counted in ["runs", "cost"] {
        after[counted] = before[counted].clone();
    }
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_give_files_to_plugins_while_the_host_runs() {
    let host = Host::start(CONFIG, &["noop"]).await;
    let table = "[plugins.first]\nfile = \"noop.wasm\"\n\
                 triggers = [{ source = \"noop\", kind = \"**\" }]\n\
                 [plugins.second]\nfile = \"noop.wasm\"";
    configure(&host.folder, with(table));
    for name in ["first", "second"] {
        stands(&host, name, "active").await;
    }
    stands(&host, "noop", "missing").await;
    configure(&host.folder, |text| {
        text.replace("kind = \"**\"", "kind = \"nothing\"")
    });
    eventually("its triggers are others", async || {
        let triggers = plugin(&host, "first").await["triggers"].clone();
        (triggers[0]["kind"] == "nothing").then_some(())
    })
    .await;
    configure(
        &host.folder,
        without(table.replace("**", "nothing").as_str()),
    );
    stands(&host, "noop", "active").await;
    stands(&host, "first", "missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_waits_for_one() {
    let host = Host::start(CONFIG, &[]).await;
    configure(&host.folder, |text| {
        format!(
            "metrics_open = true\nshutdown_grace = \"1s\"\n{text}[sources.late]\nprovider = \"none\"\n"
        )
    });
    answered(&host, "/webhooks/late", 202).await;
    let open = host.ask_as(reqwest::Method::GET, "/metrics", &[], "").await;
    assert_eq!(open.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_configuration_read() {
    let folder = Folder::new(CONFIG, &[]).await;
    let program = Program::start(&folder).await;
    configure(&folder, with("[sources.late]\nprovider = \"none\""));
    program.hang_up();
    eventually("the source is there", async || {
        let answer = program.send("late", &json!({})).await;
        (answer.status == 202).then_some(())
    })
    .await;
    assert_eq!(program.terminate().await, Some(0));
}
