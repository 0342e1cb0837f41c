//! The same from a terminal.

use std::process::Output;

use super::{NEW, SOURCES, correct_secret, refused_push, set_aside};
use crate::harness::Host;
use crate::program::hookbay;

async fn run(host: &Host, args: &[&str]) -> Output {
    let mut command = hookbay(&host.folder);
    command.args(args).arg("--url");
    command.arg(format!("http://{}", host.admin));
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// What a command that ends well prints.
async fn said(host: &Host, args: &[&str]) -> String {
    let output = run(host, args).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_listed_shown_and_released() {
    let host = Host::start(SOURCES, &[]).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(refused_push(&host, NEW, &format!("d-{n}")).await);
    }
    for id in &ids {
        set_aside(&host, id).await;
    }
    let listed = said(&host, &["quarantine", "list", "--source", "github"]).await;
    assert!(
        ids.iter().all(|id| listed.contains(id.as_str())),
        "{listed}"
    );
    let shown = said(&host, &["quarantine", "show", &ids[0]]).await;
    assert!(
        shown.contains("wrong_signature") && shown.contains("127.0.0.1"),
        "{shown}"
    );
    let still = run(&host, &["quarantine", "release", &ids[0]]).await;
    assert_eq!(still.status.code(), Some(1));
    let error = String::from_utf8(still.stderr).unwrap();
    assert!(
        error.contains("refused still") && error.contains("another secret"),
        "{error}"
    );

    correct_secret(&host).await;
    let released = said(&host, &["quarantine", "release", &ids[0]]).await;
    assert!(released.starts_with("it is event "), "{released}");
    let all = ["quarantine", "release", "--all"];
    let counted = said(&host, &[&all[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted, "2 fit\n");
    said(&host, &[&all[..], &["--wait"]].concat()).await;
    assert_eq!(host.items("quarantine").await.len(), 0);
    assert_eq!(host.items("events").await.len(), 3);
}
