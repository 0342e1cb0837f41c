//! Verifier plugins: what the door does with their answers, and with those that give none.
//! The guest `misverify` takes requests whose `x-token` is a secret of the source's, after it
//! has done what the first word of the body asks for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::components;
use crate::harness::{Folder, Host, eventually};
use crate::http::Answer;
use crate::program::hookbay;

const CONFIG: &str = r#"
    [sources.acme]
    provider = "plugin:misverify"
    secret = ["old secret", "new secret"]
    [sources.open]
    provider = "none"
    [plugins.misverify]
    limits = { memory = "16MiB", cpu = "100ms" }
"#;

async fn host() -> Host {
    Host::start(CONFIG, &["misverify", "github-push"]).await
}

async fn send(host: &Host, token: &str, body: &str) -> Answer {
    host.send("acme", &[("x-token", token), ("x-id", body)], body)
        .await
}

async fn failures(host: &Host, reason: &str) -> bool {
    let line = format!("verification_failures_total{{source=\"acme\",reason=\"{reason}\"}} ");
    let metrics = host.ask(Method::GET, "/metrics", "").await;
    metrics.text().contains(&line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_says_who_is_genuine() {
    let host = host().await;
    let accepted = send(&host, "new secret", "order").await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let event = host.get(&format!("events/{}", accepted.event())).await;
    assert_eq!(event["kind"], "asked.order");
    assert_eq!(event["provider"], "plugin:misverify");
    assert_eq!(event["delivery_id"], "order");
    // What the verifier calls a credential is kept nowhere.
    let token = json!(["x-token", "[verified]"]);
    assert!(event["headers"].as_array().unwrap().contains(&token));
    // A verifier gets no events.
    assert_eq!(event["runs"], json!([]));

    assert_eq!(send(&host, "old secret", "order").await.status, 200);
    for forged in ["", "new secre", "new  secret", "none"] {
        let refused = send(&host, forged, "other").await;
        assert_eq!(refused.status, 401, "{forged}: {}", refused.text());
    }
    let refused = host.send("acme", &[], "other").await;
    assert_eq!(refused.status, 401);
    assert!(failures(&host, "wrong_signature").await);
    assert!(failures(&host, "missing_signature").await);

    let sources = host.items("sources").await;
    let acme = sources
        .iter()
        .find(|source| source["name"] == "acme")
        .unwrap();
    assert_eq!(acme["covers_body"], false);
    for secret in acme["secrets"].as_array().unwrap() {
        assert_ne!(secret["last_matched_at"], Value::Null, "{acme}");
    }
    let plugin = host.get("plugins/misverify").await;
    assert_eq!(
        (&plugin["role"], &plugin["state"]),
        (&json!("verifier"), &json!("active"))
    );
    assert_eq!(host.get("plugins/github-push").await["role"], "plugin");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_signing_is_compared_with_that_of_receipt() {
    let host = host().await;
    let now = host.folder.clock.now().millis();
    for (at, status) in [
        (now, 202),
        (now - 299_000, 202),
        (now - 400_000, 401),
        (now + 400_000, 401),
    ] {
        let answer = send(&host, "new secret", &format!("order {at}")).await;
        assert_eq!(answer.status, status, "{at}: {}", answer.text());
    }
    assert!(failures(&host, "stale_timestamp").await);
    assert!(failures(&host, "future_timestamp").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_verifier_nobody_is_called_a_forger() {
    let host = host().await;
    assert_eq!(host.post("plugins/misverify/pause").await.status, 204);
    let paused = eventually("it is asked no more", async || {
        let answer = send(&host, "new secret", "order").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_ne!(paused.header("retry-after"), "");
    assert_eq!(host.post("plugins/misverify/resume").await.status, 204);
    eventually("it is asked again", async || {
        (send(&host, "new secret", "again").await.status == 202).then_some(())
    })
    .await;

    std::fs::remove_file(host.folder.plugins_dir().join("misverify.wasm")).unwrap();
    host.rescan().await;
    for token in ["new secret", "forged"] {
        assert_eq!(send(&host, token, "order").await.status, 503);
    }
    assert!(failures(&host, "verifier_paused").await);
    assert!(failures(&host, "verifier_missing").await);
    assert!(!failures(&host, "wrong_signature").await);

    // A plugin for events takes no verifier's place: the version before goes on.
    let plugin = components::named("github-push");
    host.install(&plugin, "misverify.wasm").await;
    let entry = host.get("plugins/misverify").await;
    let said = entry["candidate"]["problem"].to_string();
    assert!(said.contains("is a plugin and was a verifier"), "{entry}");
    assert_eq!(send(&host, "forged", "order").await.status, 401);
    assert_eq!(send(&host, "new secret", "again").await.status, 200);
}

/// Nor does a verifier take a plugin's, whose runs would have nobody to execute them.
#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_gets_no_events() {
    let triggers = "triggers = [{ source = 'open', kind = '**' }]";
    let config = CONFIG.replace(
        "[plugins.misverify]",
        &format!("[plugins.misverify]\n{triggers}"),
    );
    let host = Host::start(&config, &["misverify", "github-push"]).await;
    let problem = async |plugin: &str| {
        let entry = host.get(&format!("plugins/{plugin}")).await;
        entry["candidate"]["problem"].to_string()
    };
    let said = problem("misverify").await;
    assert!(
        said.contains("remove `plugins.misverify.triggers`"),
        "{said}"
    );
    host.install(&components::named("misverify"), "github-push.wasm")
        .await;
    let said = problem("github-push").await;
    assert!(said.contains("is a verifier and was a plugin"), "{said}");
    assert_eq!(host.get("plugins/github-push").await["role"], "plugin");

    let host = Host::start(CONFIG, &["misverify"]).await;
    let event = host.send("open", &[], "{}").await.event();
    let body = r#"{"plugin":"misverify"}"#;
    let path = format!("/api/v1/events/{event}/replay");
    let refused = host.ask(Method::POST, &path, body).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let body = r#"{"filter":{},"plugin":"misverify"}"#;
    let refused = host.ask(Method::POST, "/api/v1/events/replay", body).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_verifier_does_is_no_verdict() {
    let host = host().await;
    for (word, code) in [
        ("spin", "verifier_cpu"),
        ("sleep", "verifier_wall"),
        ("grow", "verifier_memory"),
        ("trap", "verifier_trap"),
        ("exit", "verifier_trap"),
        ("recursion", "verifier_trap"),
        ("flood", "verifier_calls"),
        ("handles", "verifier_calls"),
        ("stdout", "verifier_output"),
        ("unproved", "verifier_unproved"),
        ("not-hex", "verifier_trap"),
    ] {
        // Also with a token that would have been right.
        for token in ["forged", "new secret"] {
            let answer = send(&host, token, word).await;
            assert_eq!(answer.status, 503, "{word}: {}", answer.text());
        }
        assert!(failures(&host, code).await, "{word}: no `{code}`");
        // The next request, and another source, notice nothing.
        let next = send(&host, "new secret", &format!("after-{word}")).await;
        assert_eq!(next.status, 202, "{word}: {}", next.text());
        assert_eq!(host.send("open", &[], word).await.status, 202);
    }
    assert!(!failures(&host, "wrong_signature").await);
    assert_eq!(host.get("plugins/misverify").await["state"], "active");
}

/// One that takes all its time for every request keeps no other source's waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_verifier_is_slow_for_itself_alone() {
    let both = r#"
        [sources.other]
        provider = "plugin:other"
        secret = "a secret"
        [plugins.other]
        file = "other.wasm"
    "#;
    let folder = Folder::new(&format!("{CONFIG}{both}"), &["misverify"]).await;
    components::named("misverify")
        .numbered(1)
        .place(&folder.plugins_dir(), "other.wasm");
    let host = Host::over(folder).await;
    let flood = (0..64).map(|_| send(&host, "forged", "sleep"));
    let flood = futures_util::future::join_all(flood);
    let others = async {
        for n in 0..20 {
            let answer = host
                .send("other", &[("x-token", "a secret")], format!("order-{n}"))
                .await;
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    };
    let (flooded, ()) = futures_util::future::join(flood, others).await;
    assert!(flooded.iter().all(|answer| answer.status == 503));
    assert!(failures(&host, "verifier_wall").await);
    assert!(failures(&host, "verifier_busy").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_learns_and_does_the_same_every_time() {
    let folder = host().await.stop().await;
    let say = |word: &str| {
        let request = json!({"url": "/webhooks/acme", "body": word}).to_string();
        let file = folder.path().join("request.json");
        std::fs::write(&file, request).unwrap();
        let output = hookbay(&folder)
            .args([
                "--config",
                "hookbay.toml",
                "verify",
                "plugin:misverify",
                "--source",
                "acme",
            ])
            .args(["--request", "request.json", "--at", "1700000000", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["message"].as_str().unwrap().to_owned()
    };
    let clock = say("clock");
    assert!(clock.starts_with("receipt=true order={"), "{clock}");
    assert_eq!(say("clock"), clock);
    let learnt = say("leak");
    let six = hex::encode("old secret");
    for secret in ["old secret", "new secret", &six] {
        assert!(!learnt.contains(secret), "{learnt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_its_verifier_is_found_before_it_is_needed() {
    for (plugins, code, said) in [
        (&["misverify"][..], 0, "2 sources, 1 plugin"),
        (
            &[],
            1,
            "no file in `plugins_dir` is the verifier `misverify`",
        ),
    ] {
        let folder = Folder::new(CONFIG, plugins).await;
        let output = hookbay(&folder)
            .args(["--config", "hookbay.toml", "check"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(said), "{text}");
    }
}

/// RFC 9421 appendix B.2.3, by the real example and in the real sandbox.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_verifies_what_the_rfc_prints() {
    let key = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2\n+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+\noAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq\ngDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W\nUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4\naOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI\n2wIDAQAB\n-----END PUBLIC KEY-----\n";
    let folder = Folder::new("", &["http-message-signatures"]).await;
    let secret = json!({ "public_key": key }).to_string();
    let verdict = |at: &str, body: &str| {
        let request = json!({
            "method": "POST",
            "url": "https://example.com/foo?param=Value&Pet=dog",
            "headers": {
                "Host": "example.com",
                "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
                "Content-Type": "application/json",
                "Content-Digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
                "Content-Length": "18",
                "Signature-Input": "sig-b23=(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"",
                "Signature": "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
            },
            "body": body,
        });
        std::fs::write(folder.path().join("request.json"), request.to_string()).unwrap();
        let output = hookbay(&folder)
            .args([
                "--config",
                "hookbay.toml",
                "verify",
                "plugin:http-message-signatures",
            ])
            .args([
                "--request",
                "request.json",
                "--secret",
                &secret,
                "--at",
                at,
                "--json",
            ])
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["code"].as_str().unwrap().to_owned()
    };
    let body = r#"{"hello": "world"}"#;
    assert_eq!(verdict("1618884475", body), "genuine");
    assert_eq!(
        verdict("1618884475", r#"{"hello": "World"}"#),
        "altered_body"
    );
    assert_eq!(verdict("1618885000", body), "stale_timestamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_nobody_can_judge_says_that_and_of_nothing_that_it_is_too_many() {
    let host = host().await;
    assert_eq!(send(&host, "forged", "order").await.status, 401);
    let refused = eventually("it is set aside", async || {
        host.items("quarantine").await.pop()
    })
    .await;
    std::fs::remove_file(host.folder.plugins_dir().join("misverify.wasm")).unwrap();
    host.rescan().await;
    let id = refused["id"].as_str().unwrap();
    let answer = host.post(&format!("quarantine/{id}/release")).await;
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["title"]),
        (503, &json!("unavailable")),
        "{said}"
    );
    let detail = said["detail"].as_str().unwrap();
    assert!(detail.starts_with("nobody can say now"), "{said}");
    assert_ne!(answer.header("retry-after"), "");
}
