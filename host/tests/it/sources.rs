//! Sources as operators see and steer them.

use reqwest::Method;

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

const CONFIG: &str = r#"
[sources.a]
provider = "none"
path = "/hooks/a"

[sources.b]
provider = "none"
"#;

async fn steer(host: &Host, source: &str, what: &str) -> u16 {
    host.post(&format!("sources/{source}/{what}")).await.status
}

async fn is_paused(host: &Host, source: &str) -> bool {
    let sources = host.items("sources").await;
    let source = sources.iter().find(|one| one["name"] == source);
    source.unwrap()["paused"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_tells_its_senders_to_come_again() {
    let host = Host::start(CONFIG, &[]).await;
    assert_eq!(host.send("a", &[], "1").await.status, 202);
    assert_eq!(steer(&host, "a", "pause").await, 204);
    assert!(is_paused(&host, "a").await && !is_paused(&host, "b").await);
    for path in ["/webhooks/a", "/hooks/a"] {
        let answer = host.send_to(path, &[], "2").await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.header("retry-after"), "60");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(host.send("b", &[], "3").await.status, 202);
    // What comes before a pause in the order of checks stays what it is.
    let url = format!("http://{}/webhooks/a", host.public);
    let client = crate::http::Client::new();
    let got = client.ask(Method::GET, &url, &[], "").await;
    assert_eq!(got.status, 405);
    // Twice is no error, and a restart changes nothing.
    assert_eq!(steer(&host, "a", "pause").await, 204);
    let host = host.restart().await;
    assert!(is_paused(&host, "a").await);
    assert_eq!(host.send("a", &[], "4").await.status, 503);
    assert_eq!(steer(&host, "a", "resume").await, 204);
    assert_eq!(host.send("a", &[], "5").await.status, 202);
    assert!(!is_paused(&host, "a").await);
    assert_eq!(host.items("events").await.len(), 3);
    for what in ["pause", "resume"] {
        assert_eq!(steer(&host, "nobody", what).await, 404);
        assert_eq!(steer(&host, "NOT%20A%20NAME", what).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_for_every_host() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &[]).await;
    let beside = folder.beside(CONFIG, &[]);
    let (first, second) = (Host::over(folder).await, Host::over(beside).await);
    assert_eq!(steer(&first, "a", "pause").await, 204);
    for (what, status) in [("pause", 503), ("resume", 202)] {
        assert_eq!(steer(&first, "a", what).await, 204);
        eventually("the other host has heard of it", async || {
            (second.send("a", &[], "x").await.status == status).then_some(())
        })
        .await;
    }
}
