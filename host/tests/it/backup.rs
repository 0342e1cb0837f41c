//! A backup is made while the host works, is whole, and goes on where it was.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::program::hookbay;

const CONFIG: &str = r#"
[sources.any]
provider = "none"
id_header = "x-id"

[plugins.misbehave]
triggers = [{ source = "any", kind = "**" }]
limits = { wall = "60s" }
"#;

/// `hookbay backup` against a host in this process.
async fn back_up(host: &Host, more: &[&str]) -> Output {
    let mut command = hookbay(&host.folder);
    let url = format!("http://{}", host.admin);
    command.arg("backup").args(more).args(["--url", &url]);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

async fn deliver(host: &Host, id: &str, what: Value) -> crate::http::Answer {
    host.send("any", &[("x-id", id)], what.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_on_where_it_was() {
    let folder = Folder::on(Engine::Sqlite, CONFIG, &["misbehave"]).await;
    let host = Host::over(folder).await;
    let add = || json!({ "do": "kv_increment", "key": "n", "by": 1 });
    let first = deliver(&host, "first", add()).await.event();
    host.finished(&first).await;
    let sleeps = json!({ "do": "sleep", "ms": 2000 });
    let leased = deliver(&host, "leased", sleeps).await.event();
    host.run_in(&leased, &["running"]).await;

    let output = back_up(&host, &["copy.db", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let copy = host.folder.path().join("copy.db");
    let about = copy.metadata().unwrap();
    assert_eq!(said["size_bytes"], about.len());
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let left = names(&host.folder.path().join("data"));
    assert!(left.iter().all(|name| !name.contains("backup")), "{left:?}");

    // What is there is not replaced unless that is wanted.
    let output = back_up(&host, &["copy.db"]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--force"), "{text}");
    assert!(
        back_up(&host, &["copy.db", "--force"])
            .await
            .status
            .success()
    );
    let files = names(host.folder.path());
    assert!(
        files.iter().all(|name| !name.ends_with(".tmp")),
        "{files:?}"
    );
    let later = deliver(&host, "later", add()).await.event();
    host.finished(&later).await;
    assert!(host.folder.path().join("hookbay.db-wal").exists());

    let folder = host.stop().await;
    for name in ["hookbay.db", "hookbay.db-wal", "hookbay.db-shm"] {
        // The last two are gone already after a clean stop.
        drop(std::fs::remove_file(folder.path().join(name)));
    }
    std::fs::rename(&copy, folder.path().join("hookbay.db")).unwrap();
    let host = Host::over(folder).await;
    // Known deliveries are known, state is as it was, and what came after is not there.
    let again = deliver(&host, "first", add()).await;
    assert_eq!(again.word(), (200, "duplicate".to_owned()));
    assert_eq!(again.event(), first);
    let run = host.finished(&leased).await;
    assert_eq!(outcomes(&run), ["host_lost", "succeeded"]);
    assert_eq!(host.kv("misbehave", "n").await.as_deref(), Some("1"));
    let gone = host
        .ask(Method::GET, &format!("/api/v1/events/{later}"), "")
        .await;
    assert_eq!(gone.status, 404);
    let anew = deliver(&host, "later", add()).await;
    assert_eq!(anew.status, 202);
    host.finished(&anew.event()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_taken_while_a_backup_is_made() {
    const SIZE: usize = 40_000;
    let folder = Folder::on(Engine::Sqlite, CONFIG, &[]).await;
    let host = Host::over(folder).await;
    let filler: String = (0..SIZE)
        .map(|n| char::from(b'a' + u8::try_from((n * n + n / 7) % 26).unwrap()))
        .collect();
    for n in 0..300 {
        let body = json!({ "id": n, "filler": filler }).to_string();
        assert_eq!(host.send("any", &[], body).await.status, 202);
    }
    let backup = back_up(&host, &["copy.db"]);
    tokio::pin!(backup);
    let mut taken = 300;
    let output = loop {
        let id = format!("more-{taken}");
        tokio::select! {
            output = &mut backup => break output,
            answer = deliver(&host, &id, json!({})) => {
                assert_eq!(answer.status, 202);
                taken += 1;
            }
        }
    };
    assert!(output.status.success(), "{output:?}");
    assert!(taken > 300, "something came meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_nothing() {
    let folder = Folder::on(Engine::Sqlite, CONFIG, &[]).await;
    std::fs::write(folder.path().join("data/backup-00.tmp"), "left by a crash").unwrap();
    let host = Host::over(folder).await;
    let data = host.folder.path().join("data");
    let is_clean = || names(&data).iter().all(|name| !name.contains("backup"));
    assert!(is_clean(), "what a crash has left is removed at the start");
    let request = format!(
        "POST /api/v1/backup HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        crate::harness::TOKEN
    );
    crate::http::send_and_leave(host.admin, request.into_bytes()).await;
    eventually("its copy is gone", async || is_clean().then_some(())).await;
    // And the next one has its turn.
    eventually("another backup is made", async || {
        back_up(&host, &["copy.db"])
            .await
            .status
            .success()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_needs_the_token_and_sqlite() {
    let host = Host::start(CONFIG, &[]).await;
    let refused = host.ask_as(Method::POST, "/api/v1/backup", &[], "").await;
    assert_eq!(refused.status, 401);
    let answer = host.post("backup").await;
    if Engine::of_hosts() == Engine::Sqlite {
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with(b"SQLite format 3\0"));
        assert_eq!(answer.header("hookbay-sha256").len(), 64);
        return;
    }
    assert_eq!(answer.status, 409);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.text().contains("pg_dump"), "{}", answer.text());
    let output = back_up(&host, &["copy.db"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pg_dump"));
    assert!(
        names(host.folder.path())
            .iter()
            .all(|name| !name.contains("copy.db"))
    );
}
