//! Every way in which a configuration is refused.

use std::path::Path;

use super::super::{Config, Environment, Overrides};
use super::read;

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
        "database = 'postgres://me:secret@h'",
        &["database: names no database; write `postgres://USER:PASSWORD@HOST/DATABASE`"],
    );
    check_refused(
        "database = 'postgres://h:port/d'",
        &["database: is not an address (invalid port number)"],
    );
    check_refused("database = 5", &["database: must be text in quotes"]);
    check_refused(
        "database = 'mysql://h/d'",
        &["database: must be `sqlite://FILE` or `postgres://"],
    );
    check_refused(
        "public_url = 'hooks.example.com'",
        &["public_url: `hooks.example.com` is not of the form https://host"],
    );
    check_refused(
        "shutdown_grace = '5'",
        &["shutdown_grace: `5` is not a duration"],
    );
    check_refused("not toml", &["not TOML"]);
    check_refused("pooler = true\nnot toml", &["not TOML at line 2: "]);
}

#[test]
fn each_problem_of_what_concerns_the_store_names_its_key() {
    for (text, expected) in [
        ("lease = '999ms'", "lease: `999ms` is outside 1s to 10m"),
        ("lease = '11m'", "lease: `11m` is outside 1s to 10m"),
        ("pooler = 'yes'", "pooler: must be `true` or `false`"),
        (
            "allow_unsafe_database = 1",
            "allow_unsafe_database: must be `true` or `false`",
        ),
        (
            "max_pending_age = '59m'",
            "max_pending_age: `59m` is outside 1h to 3650d",
        ),
        ("retention = '30d'", "retention: must be a table"),
        (
            "retention.events = '59m'",
            "retention.events: `59m` is outside 1h to 3650d",
        ),
        (
            "retention.history = '3651d'",
            "retention.history: `3651d` is outside 1h to 3650d",
        ),
        (
            "retention.quarantine = 7",
            "retention.quarantine: must be text",
        ),
        (
            "retention.max_bytes = '1KiB'",
            "retention.max_bytes: `1KiB` is outside 1 MiB to 1024 TiB",
        ),
        (
            "retention.event = '1d'",
            "retention.event: unknown key; did you mean `events`?",
        ),
        (
            "pool.connections = 1",
            "pool.connections: 1 is outside 2 to 200",
        ),
        (
            "pool.connections = 201",
            "pool.connections: 201 is outside 2 to 200",
        ),
        (
            "pool.acquire_timeout = '99ms'",
            "pool.acquire_timeout: `99ms` is outside 100ms to 1m",
        ),
        (
            "pool.statement_timeout = '2h'",
            "pool.statement_timeout: `2h` is outside 1s to 1h",
        ),
        ("pool.size = 3", "pool.size: unknown key"),
    ] {
        check_refused(text, &[expected]);
    }
}

#[test]
fn each_problem_of_a_source_names_its_key() {
    let source = |keys: &str| format!("[sources.a]\n{keys}");
    check_refused(
        &source("provider = 'githb'"),
        &["sources.a.provider: `githb` is not known; did you mean `github`?"],
    );
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
        &source(
            "provider = 'generic'\nsecret = 's'\ntimestamp_header = 't'\ntolerance = 'none'\n\
             tolerance_future = '1m'",
        ),
        &["sources.a.tolerance_future: needs a `tolerance`"],
    );
    check_refused(
        &source("provider = 'contentful'\nsecret = 's'\ntolerance = 'none'"),
        &["sources.a.tolerance: cannot be `none` here"],
    );
    check_refused(
        &source("provider = 'generic'\nsecret = 's'\nalgorithm = 'crc32'"),
        &["sources.a.algorithm: `crc32`"],
    );
    check_refused(
        &source("provider = 'none'\nmax_body = '1GiB'"),
        &["sources.a.max_body: `1GiB` is outside"],
    );
    check_refused(
        &source("provider = 'none'\nretention = '1m'"),
        &["sources.a.retention: `1m` is outside 1h to 3650d"],
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
    check_refused(
        &plugin("triggers = [{ source = 'a', kind = 'b', ordering_key = 'order.id' }]"),
        &["plugins.p.triggers[0].ordering_key: `order.id` is not a JSON Pointer"],
    );
    check_refused(
        &plugin("rate = '0/s'"),
        &["plugins.p.rate: `0/s` is not a rate"],
    );
    check_refused(
        &plugin("rate = '10001/s'"),
        &["plugins.p.rate: `10001/s` is more than 10000 in a second"],
    );
    check_refused(&plugin("rate = 3"), &["plugins.p.rate: must be text"]);
    check_refused(
        &plugin("on_dead = 'stop'"),
        &["plugins.p.on_dead: `stop` is not one of `skip`, `block`"],
    );
    check_refused(
        &plugin("catch_up = '0s'"),
        &["plugins.p.catch_up: `0s` is outside 1s to 3650d"],
    );
    check_refused(
        &plugin("journal = 'some'"),
        &["plugins.p.journal: `some` is not `failures`, `all` or `none`"],
    );
}

