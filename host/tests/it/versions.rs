//! The versions of a plugin: going back to one, staying with it, and being rid of all.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::components::named;
use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::program::asked;

const CONFIG: &str = r#"
[sources.noop]
provider = "none"

[plugins.noop]
catch_up = "1h"
"#;

async fn plugin(host: &Host) -> Value {
    host.get("plugins/noop").await
}

/// Asks for a rollback; the status and the answer.
async fn roll_back(host: &Host, name: &str, body: &str) -> (u16, Value) {
    let path = format!("/api/v1/plugins/{name}/rollback");
    let answer = host.ask(Method::POST, &path, body).await;
    (answer.status, answer.json())
}

/// The digests that could be active, the last one first, and which is.
async fn versions(host: &Host) -> (Vec<String>, Option<String>) {
    let plugin = plugin(host).await;
    let versions = plugin["versions"].as_array().unwrap();
    let digest = |version: &Value| version["digest"].as_str().unwrap().to_owned();
    let active = versions.iter().find(|version| version["is_active"] == true);
    for version in versions {
        assert!(version["version"].is_string(), "{version}");
        let at = |name: &str| version[name].as_str().unwrap().to_owned();
        // One that was active before was so first before it was last.
        assert!(at("first_activated_at") <= at("activated_at"), "{version}");
    }
    (versions.iter().map(digest).collect(), active.map(digest))
}

