//! Configurations that are accepted, and every way in which one is refused.

use std::path::Path;
use std::time::Duration;

use super::{Config, ConfigError, Database, Environment, Overrides};

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

#[track_caller]
fn check_refused(text: &str, expected: &[&str]) {
    let error = read(text, &[]).unwrap_err();
    assert_eq!(error.problems.len(), expected.len(), "{text}\n{error}");
    for (problem, expected) in error.problems.iter().zip(expected) {
        assert!(
            problem.contains(expected),
            "`{problem}` does not say `{expected}`"
        );
    }
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
    let plugin = config.plugin(&"any".parse().unwrap());
    assert_eq!((plugin.concurrency, plugin.retry.attempts), (4, 12));
    assert_eq!(plugin.limits.memory_bytes, 64 << 20);
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
    let secrets: Vec<&[u8]> = config.sources[0]
        .secrets
        .iter()
        .map(super::Secret::expose)
        .collect();
    assert_eq!(secrets, [b"from-env".as_slice(), b"from-file", b"literal"]);
    assert_eq!(config.sources[1].max_body, 1 << 20);
    assert_eq!(
        config.sources[1].provider.kind.header.as_deref(),
        Some("x-event-type")
    );
    let plugin = config.plugin(&"orders-to-slack".parse().unwrap());
    assert_eq!(plugin.config["depth"], "3");
    assert_eq!(plugin.limits.cpu, Duration::from_millis(50));
    assert_eq!(plugin.limits.memory_bytes, 64 << 20);
    assert_eq!((plugin.concurrency, plugin.retry.attempts), (9, 2));
}

#[test]
fn secrets_do_not_print() {
    let config = read(
        "[sources.a]\nprovider = 'github'\nsecret = 'hunter2hunter2'",
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn each_problem_names_its_key() {
    check_refused(
        "lisen = 'a'",
        &["lisen: unknown key; did you mean `listen`?"],
    );
    check_refused("listen = 'here'", &["listen: "]);
    check_refused(
        "listen = 8080",
        &["listen: must be text in quotes, not integer"],
    );
    check_refused(
        "admin_listen = '0.0.0.0:8081'",
        &["admin_listen: `0.0.0.0:8081` can be reached from elsewhere"],
    );
    check_refused(
        "database = 'postgres://h/d'",
        &["database: Postgres is not supported"],
    );
    check_refused(
        "database = 'mysql://h/d'",
        &["database: must be `sqlite://FILE`"],
    );
    check_refused(
        "public_url = 'https://x'",
        &["public_url: is not supported by this version"],
    );
    check_refused(
        "shutdown_grace = '5'",
        &["shutdown_grace: `5` is not a duration"],
    );
    check_refused("not toml", &["not TOML"]);
}

#[test]
fn each_problem_of_a_source_names_its_key() {
    let source = |keys: &str| format!("[sources.a]\n{keys}");
    check_refused(&source("secret = 's'"), &["sources.a.provider: is missing"]);
    check_refused(
        &source("provider = 'nope'"),
        &["sources.a.provider: `nope` is not known"],
    );
    check_refused(
        &source("provider = 'github'"),
        &["sources.a.secret: is missing"],
    );
    check_refused(
        &source("provider = 'none'\nsecret = 's'"),
        &["sources.a.secret: is never used"],
    );
    check_refused(
        &source("provider = 'github'\nsecret = ''"),
        &["sources.a.secret: is empty"],
    );
    check_refused(
        &source("provider = 'github'\nsecret = { env = 'GONE' }"),
        &["`GONE` is not set"],
    );
    check_refused(
        &source("provider = 'github'\nsecret = { file = 'gone' }"),
        &["cannot read secret file"],
    );
    check_refused(
        &source("provider = 'generic'\nsecret = 's'\nsigned = '{timestamp}'"),
        &["sources.a.signed: "],
    );
    check_refused(
        &source("provider = 'generic'\nsecret = 's'\nsigned = '{timestamp}.{body}'"),
        &["which needs `timestamp_header`"],
    );
    check_refused(
        &source("provider = 'generic'\nsecret = 's'\nalgorithm = 'md5'"),
        &["sources.a.algorithm: `md5`"],
    );
    check_refused(
        &source("provider = 'none'\nmax_body = '1GiB'"),
        &["sources.a.max_body: `1GiB` is outside"],
    );
    check_refused(
        &source("provider = 'none'\npath = '/readyz'"),
        &["sources.a.path: "],
    );
    check_refused("[sources.A]\nprovider = 'none'", &["`A` is not a name"]);
    check_refused(
        "[sources.a]\nprovider = 'none'\npath = '/x'\n[sources.b]\nprovider = 'none'\npath = '/x'",
        &["sources.b.path: another source has `/x` too"],
    );
}

#[test]
fn each_problem_of_a_plugin_names_its_key() {
    let plugin = |keys: &str| format!("[plugins.p]\n{keys}");
    check_refused(
        &plugin("limits = { memory = '1GiB' }"),
        &["plugins.p.limits.memory: `1GiB` is outside"],
    );
    check_refused(
        &plugin("concurrency = 0"),
        &["plugins.p.concurrency: 0 is outside 1 to 1024"],
    );
    check_refused(
        &plugin("triggers = [{ kind = 'a' }]"),
        &["plugins.p.triggers[0].source: "],
    );
    check_refused(
        &plugin("triggers = [{ source = 'a', kind = '**.b' }]"),
        &["before its end", "is missing"],
    );
    check_refused(&plugin("file = '../x.wasm'"), &["plugins.p.file: "]);
}

#[test]
fn all_problems_are_named_at_once() {
    let error = read("listen = 1\nlimits = { cpu = 'x' }\nwhat = 2", &[]).unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn a_named_file_must_exist() {
    let missing = Path::new("no/such/hookbay.toml");
    let error = Config::load_with(
        Some(missing),
        &Overrides::default(),
        &Environment::default(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no/such/hookbay.toml: cannot read")
    );
}
