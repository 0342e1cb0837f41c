//! Notices: what is wrong is told once, and that it is right again too.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use hookbay::config::{Config, Environment, Overrides};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

/// Somebody who is told.
struct Receiver {
    address: SocketAddr,
    told: Arc<Mutex<Vec<(String, Value)>>>,
    /// What they answer.
    status: Arc<AtomicU16>,
    _serving: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let status = Arc::new(AtomicU16::new(200));
        let (ours, answers) = (Arc::clone(&told), Arc::clone(&status));
        let receive = async move |uri: Uri, body: String| {
            let notice = serde_json::from_str(&body).unwrap();
            ours.lock().unwrap().push((uri.to_string(), notice));
            StatusCode::from_u16(answers.load(Ordering::SeqCst)).unwrap()
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let router = Router::new().fallback(receive);
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            told,
            status,
            _serving: serving,
        }
    }

    /// A configuration that has this one told.
    fn toml(&self, more: &str) -> String {
        format!(
            r#"
            [alerts]
            webhook = "http://{}/hook?key=1"
            private = true
            after = "0s"
            {more}

            [sources.misbehave]
            provider = "none"

            [sources.signed]
            provider = "github"
            secret = "a secret that is long enough"

            [plugins.misbehave]
            retry = {{ attempts = 1 }}
            "#,
            self.address
        )
    }

    /// What was told of one thing so far.
    fn of(&self, kind: &str, state: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        let fitting = told
            .iter()
            .filter(|(_, notice)| notice["alert"] == kind && notice["state"] == state);
        fitting.map(|(_, notice)| notice.clone()).collect()
    }

    async fn waits_for(&self, kind: &str, state: &str) -> Value {
        eventually(&format!("{kind} is {state}"), async || {
            self.of(kind, state).first().cloned()
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_trips_is_told_once_and_its_recovery_too() {
    let receiver = Receiver::start().await;
    let host = Host::start(&receiver.toml("dead_runs = 3"), &["misbehave"]).await;
    for _ in 0..5 {
        host.told(&json!({ "do": "panic" })).await;
    }
    let notice = receiver.waits_for("plugin.tripped", "raised").await;
    assert_eq!(notice["subject"], "misbehave");
    assert!(notice["message"].as_str().unwrap().contains("misbehave"));
    assert!(notice["since"].is_string() && notice["host"].is_string());
    // Five runs died, which is another matter.
    receiver.waits_for("plugin.failing", "raised").await;
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    receiver.waits_for("plugin.tripped", "resolved").await;
    assert_eq!(receiver.of("plugin.tripped", "raised").len(), 1);
    assert_eq!(receiver.of("plugin.failing", "raised").len(), 1);
    assert!(receiver.of("plugin.failing", "resolved").is_empty());
    let (path, _) = receiver.told.lock().unwrap()[0].clone();
    assert_eq!(path, "/hook?key=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_queue_and_forged_requests_are_told() {
    let receiver = Receiver::start().await;
    let toml = receiver.toml("queue_age = \"1s\"\nfailed_verifications = 4");
    let host = Host::start(&toml, &["misbehave"]).await;
    // The first look is where counting begins.
    eventually("somebody looks", async || {
        host.send("signed", &[], "forged").await;
        let found = receiver.of("source.unverified", "raised");
        found
            .first()
            .map(|notice| assert_eq!(notice["subject"], "signed"))
    })
    .await;
    assert!(receiver.of("queue.old", "raised").is_empty());
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    let event = host.tell(&json!({ "do": "ok" })).await;
    let notice = receiver.waits_for("queue.old", "raised").await;
    assert_eq!(notice["subject"], "misbehave");
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    host.finished(&event).await;
    receiver.waits_for("queue.old", "resolved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_not_taken_is_tried_again() {
    let receiver = Receiver::start().await;
    receiver.status.store(500, Ordering::SeqCst);
    let folder = Folder::new(&receiver.toml("format = \"slack\""), &[]).await;
    std::fs::write(folder.plugins_dir().join("<b>.wasm"), "x").unwrap();
    std::fs::write(folder.plugins_dir().join("bad.wasm"), "no component").unwrap();
    let host = Host::over(folder).await;
    let n_told = || receiver.told.lock().unwrap().len();
    eventually("somebody is told", async || (n_told() > 0).then_some(())).await;
    receiver.status.store(204, Ordering::SeqCst);
    let before = n_told();
    eventually("it is told again", async || {
        (n_told() > before).then_some(())
    })
    .await;
    let (_, notice) = receiver.told.lock().unwrap().last().unwrap().clone();
    let text = notice["text"].as_str().unwrap();
    assert!(
        text.contains(":red_circle:") && text.contains("`bad`"),
        "{text}"
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hosts_tell_once() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let receiver = Receiver::start().await;
    let toml = receiver.toml("");
    let folder = Folder::new(&toml, &[]).await;
    let beside = folder.beside(&toml, &[]);
    for folder in [&folder, &beside] {
        std::fs::write(folder.plugins_dir().join("bad.wasm"), "no component").unwrap();
    }
    let (one, other) = (Host::over(folder).await, Host::over(beside).await);
    receiver.waits_for("plugin.broken", "raised").await;
    // The one that told goes; the other takes over, and knows that it was told.
    std::fs::remove_file(one.folder.plugins_dir().join("bad.wasm")).unwrap();
    one.stop().await;
    std::fs::remove_file(other.folder.plugins_dir().join("bad.wasm")).unwrap();
    other.rescan().await;
    receiver.waits_for("plugin.broken", "resolved").await;
    assert_eq!(receiver.of("plugin.broken", "raised").len(), 1);
}

#[test]
fn what_is_no_address_to_tell_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    for (alerts, expected) in [
        ("webhook = 'https://hooks.slack.com/services/T/B/x'", ""),
        ("webhook = 'http://127.0.0.1:1/'\nprivate = true", ""),
        ("", "alerts.webhook: is missing"),
        (
            "webhook = 'secret words'",
            "alerts.webhook: must be an address",
        ),
        (
            "webhook = 'ftp://a.example/secret'",
            "alerts.webhook: must be an address",
        ),
        (
            "webhook = 'https://u:secret@a.example/'",
            "alerts.webhook: must be an address",
        ),
        (
            "webhook = 'http://a.example/secret'",
            "alerts.webhook: must be https",
        ),
        (
            "webhook = { env = 'NOT_SET' }",
            "alerts.webhook: environment variable",
        ),
        (
            "webhook = 'https://a.example'\nformat = 'xml'",
            "alerts.format: `xml` is not",
        ),
        (
            "webhook = 'https://a.example'\nafter = '2d'",
            "alerts.after: `2d` is outside",
        ),
        (
            "webhook = 'https://a.example'\ndead_runs = 0",
            "alerts.dead_runs: 0 is outside",
        ),
        (
            "webhook = 'https://a.example'\nqueu_age = '1m'",
            "did you mean `queue_age`?",
        ),
    ] {
        std::fs::write(&file, format!("[alerts]\n{alerts}\n")).unwrap();
        let read = Config::load_with(Some(&file), &Overrides::default(), &Environment::default());
        match (read, expected) {
            (Ok(_), "") => {}
            (Ok(_), expected) => panic!("`{alerts}` is taken, not refused: {expected}"),
            (Err(error), expected) => {
                let said = error.to_string();
                assert!(
                    !expected.is_empty() && said.contains(expected),
                    "{alerts}: {said}"
                );
                assert!(!said.contains("secret"), "{said}");
            }
        }
    }
}
