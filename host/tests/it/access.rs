//! Who may ask what: tokens and their scopes, and the record of what was changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::database::Engine;
use crate::harness::{Folder, Host, TOKEN, eventually};
use crate::http::Answer;
use crate::program::hookbay;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"
"#;

/// What needs which scope: each route that looks, and each that changes something, on
/// things that are not there.
const READ: [(&str, &str); 14] = [
    ("GET", "/metrics"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/events/nonsense"),
    ("GET", "/api/v1/events/nonsense/body"),
    ("GET", "/api/v1/runs"),
    ("GET", "/api/v1/runs/nonsense"),
    ("GET", "/api/v1/plugins"),
    ("GET", "/api/v1/plugins/nobody"),
    ("GET", "/api/v1/plugins/nobody/kv"),
    ("GET", "/api/v1/operations"),
    ("GET", "/api/v1/operations/nonsense"),
    ("GET", "/api/v1/sources"),
    ("GET", "/api/v1/sources/nobody/samples"),
    ("GET", "/api/v1/stats"),
];
const OPERATE: [(&str, &str); 13] = [
    ("POST", "/api/v1/events/nonsense/replay"),
    ("POST", "/api/v1/events/replay"),
    ("POST", "/api/v1/runs/nonsense/retry"),
    ("POST", "/api/v1/runs/nonsense/cancel"),
    ("POST", "/api/v1/runs/retry"),
    ("POST", "/api/v1/plugins/nobody/pause"),
    ("POST", "/api/v1/plugins/nobody/resume"),
    ("POST", "/api/v1/plugins/nobody/rollback"),
    ("POST", "/api/v1/plugins/nobody/unpin"),
    ("POST", "/api/v1/plugins/nobody/forget"),
    ("POST", "/api/v1/plugins/rescan"),
    ("POST", "/api/v1/sources/nobody/samples"),
    ("DELETE", "/api/v1/operations/nonsense"),
];
const ADMIN: [(&str, &str); 4] = [
    ("GET", "/api/v1/tokens"),
    ("GET", "/api/v1/audit"),
    ("POST", "/api/v1/tokens"),
    ("DELETE", "/api/v1/tokens/nobody"),
];

/// Makes a token; its text.
async fn token(host: &Host, name: &str, scope: &str) -> String {
    let answer = create(host, &json!({ "name": name, "scope": scope })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn create(host: &Host, wanted: &Value) -> Answer {
    let wanted = wanted.to_string();
    host.ask(Method::POST, "/api/v1/tokens", &wanted).await
}

async fn ask_with(host: &Host, token: &str, method: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let method = method.parse().unwrap();
    host.ask_as(method, path, &[("authorization", &bearer)], "{")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_scope_and_those_before() {
    let host = Host::start(CONFIG, &[]).await;
    let scopes = ["read", "operate", "admin"];
    for (has, scope) in scopes.iter().enumerate() {
        let token = token(&host, &format!("the-{scope}-one"), scope).await;
        for (needs, routes) in [&READ[..], &OPERATE, &ADMIN].into_iter().enumerate() {
            for (method, path) in routes {
                let answer = ask_with(&host, &token, method, path).await;
                let what = format!("{scope}: {method} {path}: {}", answer.text());
                if needs <= has {
                    assert!(![401, 403].contains(&answer.status), "{what}");
                    continue;
                }
                // Before the path or the body, which is broken, is looked at.
                assert_eq!(answer.status, 403, "{what}");
                let problem = answer.json();
                assert_eq!(problem["title"], "not allowed", "{what}");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(&format!("`{}`", scopes[needs])), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_ends_when_it_is_revoked() {
    let host = Host::start(CONFIG, &[]).await;
    let text = token(&host, "ci", "read").await;
    let (path, good) = ("/api/v1/events", async |text: &str| {
        ask_with(&host, text, "GET", "/api/v1/events").await.status
    });
    assert_eq!(good(&text).await, 200);
    let listed = host.get("tokens").await;
    assert!(!listed.to_string().contains(&text["hookbay_".len()..]));
    let listed = &listed["items"][0];
    assert_eq!(listed["name"], "ci");
    assert_eq!(listed["scope"], "read");
    assert_eq!(listed["created_by"], "bootstrap");
    assert_eq!(listed["expires_at"], Value::Null);
    assert!(listed["last_used_at"].is_string(), "{listed}");
    for wrong in [
        &text[..text.len() - 1],
        &format!("{text}0"),
        &text.to_uppercase(),
        "hookbay_",
        "ci",
    ] {
        assert_eq!(good(wrong).await, 401, "{wrong}");
    }
    let revoke = async |name: &str| {
        let path = format!("/api/v1/tokens/{name}");
        host.ask(Method::DELETE, &path, "").await.status
    };
    assert_eq!(revoke("ci").await, 204);
    assert_eq!(ask_with(&host, &text, "GET", path).await.status, 401);
    assert_eq!(revoke("ci").await, 404);
    // A second one of the name is another token.
    let second = token(&host, "ci", "read").await;
    assert_eq!((good(&text).await, good(&second).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_its_time_is_over() {
    let host = Host::start(CONFIG, &[]).await;
    let soon = host
        .folder
        .clock
        .now()
        .plus(std::time::Duration::from_millis(1500));
    let wanted = json!({ "name": "short", "scope": "read", "expires_at": soon.to_string() });
    let answer = create(&host, &wanted).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    eventually("the token has expired", async || {
        let answer = ask_with(&host, &token, "GET", "/api/v1/events").await;
        (answer.status == 401).then_some(())
    })
    .await;
    assert_eq!(host.items("tokens").await.len(), 1, "it is listed still");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_not_made() {
    let host = Host::start(CONFIG, &[]).await;
    token(&host, "taken", "read").await;
    for (wanted, status) in [
        (json!({ "name": "taken", "scope": "admin" }), 409),
        (json!({ "name": "bootstrap", "scope": "read" }), 400),
        (json!({ "name": "", "scope": "read" }), 400),
        (json!({ "name": "-a", "scope": "read" }), 400),
        (json!({ "name": "A", "scope": "read" }), 400),
        (json!({ "name": "a".repeat(64), "scope": "read" }), 400),
        (json!({ "name": "a", "scope": "root" }), 400),
        (json!({ "name": "a" }), 400),
        (json!({ "name": "a", "scope": "read", "more": 1 }), 400),
        (
            json!({ "name": "a", "scope": "read", "expires_at": "soon" }),
            400,
        ),
        (
            json!({ "name": "a", "scope": "read", "expires_at": "2001-01-01T00:00:00Z" }),
            400,
        ),
    ] {
        let answer = create(&host, &wanted).await;
        assert_eq!(answer.status, status, "{wanted}: {}", answer.text());
    }
    assert_eq!(host.items("tokens").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_noted_and_nothing_else() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let operator = token(&host, "on-call", "operate").await;
    let reader = token(&host, "screen", "read").await;
    for (token, method, path) in [
        (&operator, "POST", "/api/v1/plugins/misbehave/pause"),
        (&operator, "POST", "/api/v1/runs/77/retry"),
        (&reader, "POST", "/api/v1/plugins/misbehave/resume"),
        (&reader, "GET", "/api/v1/plugins/misbehave"),
        (&operator, "GET", "/api/v1/audit"),
        (&operator, "DELETE", "/api/v1/tokens/screen"),
    ] {
        ask_with(&host, token, method, path).await;
    }
    let body = r#"{"filter":{}}"#;
    let begun = host.ask(Method::POST, "/api/v1/events/replay", body).await;
    let operation = format!(
        "operation {}",
        begun.json()["operation_id"].as_str().unwrap()
    );
    let told = |change: &Value| {
        let text = |key: &str| change[key].as_str().unwrap_or("-").to_owned();
        assert_eq!(change["remote_addr"], "127.0.0.1");
        let what = [text("token"), text("action"), text("target")];
        (what.join(" "), change["status"].as_i64().unwrap())
    };
    let changes = host.items("audit").await;
    let changes: Vec<(String, i64)> = changes.iter().map(told).collect();
    let expected = [
        (format!("bootstrap events.replay {operation}"), 202),
        ("on-call tokens.revoke screen".to_owned(), 403),
        ("screen plugins.resume misbehave".to_owned(), 403),
        ("on-call runs.retry 77".to_owned(), 404),
        ("on-call plugins.pause misbehave".to_owned(), 204),
        ("bootstrap tokens.create screen".to_owned(), 201),
        ("bootstrap tokens.create on-call".to_owned(), 201),
    ];
    assert_eq!(changes, expected);
    // Page by page, and what was asked for.
    let first = host.get("audit?limit=3").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = host.items(&format!("audit?cursor={cursor}")).await;
    assert_eq!(rest.iter().map(told).collect::<Vec<_>>(), expected[3..]);
    assert_eq!(host.items("audit?token=screen").await.len(), 1);
    assert_eq!(host.items("audit?action=tokens.create").await.len(), 2);
    assert!(
        host.items("audit?since=2100-01-01T00:00:00Z")
            .await
            .is_empty()
    );
    let wrong = host.ask(Method::GET, "/api/v1/audit?who=me", "").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_one_host_revokes_stops_on_the_others() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &[]).await;
    let beside = folder.beside(CONFIG, &[]);
    let (one, other) = (Host::over(folder).await, Host::over(beside).await);
    let text = token(&one, "ci", "read").await;
    let status = async || {
        ask_with(&other, &text, "GET", "/api/v1/events")
            .await
            .status
    };
    eventually("the other host knows the token", async || {
        (status().await == 200).then_some(())
    })
    .await;
    let revoked = one.ask(Method::DELETE, "/api/v1/tokens/ci", "").await;
    assert_eq!(revoked.status, 204);
    eventually("the other host knows no more of it", async || {
        (status().await == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_the_audit_log_from_a_terminal() {
    let host = Host::start(CONFIG, &[]).await;
    let url = format!("http://{}", host.admin);
    let say = async |token: &str, words: &[&str]| {
        let mut command = hookbay(&host.folder);
        command.args(words).args(["--url", &url]);
        command.env("HOOKBAY_ADMIN_TOKEN", token);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let words = [
        "tokens",
        "create",
        "ci",
        "--scope",
        "read",
        "--expires-in",
        "90d",
    ];
    let (code, made) = say(TOKEN, &words).await;
    assert_eq!(code, Some(0), "{made}");
    let made = made.trim();
    assert!(made.starts_with("hookbay_"), "{made}");
    let (code, said) = say(made, &["events", "list"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = say(made, &["plugins", "rescan"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("needs scope `operate`"), "{said}");
    let (_, said) = say(TOKEN, &["tokens", "list"]).await;
    assert!(
        said.contains("in 89 d") || said.contains("in 90 d"),
        "{said}"
    );
    let (code, _) = say(TOKEN, &["tokens", "revoke", "ci"]).await;
    assert_eq!(code, Some(0));
    let (code, said) = say(made, &["events", "list"]).await;
    assert_eq!(code, Some(1), "{said}");
    let (_, said) = say(TOKEN, &["audit", "list", "--by", "ci", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["items"][0]["action"], "plugins.rescan");
    assert_eq!(said["items"][0]["status"], 403);
    let (_, said) = say(TOKEN, &["audit", "list"]).await;
    assert!(said.contains("tokens.revoke"), "{said}");
}
