//! Whom a sample is for, and what is sent.

use std::path::Path;

use super::recipient::{Choice, Recipient, read_secret};
use super::{Args, prepare};
use crate::clock::Timestamp;
use crate::config::{Config, Environment, Overrides, Secret};
use crate::ingest::scheme::key::Credential;

const CONFIG: &str = "
listen = '0.0.0.0:9000'
[sources.a-first]
provider = 'github'
secret = ['one', 'two']
[sources.b-second]
provider = 'github'
secret = 'three'
[sources.orders]
provider = 'generic'
secret = 'four'
kind_header = 'X-Kind'
timestamp_header = 'X-Time'
";

fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookbay.toml");
    std::fs::write(&file, text).unwrap();
    Config::load_with(Some(&file), &Overrides::default(), &Environment::default()).unwrap()
}

fn choose(
    text: &str,
    provider: &str,
    source: Option<&str>,
    to: Option<&str>,
    secret: Option<&str>,
) -> Result<Recipient, String> {
    let choice = Choice {
        provider,
        source,
        to,
        secret: secret.map(|text| Credential::Text(Secret::new(text))),
    };
    choice
        .recipient(&config(text))
        .map_err(|error| error.to_string())
}

#[test]
fn the_recipient_is_the_source_that_fits() {
    let other = Some("http://h/x?y=1");
    for (provider, source, to, secret, expected) in [
        (
            "github",
            None,
            None,
            None,
            ("http://127.0.0.1:9000/webhooks/a-first", "one"),
        ),
        (
            "github",
            Some("b-second"),
            None,
            None,
            ("http://127.0.0.1:9000/webhooks/b-second", "three"),
        ),
        (
            "github",
            Some("b-second"),
            other,
            Some("five"),
            ("http://h/x?y=1", "five"),
        ),
        ("generic", None, other, None, ("http://h/x?y=1", "four")),
    ] {
        let chosen = choose(CONFIG, provider, source, to, secret).unwrap();
        let secret = chosen.keys.keys().first().and_then(|key| key.shared());
        assert_eq!(
            (chosen.url.as_str(), secret),
            (expected.0, Some(expected.1.as_bytes()))
        );
    }
    let unconfigured = choose("", "github", None, other, Some("five")).unwrap();
    assert_eq!(unconfigured.url.as_str(), "http://h/x?y=1");
    let unproven = choose("", "none", None, other, None).unwrap();
    assert!(unproven.keys.keys().is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let other = Some("http://h/x");
    for (text, provider, source, to, secret, problem) in [
        (
            "",
            "github",
            None,
            None,
            Some("s"),
            "nowhere to send to; pass --to",
        ),
        (
            "",
            "github",
            None,
            other,
            None,
            "no secret to sign with; pass --source or --secret-file",
        ),
        (
            "",
            "none",
            None,
            None,
            None,
            "nowhere to send to; pass --to",
        ),
        (
            "",
            "gitlap",
            None,
            other,
            Some("s"),
            "`gitlap` is not known; did you mean `gitlab`?",
        ),
        (
            CONFIG,
            "github",
            Some("c"),
            None,
            None,
            "no source `c` is configured; there are: a-first",
        ),
        (
            CONFIG,
            "github",
            Some("orders"),
            None,
            None,
            "has the provider `generic`, not `github`",
        ),
        (
            CONFIG,
            "github",
            None,
            Some("h:1"),
            None,
            "`h:1` is not of the form",
        ),
    ] {
        let refused = choose(text, provider, source, to, secret).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
}

fn args(provider: &str, kind: Option<&str>, body: Option<&Path>) -> Args {
    Args {
        provider: provider.to_owned(),
        kind: kind.map(str::to_owned),
        source: None,
        to: None,
        body: body.map(Path::to_owned),
        secret_file: None,
        print: false,
    }
}

#[test]
fn deliveries_carry_what_the_provider_sends() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    for (provider, kind, expected) in [
        (
            "github",
            None,
            [
                "x-github-event",
                "push",
                "x-github-delivery",
                "x-hub-signature-256",
            ],
        ),
        // The action is in the body.
        (
            "github",
            Some("pull_request.closed"),
            [
                "x-github-event",
                "pull_request",
                "x-github-delivery",
                "x-hub-signature-256",
            ],
        ),
        (
            "generic",
            Some("order.paid"),
            ["x-kind", "order.paid", "x-time", "x-webhook-signature"],
        ),
    ] {
        let recipient = choose(CONFIG, provider, None, None, None).unwrap();
        let delivery = prepare(&recipient, &args(provider, kind, None), now).unwrap();
        let [kind_header, kind, ..] = expected;
        assert_eq!(delivery.headers[kind_header], kind);
        for name in &expected[2..] {
            assert!(delivery.headers.contains_key(*name), "{name}");
        }
        assert_eq!(delivery.id.is_some(), provider == "github");
    }
}

#[test]
fn a_file_is_sent_unchanged_and_a_secret_is_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "s3cret\r\n\n").unwrap();
    let recipient = choose(CONFIG, "github", None, None, None).unwrap();
    let args = args("github", Some("star"), Some(&file));
    let delivery = prepare(&recipient, &args, Timestamp::default()).unwrap();
    assert_eq!(delivery.body, b"s3cret\r\n\n");
    let secret = Credential::Text(Secret::new("s3cret"));
    assert_eq!(read_secret(&file).unwrap(), secret);
    std::fs::write(&file, "\n").unwrap();
    assert!(read_secret(&file).is_err());
}
