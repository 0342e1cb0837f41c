//! Addresses and tokens; the answers are tested against a running host.

use std::path::{Path, PathBuf};

use super::{AdminClient, build_http, find_token, parse_base, path_segment};
use crate::config::AdminAccess;

#[test]
fn only_http_addresses_are_taken() {
    for (url, base) in [
        ("http://127.0.0.1:8081", Some("http://127.0.0.1:8081/")),
        (
            "https://hooks.example.com/admin/?a#b",
            Some("https://hooks.example.com/admin/"),
        ),
        ("127.0.0.1:8081", None),
        ("localhost:8081", None),
        ("ftp://127.0.0.1", None),
        ("", None),
    ] {
        assert_eq!(
            parse_base(url).ok().map(|base| base.to_string()).as_deref(),
            base,
            "{url}"
        );
    }
}

#[test]
fn ids_stay_one_segment() {
    drop(rustls::crypto::ring::default_provider().install_default());
    for (base, id, address) in [
        ("http://h:1", "e1", "http://h:1/api/v1/events/e1?q=a%26b"),
        (
            "http://h:1/",
            "a/b?c#d",
            "http://h:1/api/v1/events/a%2Fb%3Fc%23d?q=a%26b",
        ),
        (
            "http://h:1/prefix",
            "e1",
            "http://h:1/prefix/api/v1/events/e1?q=a%26b",
        ),
    ] {
        let base = parse_base(base).expect("an address");
        let http = build_http(&base, None, "").expect("a client");
        let client = AdminClient {
            http,
            base,
            token_origin: String::new(),
        };
        let parameters = [("kind", None), ("q", Some("a&b"))];
        assert_eq!(
            client.address(&["events", id], &parameters).as_str(),
            address
        );
    }
    for id in ["", ".", ".."] {
        assert!(path_segment(id).is_err(), "{id}");
    }
}

#[test]
fn the_nearest_token_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| -> PathBuf { dir.path().join(name) };
    std::fs::write(file("explicit"), "one\n").expect("a file");
    std::fs::write(file("default"), "three\n").expect("a file");
    let (explicit, default, absent) = (file("explicit"), file("default"), file("absent"));
    for (explicit, token, default, found) in [
        (Some(&explicit), Some("two"), &default, Some("one")),
        (None, Some("two"), &default, Some("two")),
        (None, None, &default, Some("three")),
        (None, None, &absent, None),
    ] {
        let access = AdminAccess {
            url: String::new(),
            token: token.map(str::to_owned),
            token_file: Some(default.clone()),
        };
        let (token, _) = find_token(&access, explicit.map(PathBuf::as_path)).expect("readable");
        assert_eq!(token.as_deref(), found);
    }
    let access = AdminAccess {
        url: String::new(),
        token: Some("two".to_owned()),
        token_file: None,
    };
    let error = find_token(&access, Some(Path::new(&absent))).expect_err("an absent explicit file");
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_bad_token_is_never_shown() {
    let base = parse_base("http://h:1").expect("an address");
    let error = build_http(&base, Some("sec\nret"), "from a file").expect_err("a newline");
    assert!(error.to_string().contains("from a file"), "{error}");
    assert!(!error.to_string().contains("ret"), "{error}");
}
