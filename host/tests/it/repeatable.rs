//! A hundred recorded attempts of each plugin in the repository come out the same when they
//! are executed again, with no host, no database and no network: also of plugins that are
//! written after this test.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use hookbay::clock::Clock;
use hookbay::config::{Maxima, provider};
use hookbay::plugin::{JournalFile, Loaded, PluginHost, Role};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::components;
use crate::harness::{Host, push_body};

const ATTEMPTS: usize = 100;
/// Outcomes of which the issue says that they are not executed again.
const OF_TIME: [&str; 2] = ["cpu", "wall"];

/// A service that answers everything, in turn as services do.
async fn service(serving: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let n = Arc::new(AtomicUsize::new(0));
    let answer = move || {
        let n = n.fetch_add(1, Ordering::Relaxed);
        let status = [200, 200, 201, 200, 204, 404, 200, 429, 200, 500][n % 10];
        let body = json!({ "ok": true, "id": format!("id-{n}"), "results": [], "n": n });
        std::future::ready((
            StatusCode::from_u16(status).unwrap(),
            [("content-type", "application/json"), ("retry-after", "1")],
            body.to_string(),
        ))
    };
    serving.spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .unwrap();
    });
    address
}

/// The sources and grants of some plugins: all that each wants, all of it at `service`.
fn config(plugins: &[(String, Arc<Loaded>)], service: SocketAddr) -> String {
    let mut toml = String::new();
    for (name, loaded) in plugins {
        let wants = &loaded.manifest.wants;
        let secrets: Vec<String> = wants.secrets.iter().map(|want| want.name.clone()).collect();
        let table = format!(
            "[sources.{name}]\nprovider = \"none\"\nkind_header = \"x-kind\"\n\
             [plugins.{name}]\ntriggers = [{{ source = \"{name}\", kind = \"**\" }}]\n\
             retry = {{ attempts = 1 }}\njournal = \"all\"\nconcurrency = 8\n\
             limits = {{ cpu = \"10s\", wall = \"60s\" }}\n"
        );
        toml.push_str(&table);
        for want in &wants.endpoints {
            let name = &want.name;
            let grant = format!(
                "http.{name} = {{ origin = \"http://{service}\", private = true, secrets = {secrets:?} }}\n"
            );
            toml.push_str(&grant);
        }
        for secret in &secrets {
            writeln!(toml, "secrets.{secret} = \"a secret for {secret}\"").unwrap();
        }
        for want in &wants.config {
            writeln!(toml, "config.{} = \"value\"", want.name).unwrap();
        }
    }
    toml
}

/// Kind and body of the n-th event for a plugin: what the providers of its triggers send, and
/// now and then what nobody sends.
fn event(loaded: &Loaded, n: usize) -> (String, Vec<u8>) {
    let triggers = &loaded.manifest.triggers;
    let providers = triggers
        .iter()
        .filter_map(|trigger| trigger.provider.as_deref());
    let samples: Vec<_> = providers
        .filter_map(provider::entry)
        .flat_map(|entry| entry.samples)
        .collect();
    if n % 10 == 9 {
        return ("unknown".to_owned(), b"{}".to_vec());
    }
    if samples.is_empty() || n % 10 == 8 {
        let body = push_body(&format!("octo/{}", n % 7), n);
        return ("push".to_owned(), body);
    }
    let sample = &samples[n % samples.len()];
    let body = sample
        .body
        .replace("{{id}}", &format!("id-{n}"))
        .replace("{{kind}}", &sample.kind);
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(mut fields)) => {
            fields.insert("n".to_owned(), json!(n));
            Value::Object(fields).to_string()
        }
        _ => body,
    };
    (sample.kind.clone(), body.into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_attempts_of_each_plugin_come_out_the_same() {
    let bench = PluginHost::start(Maxima::default(), Clock::system(), None).unwrap();
    let mut plugins = Vec::new();
    for name in components::plugins() {
        let loaded = bench
            .load(&components::named(&name).0.into())
            .await
            .unwrap();
        if loaded.role() == Role::Plugin {
            plugins.push((name, Arc::new(loaded)));
        }
    }
    assert!(plugins.iter().any(|(name, _)| name == "github-push"));
    let mut serving = JoinSet::new();
    let service = service(&mut serving).await;
    let names: Vec<&str> = plugins.iter().map(|(name, _)| name.as_str()).collect();
    let host = Host::start(&config(&plugins, service), &names).await;

    let mut journals = Vec::new();
    for (name, loaded) in &plugins {
        let mut runs = Vec::new();
        for n in 0..ATTEMPTS {
            let (kind, body) = event(loaded, n);
            let sent = host.send(name, &[("x-kind", &kind)], body).await;
            runs.push(host.only_run(&sent.event()).await);
        }
        for id in runs {
            let settled = ["succeeded", "dead", "cancelled"];
            let run = crate::harness::eventually(&format!("{name} has run"), async || {
                let run = host.get(&format!("runs/{id}")).await;
                settled
                    .iter()
                    .any(|state| run["state"] == *state)
                    .then_some(run)
            })
            .await;
            let attempts = run["attempts"].as_array().unwrap();
            // What others wrote meanwhile is the store's word, not the guest's.
            let attempt = attempts.iter().find(|one| one["outcome"] != "conflict");
            let attempt = attempt.unwrap();
            let outcome = attempt["outcome"].as_str().unwrap();
            assert!(!OF_TIME.contains(&outcome), "{name}: {run}");
            let path = format!("/api/v1/runs/{id}/attempts/{}/journal", attempt["n"]);
            journals.push((name, host.ask(Method::GET, &path, "").await.json()));
        }
    }
    drop(host.stop().await);
    serving.shutdown().await;

    assert_eq!(journals.len(), plugins.len() * ATTEMPTS);
    for (name, journal) in journals {
        let (_, plugin) = plugins.iter().find(|(of, _)| of == name).unwrap();
        let bytes = journal.to_string().into_bytes();
        let (file, event, recording) = JournalFile::read(&bytes).unwrap();
        let again = bench
            .rerun(Arc::clone(plugin), Arc::new(event), recording)
            .await;
        assert_eq!(file.difference(&again), None, "{name}: {journal}");
    }
}
