//! Journals: what an attempt called is kept by policy, shown, and executed again with
//! nothing but the file.

use reqwest::Method;
use serde_json::{Value, json};

use crate::components;
use crate::harness::{Folder, Host};
use crate::program::hookbay;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
limits = { cpu = "2s", wall = "30s", memory = "16MiB" }
retry = { attempts = 1 }
journal = "all"

[plugins.failures]
file = "failures.wasm"
triggers = [{ source = "failures", kind = "**" }]
retry = { attempts = 1 }
limits = { cpu = "50ms" }

[plugins.silent]
file = "silent.wasm"
triggers = [{ source = "silent", kind = "**" }]
retry = { attempts = 1 }
journal = "none"

[sources.failures]
provider = "none"

[sources.silent]
provider = "none"
"#;

async fn start() -> Host {
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    for file in ["failures.wasm", "silent.wasm"] {
        components::named("misbehave").place(&folder.plugins_dir(), file);
    }
    Host::over(folder).await
}

/// Does something, and gives the run and the answer for its journal.
async fn journal_of(host: &Host, source: &str, what: &Value) -> (Value, Value) {
    let event = host.send(source, &[], what.to_string()).await.event();
    let run = host.finished(&event).await;
    let run = host
        .get(&format!("runs/{}", run["id"].as_str().unwrap()))
        .await;
    let path = format!(
        "/api/v1/runs/{}/attempts/1/journal",
        run["id"].as_str().unwrap()
    );
    let answer = host.ask(Method::GET, &path, "").await;
    (run, answer.json())
}

