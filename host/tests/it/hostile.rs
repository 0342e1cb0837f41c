//! Components made by hand to break the host, each in a place that no compiler lets a plugin
//! reach: every one ends as its own outcome, and neither its next event, nor another plugin,
//! nor the host's memory notices. Once on all processors, once on a single one.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::{Folder, eventually, outcomes};
use crate::program::Program;

mod component;
mod rows;

use component::MARKED_BYTES;
use rows::{Row, demanding, greedy, unloadable};

/// How much larger the host may be after all of it: a few slots keep their pages.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// A source and a plugin for each, and one that behaves.
fn config(rows: &[Row]) -> String {
    let mut toml = String::from("[sources.misbehave]\nprovider = \"none\"\n");
    for Row { name, cpu, .. } in rows {
        let table = format!(
            "[sources.{name}]\nprovider = \"none\"\n\
             [plugins.{name}]\ntriggers = [{{ source = \"{name}\", kind = \"**\" }}]\n\
             limits = {{ cpu = \"{cpu}\", wall = \"60s\", memory = \"16MiB\" }}\n\
             retry = {{ attempts = 1 }}\nconfig.ok = \"a value\"\n"
        );
        toml.write_str(&table).unwrap();
    }
    toml
}

async fn finished(host: &Program, source: &str, body: Vec<u8>) -> Value {
    let event = host.send_bytes(source, body).await.event();
    let run = eventually(&format!("{source} has run"), async || {
        let event = host.get(&format!("events/{event}")).await;
        let run = event["runs"][0].clone();
        ["succeeded", "dead"]
            .iter()
            .any(|state| run["state"] == *state)
            .then_some(run)
    })
    .await;
    host.get(&format!("runs/{}", run["id"].as_str().unwrap()))
        .await
}

/// Has one done, and looks around after it; what is not as it should be.
async fn problem_of(host: &Program, row: &Row) -> Option<String> {
    let mut body = vec![b' '; MARKED_BYTES];
    body[0] = b'h';
    let run = finished(host, row.name, body).await;
    let error = &run["error"];
    if run["state"] != "dead" || outcomes(&run) != [row.outcome] {
        return Some(format!("ended {:?}: {error}", outcomes(&run)));
    }
    let said = error["message"].as_str().unwrap();
    if !said.contains(row.message) || said.contains('\n') {
        return Some(format!("said `{said}`"));
    }
    if !row.always {
        let run = finished(host, row.name, b"ok".to_vec()).await;
        if run["state"] != "succeeded" {
            return Some(format!("its next event: {}", run["error"]));
        }
    }
    let other = finished(host, "misbehave", br#"{"do":"ok"}"#.to_vec()).await;
    (other["state"] != "succeeded").then(|| format!("another plugin: {}", other["error"]))
}

async fn survives(rows: Vec<Row>, start: impl AsyncFnOnce(&Folder) -> Program) {
    let folder = Folder::new(&config(&rows), &["misbehave"]).await;
    for row in &rows {
        let file = format!("{}.wasm", row.name);
        row.hostile.component().place(&folder.plugins_dir(), &file);
    }
    let host = start(&folder).await;
    for Row { name, .. } in &rows {
        let plugin = host.get(&format!("plugins/{name}")).await;
        assert_eq!(plugin["state"], "active", "{name}: {}", plugin["error"]);
    }
    // Every slot is taken once before it is measured.
    for _ in 0..16 {
        finished(&host, "misbehave", br#"{"do":"ok"}"#.to_vec()).await;
    }
    let before = host.resident_bytes();
    let mut problems = Vec::new();
    for row in rows.iter().chain(&rows) {
        let problem = problem_of(&host, row).await;
        problems.extend(problem.map(|problem| format!("{}: {problem}", row.name)));
    }
    assert_eq!(problems, [""; 0]);
    eventually("the host is as small as before", async || {
        (host.resident_bytes() <= before + GROWTH_BYTES_MAX).then_some(())
    })
    .await;
    let attempts = host.metrics().await;
    for Row { name, outcome, .. } in rows {
        let line = format!("hookbay_attempts_total{{plugin=\"{name}\",outcome=\"{outcome}\"}} 2");
        assert!(attempts.contains(&line), "no `{line}`");
    }
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_time_and_memory() {
    survives(greedy(), Program::start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_time_and_memory_on_one_processor() {
    survives(greedy(), Program::start_on_one_processor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_too_much() {
    survives(demanding(), Program::start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_too_much_on_one_processor() {
    survives(demanding(), Program::start_on_one_processor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_loaded() {
    let folder = Folder::new(&config(&[]), &["misbehave"]).await;
    for (name, hostile, _) in unloadable() {
        let file = format!("{name}.wasm");
        hostile.component().place(&folder.plugins_dir(), &file);
    }
    let host = Program::start_on_one_processor(&folder).await;
    let mut problems = Vec::new();
    for (name, _, why) in unloadable() {
        let plugin = host.get(&format!("plugins/{name}")).await;
        let said = plugin["error"].as_str().unwrap_or_default();
        if plugin["state"] != "broken" || !said.contains(why) || said.contains('\n') {
            problems.push(format!("{name}: {} `{said}`", plugin["state"]));
        }
    }
    assert_eq!(problems, [""; 0]);
    let run = finished(&host, "misbehave", br#"{"do":"ok"}"#.to_vec()).await;
    assert_eq!(run["state"], "succeeded");
    assert_eq!(host.terminate().await, Some(0));
}
