//! Stops, kills and starts: what was taken is finished, once.

use futures_util::future::join_all;
use hookbay::app::StartError;
use hookbay::run::DEATHS_MAX;
use hookbay::store::StoreError;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, Row};

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::program::{Program, refused_serve};

/// One attempt: a lost one that were counted would be the last.
const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }
limits = { wall = "60s" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_attempts_end_and_gives_back_the_rest() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let what = json!({ "do": "sleep", "ms": 300 });
    let events = join_all((0..12).map(|_| host.tell(&what))).await;
    eventually("some attempts run", async || {
        let running = host.items("runs?state=running").await;
        (!running.is_empty()).then_some(())
    })
    .await;
    let host = host.restart().await;
    for event in events {
        let run = host.finished(&event).await;
        assert_eq!(
            (&run["state"], outcomes(&run), &run["attempt"]),
            (&json!("succeeded"), vec!["succeeded"], &json!(1))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_over_restarts_without_loss_or_repetition() {
    const MANY: usize = 300;
    let mut host = Host::start(CONFIG, &["misbehave"]).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        let what = json!({ "do": "kv_increment", "key": "n", "by": 1 });
        events.extend(join_all((0..MANY / 3).map(|_| host.tell(&what))).await);
        host = host.restart().await;
    }
    let plugin = host.settled("misbehave").await;
    assert_eq!(plugin["runs"]["succeeded"], MANY);
    assert_eq!(host.kv("misbehave", "n").await, Some(MANY.to_string()));
    for event in events {
        assert_eq!(outcomes(&host.finished(&event).await), ["succeeded"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlasts_the_grace_is_run_again() {
    let config = format!("shutdown_grace = \"10ms\"\n{CONFIG}");
    let host = Host::start(&config, &["misbehave"]).await;
    let event = host.tell(&json!({ "do": "sleep", "ms": 4000 })).await;
    host.run_in(&event, &["running"]).await;
    let host = host.restart().await;
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["host_lost", "succeeded"])
    );
    assert_eq!(
        (&run["attempt"], &run["max_attempts"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_loses_nothing_that_it_acknowledged() {
    const MANY: usize = 200;
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let program = Program::start(&folder).await;
    let asleep = program
        .send("misbehave", &json!({ "do": "sleep", "ms": 4000 }))
        .await
        .event();
    eventually("an attempt runs", async || {
        let page = program.get("runs?state=running").await;
        (page["items"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let what = json!({ "do": "kv_increment", "key": "n", "by": 1 });
    let answers = join_all((0..MANY).map(|_| program.send("misbehave", &what))).await;
    program.kill().await;

    let host = Host::over(folder).await;
    let run = host.finished(&asleep).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["host_lost", "succeeded"])
    );
    let lost = &run["attempts"][0];
    assert_eq!(
        (&lost["n"], &lost["error"]["code"]),
        (&json!(1), &json!("host_lost"))
    );
    assert_eq!(
        (&run["attempt"], &run["max_attempts"]),
        (&json!(2), &json!(2))
    );
    for answer in &answers {
        let run = host.finished(&answer.event()).await;
        let outcomes = outcomes(&run);
        let (last, before) = outcomes.split_last().unwrap();
        assert_eq!(*last, "succeeded");
        assert!(
            before.iter().all(|outcome| *outcome == "host_lost"),
            "{outcomes:?}"
        );
    }
    assert_eq!(host.kv("misbehave", "n").await, Some(MANY.to_string()));
    assert_eq!(host.items("events?limit=1000").await.len(), MANY + 1);
}

/// Whether a guest of a run executes, or one whose host has not died yet is claimed: the
/// death of its host now counts against it.
async fn is_at_risk(folder: &Folder) -> bool {
    const AT_RISK: &str =
        "select count(*) from runs where state = 1 and (deaths = 0 or is_executing = 1)";
    let count = match folder.database.engine() {
        Engine::Sqlite => {
            let options = SqliteConnectOptions::new()
                .filename(folder.path().join("hookbay.db"))
                .read_only(true);
            let mut connection = options.connect().await.unwrap();
            let row = connection.fetch_one(AT_RISK).await.unwrap();
            row.get::<i64, _>(0)
        }
        Engine::Postgres | Engine::Pooled => folder.database.number(AT_RISK).await,
    };
    count > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_its_host_again_and_again_is_ended_and_others_go_on() {
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let sleeps = json!({ "do": "sleep", "ms": 50_000 });
    let mut poison = None;
    let mut others = Vec::new();
    for _ in 0..DEATHS_MAX {
        let program = Program::start(&folder).await;
        if poison.is_none() {
            poison = Some(program.send("misbehave", &sleeps).await.event());
        }
        eventually("its guest executes", async || {
            is_at_risk(&folder).await.then_some(())
        })
        .await;
        let what = json!({ "do": "kv_increment", "key": "n", "by": 1 });
        let other = program.send("misbehave", &what).await.event();
        eventually("another run has succeeded beside it", async || {
            let event = program.get(&format!("events/{other}")).await;
            (event["runs"][0]["state"] == "succeeded").then_some(())
        })
        .await;
        others.push(other);
        program.kill().await;
    }
    let host = Host::over(folder).await;
    let run = host.finished(&poison.unwrap()).await;
    assert_eq!(
        (&run["state"], &run["outcome"]),
        (&json!("dead"), &json!("killed_host"))
    );
    assert_eq!(outcomes(&run), ["host_lost", "host_lost", "killed_host"]);
    for other in &others {
        assert_eq!(outcomes(&host.finished(other).await), ["succeeded"]);
    }
    assert_eq!(
        host.kv("misbehave", "n").await,
        Some(DEATHS_MAX.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_drains_when_it_is_told_to_stop() {
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let program = Program::start(&folder).await;
    let event = program
        .send("misbehave", &json!({ "do": "sleep", "ms": 1500 }))
        .await
        .event();
    eventually("an attempt runs", async || {
        let page = program.get("runs?state=running").await;
        (page["items"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(program.terminate().await, Some(0));
    let host = Host::over(folder).await;
    let run = host.finished(&event).await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("succeeded"), vec!["succeeded"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_file_is_refused() {
    let folder = Folder::on(Engine::Sqlite, CONFIG, &["misbehave"]).await;
    let host = Host::over(folder).await;
    let refusal = host.folder.refusal().await;
    assert!(
        matches!(refusal, StartError::Store(StoreError::InUse { .. })),
        "{refusal}"
    );
    assert!(
        refusal.to_string().contains("in use by another hookbay"),
        "{refusal}"
    );

    let output = refused_serve(&host.folder).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another hookbay"), "{said}");
    // The first one did not notice.
    assert_eq!(
        host.told(&json!({ "do": "ok" })).await["state"],
        "succeeded"
    );
}