/// Executes a journal again: whether it came out identical, and what was said.
async fn rerun(folder: &Folder, journal: &Value) -> (bool, String) {
    let file = folder.path().join("journal.json");
    std::fs::write(&file, journal.to_string()).unwrap();
    let mut command = hookbay(folder);
    let plugin = folder.plugins_dir().join("misbehave.wasm");
    command.args(["plugin", "run"]).arg(plugin).arg("--journal");
    command.arg(file);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_attempt_comes_out_the_same() {
    let host = start().await;
    let mut journals = Vec::new();
    host.send(
        "misbehave",
        &[],
        r#"{"do":"kv_set","key":"mix/a","value":"old"}"#,
    )
    .await;
    for (what, outcome, has_calls) in [
        (json!({"do": "dice"}), "succeeded", true),
        (json!({"do": "kv_mix"}), "succeeded", true),
        (json!({"do": "kv_mix"}), "succeeded", true),
        (
            json!({"do": "emit", "kind": "a.b", "times": 3}),
            "succeeded",
            true,
        ),
        (json!({"do": "echo"}), "succeeded", false),
        (
            json!({"do": "print", "text": "said\nand done"}),
            "succeeded",
            false,
        ),
        (json!({"do": "retry", "after_ms": 5}), "retry", false),
        (json!({"do": "permanent"}), "permanent", false),
        (json!({"do": "panic"}), "trap", false),
        (json!({"do": "exit"}), "trap", false),
        (json!({"do": "allocate"}), "memory", false),
        (json!({"do": "recurse"}), "trap", false),
        (json!({"do": "log_flood"}), "output", true),
        (json!({"do": "call_flood"}), "calls", true),
    ] {
        let (run, journal) = journal_of(&host, "misbehave", &what).await;
        assert_eq!(run["attempts"][0]["outcome"], outcome, "{what}");
        let calls = journal["journal"]["calls"].as_array();
        let calls = calls.unwrap_or_else(|| panic!("{what}: {journal}"));
        assert_eq!(!calls.is_empty(), has_calls, "{what}");
        journals.push((what, journal));
    }
    // With neither host nor database.
    let folder = host.stop().await;
    for (what, journal) in journals {
        let (is_same, said) = rerun(&folder, &journal).await;
        assert!(is_same && said.starts_with("identical: "), "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of differences")]
async fn the_first_difference_is_named() {
    let host = start().await;
    let (_, journal) = journal_of(&host, "misbehave", &json!({"do": "kv_mix"})).await;
    let folder = host.stop().await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut journal = journal.clone();
        change(&mut journal);
        journal
    };
    for (what, journal, said) in [
        (
            "another call",
            changed(&|file| file["journal"]["calls"][2]["request"]["key"] = json!("mix/z")),
            vec![
                "first difference at call 3",
                "mix/z",
                "now:      {\"call\":\"kv.delete\",\"request\":{\"key\":\"mix/a\"}}",
            ],
        ),
        (
            "another answer",
            changed(&|file| file["journal"]["calls"][1]["response"] = json!({"value": "7"})),
            vec!["first difference at call 2", "the answer"],
        ),
        (
            "a call too few",
            changed(&|file| {
                file["journal"]["calls"].as_array_mut().unwrap().pop();
            }),
            vec!["no further call", "log.write"],
        ),
        (
            "a call too many",
            changed(&|file| {
                let calls = file["journal"]["calls"].as_array_mut().unwrap();
                calls.push(calls[0].clone());
            }),
            vec!["the end of the attempt"],
        ),
        (
            "a look at a clock too many",
            changed(&|file| file["journal"]["wall_ns"] = json!([1, 2])),
            vec!["2 looks at the wall clock", "now:      0"],
        ),
        (
            "another end",
            changed(&|file| file["ended"]["summary"] = json!("42")),
            vec!["the calls are the same", "summary Some(\"42\")"],
        ),
        (
            "another log",
            changed(&|file| file["ended"]["logs"][0][1] = json!("blended")),
            vec!["blended", "mixed"],
        ),
        (
            "not all there",
            changed(&|file| file["journal"]["incomplete"] = json!("it is too long")),
            vec!["cannot be executed again", "it is too long"],
        ),
        (
            "ended by time",
            changed(&|file| file["ended"]["outcome"] = json!("wall")),
            vec!["cannot be executed again", "`wall`"],
        ),
        (
            "of another form",
            changed(&|file| file["journal"]["format"] = json!(99)),
            vec!["form 99"],
        ),
    ] {
        let (is_same, output) = rerun(&folder, &journal).await;
        assert!(!is_same, "{what}");
        for said in said {
            assert!(output.contains(said), "{what}: `{said}` is not in {output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_are_kept_by_policy() {
    let host = start().await;
    let set = json!({"do": "kv_set", "key": "a", "value": "b"});
    let fail = json!({"do": "kv_write_then_fail", "key": "a", "value": "b"});
    for (source, what, is_kept) in [
        ("misbehave", &set, true),
        ("failures", &set, false),
        ("failures", &fail, true),
        ("silent", &set, false),
        ("silent", &fail, false),
    ] {
        let (run, journal) = journal_of(&host, source, what).await;
        let attempt = &run["attempts"][0];
        let calls = attempt["journal"].as_array().unwrap();
        assert_eq!(!calls.is_empty(), is_kept, "{source} {what}");
        assert_eq!(attempt["journal_size_bytes"] != 0, is_kept);
        if is_kept {
            assert_eq!(calls[0]["call"], "kv.set");
            assert_eq!(calls[0]["request"], json!({"key": "a", "value": "b"}));
            assert_eq!(calls[0]["response"], "done");
            assert!(calls[0]["started_ms"].is_f64() && calls[0]["duration_ms"].is_f64());
            assert_eq!(journal["ended"]["outcome"], attempt["outcome"]);
        } else {
            assert_eq!(journal["status"], 409, "{journal}");
            assert!(
                journal["detail"]
                    .as_str()
                    .unwrap()
                    .contains("kept no journal")
            );
        }
    }
    let (_, spin) = journal_of(&host, "failures", &json!({"do": "spin"})).await;
    let unknown = host
        .ask(Method::GET, "/api/v1/runs/1/attempts/9/journal", "")
        .await;
    assert_eq!(unknown.json()["status"], 404);
    let folder = host.stop().await;
    let (is_same, said) = rerun(&folder, &spin).await;
    assert!(!is_same && said.contains("`cpu`"), "{said}");
}