#[test]
fn each_problem_of_a_grant_names_its_key() {
    for (keys, expected) in [
        ("http.a = { }", "plugins.p.http.a.origin: is missing"),
        (
            "http.a = { origin = 'https://h/v1' }",
            "plugins.p.http.a.origin: must be `https://HOST`",
        ),
        (
            "http.a = { origin = 'h' }",
            "plugins.p.http.a.origin: is not an address",
        ),
        (
            "http.a = { origin = 'http://h' }",
            "plugins.p.http.a.origin: must be `https`; plain `http` needs `private = true`",
        ),
        (
            "http.a = { origin = 'https://h', private = 1 }",
            "plugins.p.http.a.private: must be `true` or `false`",
        ),
        (
            "http.a = { origin = 'https://h', secret = ['S'] }",
            "plugins.p.http.a.secret: unknown key; did you mean `secrets`?",
        ),
        (
            "http.a = { origin = 'https://h', secrets = 'S' }",
            "plugins.p.http.a.secrets: must be a list of texts",
        ),
        (
            "http.a = { origin = 'https://h', secrets = ['S'] }",
            "plugins.p.http.a.secrets: there is no secret `S` under",
        ),
        ("http.a = 'https://h'", "plugins.p.http.a: must be a table"),
        ("http = 'https://h'", "plugins.p.http: must be a table"),
        (
            "http.'a b' = { origin = 'https://h' }",
            "plugins.p.http.a b: must be named with",
        ),
        (
            "secrets.S = '1234567'",
            "plugins.p.secrets.S: a plugin's secret has 8 to 8192 bytes",
        ),
        (
            "secrets.S = { env = 'GONE' }",
            "plugins.p.secrets.S: environment variable `GONE` is not set",
        ),
        (
            "secrets.S = ['12345678']",
            "plugins.p.secrets.S: must be text, { env = \"NAME\" } or",
        ),
        ("secrets.S = ''", "plugins.p.secrets.S: is empty"),
        (
            "secrets.'S]' = '12345678'",
            "plugins.p.secrets.S]: must be named with",
        ),
        ("secrets = '12345678'", "plugins.p.secrets: must be a table"),
        // Of two things that hang together, only the first is a problem.
        (
            "http.a = { origin = 'https://h', secrets = ['S'] }\nsecrets.S = 'short'",
            "plugins.p.secrets.S: ",
        ),
    ] {
        check_refused(&format!("[plugins.p]\n{keys}"), &[expected]);
    }
    let long = format!("[plugins.p]\nsecrets.S = '{}'", "x".repeat(8193));
    check_refused(&long, &["plugins.p.secrets.S: a plugin's secret has"]);
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

#[test]
fn addresses_and_networks_name_what_is_wrong() {
    for (text, expected) in [
        (
            "trusted_proxies = ['10.0.0.0/33']",
            "trusted_proxies: `10.0.0.0/33` is neither an address nor a network",
        ),
        (
            "trusted_proxies = '10.0.0.0/8'",
            "trusted_proxies: must be a list of texts",
        ),
        (
            "sources.a = { provider = 'none', allow_ips = ['example.com'] }",
            "sources.a.allow_ips: `example.com` is neither an address nor a network",
        ),
        (
            "sources.a = { provider = 'none', allow_ips = [] }",
            "sources.a.allow_ips: is empty, which would refuse everybody",
        ),
    ] {
        check_refused(text, &[expected]);
    }
}

#[test]
fn limits_of_a_source_name_what_is_wrong() {
    for (keys, expected) in [
        ("rate_limit = '5'", "rate_limit: `5` is not a rate"),
        ("rate_limit = 5", "rate_limit: must be text in quotes"),
        ("schema = 'none.json'", "schema: cannot read"),
        ("batch = 'events'", "batch: `events` is not a JSON Pointer"),
        (
            "allow_ips = ['figma']",
            "nor a provider whose addresses are known",
        ),
        ("filter = 'order.*'", "filter: must be a table"),
        (
            "filter = { knd = 'a' }",
            "filter.knd: is no condition: use `kind`",
        ),
        (
            "filter = { kind = [] }",
            "filter.kind: must be a kind, or a list of kinds",
        ),
        (
            "filter = { kind = 'a..b' }",
            "filter.kind: kind pattern `a..b` has an empty segment",
        ),
        ("filter = { '/a' = {} }", "filter./a: says nothing"),
        (
            "filter = { '/a' = { gtt = 1 } }",
            "filter./a.gtt: is no test: use `eq`",
        ),
        (
            "filter = { '/a' = { gt = true } }",
            "filter./a.gt: must be a number, a text or a date",
        ),
        (
            "filter = { '/a' = { exists = 1 } }",
            "filter./a.exists: must be `true` or `false`",
        ),
        (
            "filter = { '/a' = [[1]] }",
            "filter./a: must be text, a number",
        ),
        ("filter = { any = [] }", "filter.any: is empty"),
        (
            "filter = { any = [{ not = 5 }] }",
            "filter.any[0].not: must be a table",
        ),
    ] {
        let text = format!("[sources.a]\nprovider = 'none'\n{keys}");
        check_refused(&text, &[expected]);
    }
}
