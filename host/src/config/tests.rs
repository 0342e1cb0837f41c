//! Configurations that are accepted.

use std::time::Duration;

use crate::retry::OnDead;

use super::{
    Config, ConfigError, Database, Environment, JournalPolicy, Overrides, PoolConfig, Retention,
};

mod refusals;
mod signed;

const DAY: Duration = Duration::from_hours(24);

/// What the text gives, as a file in a folder of its own.
fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("secret"), "from-file\n").unwrap();
    Config::load_with(
        Some(&file),
        &Overrides::default(),
        &Environment::of(environment.iter().copied()),
    )
}

#[test]
fn nothing_set_means_the_documented_defaults() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:8081");
    assert!(matches!(&config.database, Database::Sqlite(path) if path.ends_with("hookbay.db")));
    assert!(config.plugins_dir.ends_with("plugins.d") && config.data_dir.ends_with("data"));
    assert_eq!(config.shutdown_grace, Duration::from_secs(30));
    assert_eq!(config.maxima.concurrent_runs, 64);
    assert_eq!(config.lease, Duration::from_secs(15));
    assert!(!config.pooler && !config.allow_unsafe_database);
    assert_eq!(config.max_pending_age, None);
    let retention = Retention {
        events: 30 * DAY,
        history: 30 * DAY,
        quarantine: 7 * DAY,
        quarantine_max_bytes: 1 << 30,
        audit: 365 * DAY,
        max_bytes: 50 << 30,
    };
    assert_eq!(config.retention, retention);
    let pool = PoolConfig {
        connections: 16,
        acquire_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(30),
    };
    assert_eq!(config.pool, pool);
    let plugin = config.plugin(&"any".parse().unwrap());
    assert_eq!((plugin.concurrency, plugin.retry.attempts), (4, 12));
    assert_eq!(plugin.limits.memory_bytes, 64 << 20);
    assert_eq!((plugin.rate, plugin.catch_up), (None, None));
    assert_eq!(plugin.on_dead, OnDead::Skip);
}