/// Which version a new event runs on.
async fn runs_on(host: &Host) -> String {
    let event = host.send("noop", &[], "{}").await.event();
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["succeeded"]);
    run["attempts"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_the_words_of_the_page_for_versions() {
    let host = Host::start(CONFIG, &["noop"]).await;
    host.install(&named("noop").numbered(2), "noop.wasm").await;
    let (_, shown, _) = asked(&host, &["plugins", "show", "noop"]).await;
    let headers = "FIRST ACTIVATED  LAST ACTIVATED";
    assert!(shown.contains(headers), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_pins_until_an_unknown_version_or_unpin() {
    let (one, two) = (named("noop"), named("noop").numbered(2));
    let host = Host::start(CONFIG, &["noop"]).await;
    let (status, problem) = roll_back(&host, "noop", "").await;
    assert_eq!(status, 409, "it has had one version only: {problem}");
    host.install(&two, "noop.wasm").await;
    assert_eq!(plugin(&host).await["pinned"], false);
    assert_eq!(
        versions(&host).await,
        (vec![two.digest(), one.digest()], Some(two.digest()))
    );

    let (status, rolled_back) = roll_back(&host, "noop", "").await;
    assert_eq!((status, &rolled_back["pinned"]), (200, &json!(true)));
    assert_eq!(rolled_back["digest"], one.digest());
    assert_eq!(rolled_back["candidate"]["digest"], two.digest());
    let problem = rolled_back["candidate"]["problem"].as_str().unwrap();
    assert!(problem.contains("pinned"), "{problem}");
    assert_eq!(versions(&host).await.0, [one.digest(), two.digest()]);
    assert_eq!(runs_on(&host).await, one.digest());

    // It stays so: over a scan, a copy of the same bytes, a restart.
    host.install(&two, "noop.wasm").await;
    assert_eq!(plugin(&host).await["digest"], one.digest());
    let host = host.restart().await;
    let after = plugin(&host).await;
    assert_eq!(
        (&after["digest"], &after["pinned"], &after["state"]),
        (&json!(one.digest()), &json!(true), &json!("active"))
    );
    assert_eq!(after["candidate"]["digest"], two.digest());
    assert_eq!(runs_on(&host).await, one.digest());

    // What cannot run does not end it, a version that was never seen does.
    host.install(&two.truncated(), "noop.wasm").await;
    assert_eq!(plugin(&host).await["pinned"], true);
    let three = named("noop").numbered(3);
    host.install(&three, "noop.wasm").await;
    let newer = plugin(&host).await;
    assert_eq!(
        (&newer["digest"], &newer["pinned"], &newer["candidate"]),
        (&json!(three.digest()), &json!(false), &Value::Null)
    );
    // To any of them by name; that one file on disk is it again is no candidate.
    let (status, _) = roll_back(
        &host,
        "noop",
        &json!({ "digest": two.digest() }).to_string(),
    )
    .await;
    assert_eq!((status, runs_on(&host).await), (200, two.digest()));
    host.install(&two, "noop.wasm").await;
    let same = plugin(&host).await;
    assert_eq!(
        (&same["candidate"], &same["pinned"]),
        (&Value::Null, &json!(true))
    );
    host.install(&three, "noop.wasm").await;
    assert_eq!(plugin(&host).await["digest"], two.digest());

    let unpinned = host.post("plugins/noop/unpin").await;
    assert_eq!(
        (unpinned.status, unpinned.json()["digest"].clone()),
        (200, json!(three.digest()))
    );
    let now = plugin(&host).await;
    assert_eq!(
        (&now["candidate"], &now["pinned"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(runs_on(&host).await, three.digest());
    assert_eq!(host.post("plugins/noop/unpin").await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_says_why_not() {
    let (one, two) = (named("noop"), named("noop").numbered(2));
    let host = Host::start(CONFIG, &["noop", "misbehave"]).await;
    let never = named("noop").numbered(9).digest();
    for (name, body, status, why) in [
        ("nobody", "", 404, "nobody"),
        ("no name", "", 404, "no name"),
        ("noop", "", 409, "no other version"),
        ("noop", r#"{"digest":"abc"}"#, 404, "abc"),
        ("noop", &format!(r#"{{"digest":"{never}"}}"#), 404, &never),
        ("noop", r#"{"version":"1"}"#, 400, "version"),
        ("noop", "nonsense", 400, "body"),
    ] {
        let (answered, problem) = roll_back(&host, name, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(answered, status, "{name} {body}: {detail}");
        assert!(detail.contains(why), "{name} {body}: {detail}");
    }
    assert_eq!(host.post("plugins/nobody/unpin").await.status, 404);
    // What ran of another plugin is none of its versions.
    let other = json!({ "digest": named("misbehave").digest() }).to_string();
    assert_eq!(roll_back(&host, "noop", &other).await.0, 404);

    host.install(&two, "noop.wasm").await;
    let kept = host.folder.path().join("data/digests");
    fs::remove_file(kept.join(format!("{}.wasm", one.digest()))).unwrap();
    let (status, problem) = roll_back(&host, "noop", "").await;
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("not kept"),
        "{problem}"
    );
    assert_eq!(versions(&host).await.0, [two.digest()]);
    // A file that was changed by somebody is not that version.
    fs::write(
        kept.join(format!("{}.wasm", one.digest())),
        two.0.as_slice(),
    )
    .unwrap();
    assert_eq!(roll_back(&host, "noop", "").await.0, 409);
    assert_eq!(plugin(&host).await["pinned"], false);
    fs::remove_file(host.folder.plugins_dir().join("noop.wasm")).unwrap();
    host.rescan().await;
    let (status, problem) = roll_back(&host, "noop", "").await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_what_is_not_granted_any_more_changes_nothing() {
    let granted = format!("{CONFIG}config.database_id = \"db-1\"\n");
    let folder = Folder::new(&granted, &[]).await;
    named("wants-config").place(&folder.plugins_dir(), "noop.wasm");
    let host = Host::over(folder).await;
    host.install(&named("noop"), "noop.wasm").await;
    let folder = host.stop().await;
    let file = folder.config_file();
    let without = fs::read_to_string(&file)
        .unwrap()
        .replace("config.database_id", "# ");
    fs::write(file, without).unwrap();
    let host = Host::over(folder).await;
    let (status, problem) = roll_back(&host, "noop", "").await;
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("config.database_id"),
        "{problem}"
    );
    assert_eq!(plugin(&host).await["digest"], named("noop").digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_holds_on_every_host() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let (one, two) = (named("noop"), named("noop").numbered(2));
    let folder = Folder::new(CONFIG, &["noop"]).await;
    let beside = folder.beside(CONFIG, &["noop"]);
    let hosts = [Host::over(folder).await, Host::over(beside).await];
    let both = async |digest: String, is_pinned: bool| {
        for host in &hosts {
            eventually("both hosts run it", async || {
                let plugin = plugin(host).await;
                let is_it = plugin["digest"] == digest && plugin["pinned"] == is_pinned;
                is_it.then_some(())
            })
            .await;
        }
    };
    both(one.digest(), false).await;
    for host in &hosts {
        host.install(&two, "noop.wasm").await;
    }
    both(two.digest(), false).await;
    assert_eq!(roll_back(&hosts[0], "noop", "").await.0, 200);
    both(one.digest(), true).await;
    let candidate = &plugin(&hosts[1]).await["candidate"];
    assert_eq!(candidate["digest"], two.digest(), "{candidate}");
    assert_eq!(runs_on(&hosts[1]).await, one.digest());
    // Also one that joins now, or was away.
    let [first, second] = hosts;
    let second = second.restart().await;
    let hosts = [first, second];
    for host in &hosts {
        assert_eq!(plugin(host).await["digest"], one.digest());
    }
    assert_eq!(hosts[1].post("plugins/noop/unpin").await.status, 200);
    for host in &hosts {
        eventually("both hosts run the file again", async || {
            (plugin(host).await["digest"] == two.digest()).then_some(())
        })
        .await;
    }
}

/// Removes the plugin's file.
fn remove(host: &Host) {
    fs::remove_file(host.folder.plugins_dir().join("noop.wasm")).unwrap();
}

/// Waits until an operation is over.
async fn over(host: &Host, id: &Value) -> Value {
    let path = format!("operations/{}", id.as_str().unwrap());
    eventually("the operation is over", async || {
        let operation = host.get(&path).await;
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_plugin_is_gone_but_for_its_history() {
    let host = Host::start(CONFIG, &["noop"]).await;
    let done = host.send("noop", &[], "{}").await.event();
    host.finished(&done).await;
    let refused = host.post("plugins/noop/forget").await;
    assert_eq!(refused.status, 409, "its file is here: {}", refused.text());
    assert!(refused.text().contains("noop.wasm"), "{}", refused.text());
    assert_eq!(host.post("plugins/nobody/forget").await.status, 404);
    remove(&host);
    host.rescan().await;
    let waits = host.send("noop", &[], "{}").await.event();
    host.run_in(&waits, &["blocked"]).await;

    let forgotten = host.post("plugins/noop/forget").await;
    assert_eq!(forgotten.status, 202, "{}", forgotten.text());
    let ended = over(&host, &forgotten.json()["operation_id"]).await;
    assert_eq!(
        (
            &ended["what"],
            &ended["state"],
            &ended["done"],
            &ended["total"]
        ),
        (&json!("forget"), &json!("succeeded"), &json!(1), &json!(1))
    );
    assert!(host.items("plugins").await.is_empty());
    assert_eq!(
        host.ask(Method::GET, "/api/v1/plugins/noop", "")
            .await
            .status,
        404
    );
    assert_eq!(host.post("plugins/noop/forget").await.status, 404);
    let cancelled = host.finished(&waits).await;
    assert_eq!(
        (
            &cancelled["state"],
            &cancelled["plugin"],
            &cancelled["error"]["message"]
        ),
        (
            &json!("cancelled"),
            &json!("noop"),
            &json!("its plugin was forgotten")
        )
    );
    assert_eq!(host.items("runs?plugin=noop").await.len(), 2);
    let id = cancelled["id"].as_str().unwrap();
    assert_eq!(host.post(&format!("runs/{id}/retry")).await.status, 409);
    // Nobody wants what comes now, and nobody can be asked to.
    let unwanted = host.send("noop", &[], "{}").await.event();
    let event = host.get(&format!("events/{unwanted}")).await;
    assert_eq!(event["no_run_reason"], "no_trigger");
    let replay = json!({ "plugin": "noop" }).to_string();
    let path = format!("/api/v1/events/{unwanted}/replay");
    assert_eq!(host.ask(Method::POST, &path, &replay).await.status, 404);

    // The same over a restart.
    let host = host.restart().await;
    assert!(host.items("plugins").await.is_empty());
    assert_eq!(host.get(&format!("runs/{id}")).await["plugin"], "noop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_the_name_of_a_forgotten_plugin_begins_anew() {
    let host = Host::start(CONFIG, &["noop"]).await;
    let before = host.send("noop", &[], "{}").await.event();
    host.finished(&before).await;
    host.install(&named("noop").numbered(2), "noop.wasm").await;
    assert_eq!(roll_back(&host, "noop", "").await.0, 200);
    remove(&host);
    let forgotten = host.post("plugins/noop/forget").await;
    over(&host, &forgotten.json()["operation_id"]).await;
    let unwanted = host.send("noop", &[], "{}").await.event();

    host.install(&named("noop"), "noop.wasm").await;
    let anew = plugin(&host).await;
    assert_eq!(
        (&anew["state"], &anew["pinned"]),
        (&json!("active"), &json!(false))
    );
    assert_eq!(anew["versions"].as_array().unwrap().len(), 1);
    // It catches up with what is stored, as one that was never seen does.
    for (event, runs) in [(&unwanted, 1), (&before, 2)] {
        let path = format!("events/{event}");
        eventually("it runs for what was there before it", async || {
            let event = host.get(&path).await;
            (event["runs"].as_array()?.len() == runs).then_some(())
        })
        .await;
    }
    let run = host.finished(&unwanted).await;
    assert_eq!(
        (&run["plugin"], &run["state"]),
        (&json!("noop"), &json!("succeeded"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_not_forgotten_while_another_host_has_its_file() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &["noop"]).await;
    let beside = folder.beside(CONFIG, &["noop"]);
    let hosts = [Host::over(folder).await, Host::over(beside).await];
    eventually("the hosts know of each other", async || {
        let plugin = plugin(&hosts[0]).await;
        (plugin["hosts"].as_array()?.len() == 2).then_some(())
    })
    .await;
    remove(&hosts[0]);
    let refused = hosts[0].post("plugins/noop/forget").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    remove(&hosts[1]);
    hosts[1].rescan().await;
    // The other host says so with its next heartbeat.
    eventually("it is forgotten", async || {
        (hosts[0].post("plugins/noop/forget").await.status == 202).then_some(())
    })
    .await;
    for host in &hosts {
        eventually("both hosts know", async || {
            host.items("plugins").await.is_empty().then_some(())
        })
        .await;
    }
}
