//! Events whose stored request is damaged: told as that, by name, to whoever asks for one,
//! and nothing else is held up by them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Host;
use crate::program::hookbay;

const CONFIG: &str = "[sources.a]\nprovider = \"none\"\n";

/// A host with an event that is damaged, and two around it that are whole.
async fn damaged() -> (Host, String, [String; 2]) {
    let host = Host::start(CONFIG, &[]).await;
    let lost = host.send("a", &[], "lost").await.event();
    let folder = &host.folder;
    folder.database.damage_requests(folder.path()).await;
    let mut whole = Vec::new();
    for body in ["first", "second"] {
        whole.push(host.send("a", &[], body).await.event());
    }
    (host, lost, whole.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_it_is_told_that_it_is_damaged() {
    let (host, lost, [whole, _]) = damaged().await;
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "/body"),
        (Method::POST, "/replay"),
    ] {
        let of = |event: &str| format!("/api/v1/events/{event}{path}");
        let answer = host.ask(method.clone(), &of(&lost), "").await;
        assert_eq!(answer.status, 410, "{path}: {}", answer.text());
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(problem["title"], "damaged");
        assert!(detail.contains(&lost), "{detail}");
        // A later try would change nothing.
        assert!(!answer.headers.contains_key("retry-after"), "{path}");
        let answer = host.ask(method, &of(&whole), "").await;
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
    }
    assert_eq!(host.items("events").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_names_it_and_has_all_others_whole() {
    let (host, lost, [first, second]) = damaged().await;
    let check = |text: &str| {
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
        assert_eq!(ids, [&json!(lost), &json!(first), &json!(second)]);
        assert!(lines[0]["damaged"].is_string() && lines[0].get("body").is_none());
        assert_eq!(lines[0]["source"], "a");
        assert!(lines[1].get("damaged").is_none());
        assert_eq!([&lines[1]["body"], &lines[2]["body"]], ["first", "second"]);
    };
    let answer = host.ask(Method::GET, "/api/v1/events/export", "").await;
    assert_eq!(answer.status, 200);
    check(&answer.text());
    let mut command = hookbay(&host.folder);
    command.args(["events", "export", "--out", "all.jsonl", "--url"]);
    command.arg(format!("http://{}", host.admin));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("event {lost} is exported without")),
        "{said}"
    );
    assert!(said.contains("1 of the events cannot be read"), "{said}");
    check(&std::fs::read_to_string(host.folder.path().join("all.jsonl")).unwrap());
}