#[test]
fn what_concerns_the_store_is_read() {
    let text = r#"
        database = "postgres://me:hunter2@db/hooks?sslmode=require"
        lease = "1m"
        pooler = true
        allow_unsafe_database = true
        max_pending_age = "90d"
        retention = { events = "1h", history = "3650d", quarantine = "1d", audit = "400d", max_bytes = "2TiB" }
        pool = { connections = 2, acquire_timeout = "100ms", statement_timeout = "1h" }
    "#;
    let config = read(text, &[]).unwrap();
    match &config.database {
        Database::Postgres(url) => {
            assert_eq!(url.to_string(), "postgres://me@db/hooks");
            assert!(url.expose().contains(":hunter2@"));
        }
        Database::Sqlite(path) => panic!("{}", path.display()),
    }
    assert_eq!(config.lease, Duration::from_mins(1));
    assert!(config.pooler && config.allow_unsafe_database);
    assert_eq!(config.max_pending_age, Some(90 * DAY));
    let retention = Retention {
        events: Duration::from_hours(1),
        history: 3650 * DAY,
        quarantine: DAY,
        quarantine_max_bytes: 1 << 30,
        audit: 400 * DAY,
        max_bytes: 2 << 40,
    };
    assert_eq!(config.retention, retention);
    let pool = PoolConfig {
        connections: 2,
        acquire_timeout: Duration::from_millis(100),
        statement_timeout: Duration::from_hours(1),
    };
    assert_eq!(config.pool, pool);
    let from_environment = [
        ("HOOKBAY_DATABASE", "postgresql://h/d"),
        ("HOOKBAY_POOL__CONNECTIONS", "3"),
        ("HOOKBAY_RETENTION", r#"{"events": "2d"}"#),
        ("HOOKBAY_POOLER", "false"),
    ];
    let config = read(text, &from_environment).unwrap();
    assert!(
        matches!(&config.database, Database::Postgres(url) if url.expose() == "postgresql://h/d")
    );
    assert_eq!((config.pool.connections, config.pooler), (3, false));
    assert_eq!(config.retention.events, 2 * DAY);
}

#[test]
fn deliveries_are_known_as_long_as_their_events_are_kept() {
    for (top, source, days) in [
        ("", "", 30),
        ("", "dedup_window = '1d'", 30),
        ("", "dedup_window = '60d'", 60),
        ("retention.events = '90d'", "", 90),
        ("retention.events = '90d'", "dedup_window = '60d'", 90),
        ("retention.events = '90d'", "retention = '10d'", 30),
        (
            "retention.events = '90d'",
            "retention = '10d'\ndedup_window = '5d'",
            10,
        ),
        ("", "retention = '400d'", 400),
    ] {
        let text = format!("{top}\n[sources.a]\nprovider = 'none'\n{source}");
        let config = read(&text, &[]).unwrap();
        assert_eq!(config.sources[0].dedup_window, days * DAY, "{text}");
    }
}

#[test]
fn what_orders_and_slows_a_plugin_is_read() {
    let text = r#"
        [plugins.p]
        triggers = [
            { source = "orders", kind = "order.*", ordering_key = "/order/a~1b" },
            { provider = "github", kind = "push" },
        ]
        rate = "3/s"
        on_dead = "block"
        catch_up = "24h"
    "#;
    let plugin = read(text, &[]).unwrap().plugin(&"p".parse().unwrap());
    let keys: Vec<Option<String>> = plugin
        .triggers
        .unwrap()
        .iter()
        .map(|trigger| trigger.ordering_key.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(keys, [Some("/order/a~1b".to_owned()), None]);
    assert_eq!(plugin.rate.unwrap().to_string(), "3/s");
    assert_eq!(plugin.on_dead, OnDead::Block);
    assert_eq!(plugin.catch_up, Some(DAY));
}

#[test]
fn sources_and_plugins_are_read() {
    let text = r#"
        [sources.github]
        provider = "github"
        secret = [{ env = "SECRET" }, { file = "secret" }, "literal"]
        path = "/hooks/old"
        [sources.orders]
        provider = "generic"
        secret = "s"
        timestamp_header = "X-Timestamp"
        kind_header = "X-Event-Type"
        id_pointer = "/id"
        max_body = "1MiB"
        [plugins.orders-to-slack]
        file = "slack-notify.wasm"
        triggers = [{ source = "orders", kind = "order.*" }]
        config = { channel = "ops", depth = 3 }
        limits = { cpu = "50ms" }
        retry = { attempts = 2, first = "1s", factor = 2, max = "1h" }
        concurrency = 9
    "#;
    let config = read(
        text,
        &[("SECRET", "from-env"), ("HOOKBAY_LISTEN", "[::1]:1")],
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:1");
    let keys = config.sources[0].keys.keys().iter();
    let secrets: Vec<&[u8]> = keys.filter_map(|key| key.shared()).collect();
    assert_eq!(secrets, [b"from-env".as_slice(), b"from-file", b"literal"]);
    assert_eq!(config.sources[1].max_body, 1 << 20);
    let kind: Vec<String> = config.sources[1]
        .provider
        .kind
        .selectors()
        .map(ToString::to_string)
        .collect();
    assert_eq!(kind, ["header:x-event-type"]);
    let plugin = config.plugin(&"orders-to-slack".parse().unwrap());
    assert_eq!(plugin.config["depth"], "3");
    assert_eq!(plugin.limits.cpu, Duration::from_millis(50));
    assert_eq!(plugin.limits.memory_bytes, 64 << 20);
    assert_eq!((plugin.concurrency, plugin.retry.attempts), (9, 2));
}

#[test]
fn what_a_plugin_is_granted_is_read() {
    let text = r#"
        [sources.s]
        provider = "github"
        secret = { file = "secret" }
        [plugins.p]
        http.notion = { origin = "https://api.notion.com", secrets = ["TOKEN", "KEY"] }
        http.local = { origin = "http://localhost:9", private = true }
        secrets.TOKEN = { env = "TOKEN" }
        secrets.KEY = { file = "secret" }
        secrets.unused = "a literal"
        journal = "all"
    "#;
    let config = read(text, &[("TOKEN", "from-env")]).unwrap();
    let plugin = config.plugin(&"p".parse().unwrap());
    assert_eq!(plugin.journal, JournalPolicy::All);
    let notion = &plugin.http["notion"];
    assert_eq!(notion.origin.to_string(), "https://api.notion.com");
    assert_eq!((notion.secrets.len(), notion.private), (2, false));
    let local = &plugin.http["local"];
    assert_eq!(local.origin.authority(), "localhost:9");
    assert_eq!((local.secrets.len(), local.private), (0, true));
    let secrets: Vec<_> = plugin
        .secrets
        .iter()
        .map(|(name, secret)| (name.as_str(), secret.expose()))
        .collect();
    let expected = [
        ("KEY", b"from-file".as_slice()),
        ("TOKEN", b"from-env"),
        ("unused", b"a literal"),
    ];
    assert_eq!(secrets, expected);
    let other = config.plugin(&"other".parse().unwrap());
    assert!(other.http.is_empty() && other.secrets.is_empty());
    assert_eq!(other.journal, JournalPolicy::Failures);

    let from_environment = [
        ("TOKEN", "from-env"),
        ("HOOKBAY_PLUGINS__P__SECRETS__TOKEN", "set from outside"),
        ("HOOKBAY_PLUGINS__P__HTTP__LOCAL__PRIVATE", "true"),
    ];
    let plugin = read(text, &from_environment).unwrap();
    let plugin = plugin.plugin(&"p".parse().unwrap());
    assert_eq!(plugin.secrets["TOKEN"].expose(), b"set from outside");
}

#[test]
fn secrets_do_not_print() {
    let config = read(
        "database = 'postgres://me:hunter2@h/d'\n\
         [sources.a]\nprovider = 'github'\nsecret = 'hunter2hunter2'\n\
         [plugins.p]\nsecrets.TOKEN = 'hunter2hunter2'",
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    for wrong in [
        "database = postgres://me:hunter2@h/d",
        "database = 'postgres://me:hunter2@h'",
        "database = 'postgres://me:/hunter2@h'",
        "database = 'me:hunter2@h/d'",
        "database = { url = 'postgres://me:hunter2@h/d' }",
        "[plugins.p]\nsecrets.hidden = 'hunter2'",
        "[plugins.p]\nhttp.a = { origin = 'https://me:hunter2@h' }",
    ] {
        let error = read(wrong, &[]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn the_admin_token_is_one_that_a_request_can_carry() {
    let told = |token: &str| read("", &[("HOOKBAY_ADMIN_TOKEN", token)]);
    for (token, expected) in [
        ("abc", Some("abc")),
        (" abc\n", Some("abc")),
        ("a b", Some("a b")),
        ("", None),
        ("\n", None),
    ] {
        let config = told(token).unwrap();
        let kept = config.admin_token.as_ref().map(|kept| kept.expose());
        assert_eq!(kept, expected.map(str::as_bytes), "{token:?}");
    }
    for token in ["a\nb", "a\tb", "schl\u{fc}ssel"] {
        let error = told(token).unwrap_err();
        assert_eq!(error.problems.len(), 1);
        assert!(error.problems[0].starts_with("HOOKBAY_ADMIN_TOKEN: holds more than"));
        assert!(!error.to_string().contains(token));
    }
}
