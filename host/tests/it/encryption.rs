//! Encryption at rest: what the database holds, and what everybody else sees.

use hookbay::config::{Config, Environment, Overrides};
use reqwest::Method;
use serde_json::json;

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

mod missing;

pub(crate) const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const NEW: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Long enough to be compressed, not so regular that nothing of it is left.
const MARK: &str = "4929-1234-5678-9012";

fn toml(keys: &[&str]) -> String {
    let keys = line_of(keys);
    format!("{keys}\n[sources.misbehave]\nprovider = 'none'\n")
}

/// The line of a configuration that has the keys.
pub(crate) fn line_of(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("'{key}'")).collect();
    format!("encryption.keys = [{}]", keys.join(", "))
}

/// The same folder with other keys.
pub(crate) fn set_keys(folder: &Folder, keys: &[&str]) {
    let before = std::fs::read_to_string(folder.config_file()).unwrap();
    let lines = before.lines().map(|line| match line {
        line if line.starts_with("encryption.keys") => line_of(keys),
        line => line.to_owned(),
    });
    let after: Vec<String> = lines.collect();
    std::fs::write(folder.config_file(), after.join("\n")).unwrap();
}

/// How many events the database holds so that a stranger reads the mark in them.
async fn legible(host: &Host) -> i64 {
    let holds = match Engine::of_hosts() {
        Engine::Sqlite => format!("instr(request, cast('{MARK}' as blob)) > 0"),
        Engine::Postgres | Engine::Pooled => format!("position('{MARK}'::bytea in request) > 0"),
    };
    number(host, &holds).await
}

/// How many events fulfil a condition.
async fn number(host: &Host, condition: &str) -> i64 {
    let count = format!("select count(*) from events where {condition}");
    let folder = &host.folder;
    folder.database.number_in(folder.path(), count).await
}

async fn body(host: &Host, event: &str) -> (u16, String) {
    let path = format!("/api/v1/events/{event}/body");
    let answer = host.ask(Method::GET, &path, "").await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_holds_nothing_that_can_be_read_and_everybody_else_all_of_it() {
    let host = Host::start(&toml(&[OLD]), &["misbehave"]).await;
    let sent = json!({ "do": "emit", "kind": MARK, "times": 2 }).to_string();
    let event = host
        .send("misbehave", &[("x-card", MARK)], sent.clone())
        .await
        .event();
    let run = host.finished(&event).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(body(&host, &event).await, (200, sent));
    let shown = host.get(&format!("events/{event}")).await;
    assert!(shown["headers"].to_string().contains(MARK));
    // What a plugin emits is stored the same way.
    assert_eq!(host.items("events").await.len(), 3);
    assert_eq!(legible(&host).await, 0);
    assert_eq!(number(&host, "header_bytes >= 0").await, 0);
    let replayed = host.post(&format!("events/{event}/replay")).await;
    assert_eq!(replayed.status, 202, "{}", replayed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_is_encrypted_too() {
    let signed = "[sources.signed]\nprovider = 'github'\nsecret = 'a long enough secret'\n";
    let host = Host::start(&format!("{}{signed}", toml(&[OLD])), &[]).await;
    let refused = host.send("signed", &[("x-card", MARK)], MARK).await;
    assert_eq!(refused.status, 401);
    let id = refused.json()["request_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/quarantine/{id}");
    let shown = eventually("it is set aside", async || {
        let answer = host.ask(Method::GET, &path, "").await;
        (answer.status == 200).then(|| answer.text())
    })
    .await;
    assert!(shown.contains("x-card"), "{shown}");
    let folder = &host.folder;
    for (condition, expected) in [("header_bytes < 0", 1), ("header_bytes >= 0", 0)] {
        let count = format!("select count(*) from quarantine where {condition}");
        let found = folder.database.number_in(folder.path(), count).await;
        assert_eq!(found, expected, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exchanged_and_a_missing_one_is_named() {
    let folder = Folder::new(&toml(&[OLD]), &["misbehave"]).await;
    let host = Host::over(folder).await;
    let sent = json!({ "do": "ok", "mark": MARK }).to_string();
    let first = host.send("misbehave", &[], sent.clone()).await.event();
    let folder = host.stop().await;
    set_keys(&folder, &[NEW, OLD]);
    let host = Host::over(folder).await;
    let second = host.send("misbehave", &[], sent.clone()).await.event();
    for event in [&first, &second] {
        assert_eq!(body(&host, event).await, (200, sent.clone()));
    }
    let folder = host.stop().await;
    set_keys(&folder, &[NEW]);
    let host = Host::over(folder).await;
    assert_eq!(body(&host, &second).await.0, 200);
    let (status, said) = body(&host, &first).await;
    assert_eq!(status, 503);
    assert!(
        said.contains("which `encryption.keys` does not have"),
        "{said}"
    );
    assert_eq!(legible(&host).await, 0);
    // Lists do not need it.
    assert_eq!(host.items("events").await.len(), 2);
}

#[test]
fn what_is_no_key_is_a_problem_that_does_not_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    let problem = |keys: &str| {
        std::fs::write(&file, format!("[encryption]\n{keys}")).unwrap();
        let read = Config::load_with(Some(&file), &Overrides::default(), &Environment::default());
        read.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(problem(&format!("keys = '{OLD}'")), "");
    assert_eq!(problem(&format!("keys = ['{NEW}', '{OLD}']")), "");
    for (keys, expected) in [
        ("", "encryption.keys: is missing"),
        ("keys = []", "encryption.keys: is missing"),
        ("keys = 'c2hvcnQ='", "encryption.keys[0]: is not 32 bytes"),
        (
            "keys = 'my password'",
            "encryption.keys[0]: is not 32 bytes",
        ),
        (
            "keys = { env = 'NOT_SET' }",
            "encryption.keys[0]: environment variable",
        ),
        (
            &format!("keys = ['{OLD}', '{OLD}']"),
            "encryption.keys[1]: is there twice",
        ),
        (
            &format!("keys = '{OLD}'\nkey = 'x'"),
            "encryption.key: unknown key",
        ),
    ] {
        let said = problem(keys);
        assert!(said.contains(expected), "`{expected}` is not in `{said}`");
        assert!(!said.contains("password") && !said.contains(OLD), "{said}");
    }
}
