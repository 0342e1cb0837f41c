//! Every bound of the sandbox, by reaching it: the attempt ends with its outcome, and nothing
//! else notices.

use serde_json::{Value, json};

use crate::harness::{Folder, Host, eventually, outcomes, push_body};

const CONFIG: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"

[plugins.misbehave]
limits = { cpu = "50ms", wall = "30s", memory = "16MiB" }
retry = { attempts = 1 }

# Bounds other than that of CPU time are reached by calling the host very often.
[plugins.patient]
file = "patient.wasm"
triggers = [{ source = "patient", kind = "**" }]
limits = { cpu = "2s", wall = "30s", memory = "16MiB" }
retry = { attempts = 1 }

[sources.patient]
provider = "none"

[plugins.brief]
file = "brief.wasm"
triggers = [{ source = "brief", kind = "**" }]
limits = { cpu = "30s", wall = "500ms", memory = "16MiB" }
retry = { attempts = 1 }

[sources.brief]
provider = "none"
"#;

/// Does `what` on a host that then has to be as well as before.
async fn reaches(source: &str, rows: &[(Value, &str, &str)]) {
    let folder = Folder::new(CONFIG, &["misbehave", "github-push"]).await;
    for file in ["patient.wasm", "brief.wasm"] {
        crate::components::named("misbehave").place(&folder.plugins_dir(), file);
    }
    let host = Host::over(folder).await;
    for (what, outcome, message) in rows {
        let event = host.send(source, &[], what.to_string()).await.event();
        let run = host.finished(&event).await;
        assert_eq!(
            (&run["state"], outcomes(&run)),
            (&json!("dead"), vec![*outcome]),
            "{what}: {}",
            run["error"]
        );
        assert_eq!(run["error"]["code"], *outcome, "{what}");
        let said = run["error"]["message"].as_str().unwrap();
        assert!(
            said.contains(message),
            "{what}: `{said}` has no `{message}`"
        );

        let event = host.send(source, &[], r#"{"do":"ok"}"#).await.event();
        assert_eq!(
            host.finished(&event).await["state"],
            "succeeded",
            "after {what}"
        );
    }
    let event = host.push("d1", &push_body("a/b", 1)).await.event();
    assert_eq!(host.finished(&event).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_memory() {
    let rows = [
        (json!({ "do": "spin" }), "cpu", "50ms of CPU time"),
        (json!({ "do": "allocate" }), "memory", "16 MiB"),
    ];
    reaches("misbehave", &rows).await;
    let sleep = json!({ "do": "sleep", "ms": 60_000 });
    reaches("brief", &[(sleep, "wall", "500ms of wall time")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traps() {
    let rows = [
        (json!({ "do": "trap" }), "trap", "unreachable"),
        (json!({ "do": "panic" }), "trap", "deliberate panic"),
        (json!({ "do": "exit" }), "trap", "the guest exited"),
        (json!({ "do": "recurse" }), "trap", "stack"),
    ];
    reaches("misbehave", &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_calls() {
    let rows = [
        (json!({ "do": "log_flood" }), "output", "log lines"),
        (json!({ "do": "stdout_flood" }), "output", "log lines"),
        (
            json!({ "do": "big_summary", "bytes": (4 << 10) + 1 }),
            "output",
            "summary",
        ),
        (
            json!({ "do": "big_data", "bytes": (256 << 10) + 1 }),
            "output",
            "data",
        ),
        (json!({ "do": "call_flood" }), "calls", "10000 calls"),
        (json!({ "do": "kv_flood" }), "calls", "10000 calls"),
        (
            json!({ "do": "emit", "kind": "flood", "times": 101 }),
            "calls",
            "100 emitted events",
        ),
        (
            json!({ "do": "print", "text": "x".repeat(128 << 10) }),
            "output",
            "the log",
        ),
    ];
    reaches("patient", &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_within_the_bounds_passes() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    for (what, summary, data) in [
        (json!({ "do": "big_summary", "bytes": 4 << 10 }), 4 << 10, 0),
        (
            json!({ "do": "big_data", "bytes": 256 << 10 }),
            2,
            (256 << 10) - 2,
        ),
        (json!({ "do": "sleep", "ms": 100 }), 2, 0),
    ] {
        let run = host.told(&what).await;
        assert_eq!(run["state"], "succeeded", "{what}: {}", run["error"]);
        assert_eq!(run["summary"].as_str().unwrap().len(), summary, "{what}");
        assert_eq!(
            run["data"].as_str().unwrap_or_default().len(),
            data,
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_nothing_of_the_world() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "env" })).await;
    assert_eq!(run["summary"], "saw nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_prints_is_its_log() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host
        .told(&json!({ "do": "print", "text": "one\ntwo" }))
        .await;
    let logs = run["attempts"][0]["logs"].as_array().unwrap();
    let lines: Vec<(&str, &str)> = logs
        .iter()
        .map(|line| {
            (
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("info", "one"),
            ("info", "two"),
            ("error", "one"),
            ("error", "two")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_kept_as_far_as_it_may_go() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "log_flood" })).await;
    let logs = run["attempts"][0]["logs"].as_array().unwrap();
    assert_eq!(
        (logs.len(), &logs[0]["message"], &logs[0]["fields"]["line"]),
        (1000, &json!("flood"), &json!("0"))
    );
}

/// Of each thread of this process whose name begins so, by how much it stands back
/// (`proc_pid_stat(5)`: the 19th value; the name is in brackets).
fn niceness(of: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end while its folder is read.
        let Ok(stat) = std::fs::read_to_string(thread.unwrap().path().join("stat")) else {
            continue;
        };
        let (name, values) = stat.rsplit_once(") ").unwrap();
        if name.split_once('(').unwrap().1.starts_with(of) {
            found.push(values.split(' ').nth(16).unwrap().parse().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_stand_back_behind_the_door() {
    let door = rustix::process::nice(0).unwrap();
    let host = Host::start(CONFIG, &["misbehave"]).await;
    assert_eq!(
        host.told(&json!({ "do": "ok" })).await["state"],
        "succeeded"
    );
    // What a failed one leaves to do, a guests' thread does while another takes its place.
    for _ in 0..5 {
        host.told(&json!({ "do": "permanent" })).await;
    }
    for (threads, by) in [
        ("hookbay-guest", 5),
        ("hookbay-verifie", 2),
        ("hookbay-compile", 10),
    ] {
        // One that is starting has not said so yet.
        let behind = (door + by).min(19);
        eventually(&format!("`{threads}` stand {by} behind"), async || {
            let found = niceness(threads);
            (!found.is_empty() && found.iter().all(|nice| *nice == behind)).then_some(())
        })
        .await;
    }
}

/// The bill of an attempt is shown with it, and summed per plugin.
#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_has_its_bill() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let run = host.told(&json!({ "do": "kv_mix" })).await;
    let attempt = &run["attempts"][0];
    for part in ["cpu_ms", "memory_bytes", "host_calls_ms"] {
        assert!(attempt[part].as_f64().unwrap() > 0.0, "{part}: {attempt}");
    }
    assert_eq!(attempt["egress_bytes"], 0);
    let metrics = host.ask(reqwest::Method::GET, "/metrics", "").await.text();
    let value = |name: &str| {
        let start = format!("hookbay_{name}{{plugin=\"misbehave\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name}"))
            .parse::<f64>()
            .unwrap()
    };
    for name in ["run_cpu_seconds_total", "run_host_calls_seconds_total"] {
        assert!(value(name) > 0.0, "{name}");
    }
    assert_eq!(value("run_egress_bytes_total"), 0.0);
    assert_eq!(
        value("run_memory_bytes_sum"),
        attempt["memory_bytes"].as_f64().unwrap()
    );
}

/// Guests that nothing ends while the test runs, and a host that stops without them.
const ENDLESS: &str = r#"
shutdown_grace = "10ms"

[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.misbehave]
provider = "none"

[plugins.misbehave]
limits = { cpu = "60s", wall = "60s" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_do_not_end_do_not_hold_up_other_plugins() {
    let host = Host::start(ENDLESS, &["misbehave", "github-push"]).await;
    for _ in 0..4 {
        host.tell(&json!({ "do": "spin" })).await;
        host.tell(&json!({ "do": "sleep", "ms": 60_000 })).await;
    }
    eventually("the plugin's share of slots is taken", async || {
        let plugin = host.get("plugins/misbehave").await;
        (plugin["runs"]["running"].as_i64() >= Some(4)).then_some(())
    })
    .await;
    for n in 0..20 {
        let event = host
            .push(&format!("d{n}"), &push_body("a/b", 1))
            .await
            .event();
        assert_eq!(host.finished(&event).await["state"], "succeeded");
    }
    let runs = host.get("plugins/misbehave").await["runs"].clone();
    assert_eq!(
        (&runs["succeeded"], &runs["dead"]),
        (&json!(0), &json!(0)),
        "they still run"
    );
}
