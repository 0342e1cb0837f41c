//! What becomes a request, and what is refused.

use super::{
    Blob, Bytes, Fetch, FetchError, Full, HTTP_PATH_MAX, HTTP_REQUEST_BODY_MAX, Request, Value,
};
use crate::config::{EndpointGrant, Secret};
use crate::plugin::egress::Credential;
use crate::plugin::secrets::Secrets;

const KEY: &str = "event-1:plugin";

fn fetch() -> Fetch {
    Fetch {
        endpoint: "api".to_owned(),
        path: "/v1/pages?a=b".to_owned(),
        method: "POST".to_owned(),
        headers: Vec::new(),
        body: None,
        timeout: None,
        idempotency_header: None,
    }
}

fn plain(name: &str, value: impl Into<Vec<u8>>) -> (String, Value) {
    (name.to_owned(), Value::Plain(Blob(value.into())))
}

fn bearer(name: &str) -> (String, Value) {
    let value = Value::Secret {
        name: name.to_owned(),
        prefix: "Bearer ".to_owned(),
        suffix: ";v=1".to_owned(),
    };
    ("Authorization".to_owned(), value)
}

fn basic(user: Credential, password: Credential) -> (String, Value) {
    ("Authorization".to_owned(), Value::Basic { user, password })
}

fn text(text: &str) -> Credential {
    Credential::Text(text.to_owned())
}

fn secret(name: &str) -> Credential {
    Credential::Secret(name.to_owned())
}

/// The request for an endpoint that is granted `TOKEN` and `BROKEN`, but not `OTHER`.
fn request(fetch: &Fetch) -> Result<Request<Full<Bytes>>, FetchError> {
    let grant = EndpointGrant {
        origin: "https://api.example:8443".parse().unwrap(),
        secrets: ["TOKEN", "BROKEN", "GONE"].map(str::to_owned).into(),
        private: false,
    };
    let secrets = [
        ("TOKEN", "hunter2-hunter2"),
        ("OTHER", "other-other-other"),
        ("BROKEN", "hunter2\r\nX-Evil: 1"),
    ];
    let named = secrets.map(|(name, value)| (name.to_owned(), Secret::new(value)));
    super::request(fetch, &grant, &Secrets::new(&named.into()), KEY)
}

fn with_headers(headers: Vec<(String, Value)>) -> Fetch {
    Fetch { headers, ..fetch() }
}

#[track_caller]
fn check_refused(fetch: &Fetch, code: &str, says: &str) {
    let error = request(fetch).expect_err(says);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_request_goes_to_the_granted_origin_by_the_given_path() {
    for path in [
        "/",
        "/v1/pages?a=b",
        "/@user/x",
        "/a@b:80/c",
        "/a//b",
        "/.well-known/x",
        "/...",
        "/a?next=../..&u=https://evil.example/",
        "/%2Fevil.example/%40",
        "/:8080/",
    ] {
        let request = request(&Fetch {
            path: path.to_owned(),
            ..fetch()
        });
        let uri = request.unwrap().uri().clone();
        assert_eq!(uri.scheme_str(), Some("https"), "{path}");
        let authority = uri.authority().unwrap();
        assert_eq!(authority.as_str(), "api.example:8443", "{path}");
        assert_eq!(uri.path_and_query().unwrap().as_str(), path);
    }
}

#[test]
fn a_path_that_may_lead_elsewhere_is_refused() {
    for path in [
        "",
        "v1",
        "@evil.example/",
        ":80/",
        ".evil.example/",
        "https://evil.example/",
        "?a",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/a\\..\\b",
        "/..",
        "/../x",
        "/a/../../x",
        "/a/.",
        "/%2e%2e/x",
        "/a/.%2E/x?b",
        "/%2E",
        "/a b",
        "/a\tb",
        "/a\r\nHost: evil.example",
        "/a\0",
        "/a\u{7f}",
        "/ä",
        "/a#b",
    ] {
        let fetch = Fetch {
            path: path.to_owned(),
            ..fetch()
        };
        check_refused(&fetch, "invalid", "the path");
    }
    let path = format!("/{}", "a".repeat(HTTP_PATH_MAX));
    check_refused(&Fetch { path, ..fetch() }, "too_large", "the path");
}

#[test]
fn methods_are_in_capitals_and_for_servers() {
    for (method, says) in [
        ("GET", None),
        ("POST", None),
        ("PATCH", None),
        ("DELETE", None),
        ("PURGE", None),
        ("M-SEARCH", None),
        ("CONNECT", Some("for proxies")),
        ("TRACE", Some("for proxies")),
        ("get", Some("in capitals")),
        ("", Some("in capitals")),
        ("GET /evil HTTP/1.1\r\n", Some("in capitals")),
    ] {
        let fetch = Fetch {
            method: method.to_owned(),
            ..fetch()
        };
        match says {
            None => assert_eq!(request(&fetch).unwrap().method(), method),
            Some(says) => check_refused(&fetch, "invalid", says),
        }
    }
}

#[test]
fn headers_go_as_they_are_given() {
    let fetch = Fetch {
        idempotency_header: Some("Idempotency-Key".to_owned()),
        ..with_headers(vec![
            plain("X-One", "1"),
            plain("x-one", "2"),
            plain("X-Bytes", b"\xe4\xf6\t".to_vec()),
        ])
    };
    let made = request(&fetch).unwrap();
    let headers = made.headers();
    let ones: Vec<_> = headers.get_all("x-one").iter().collect();
    assert_eq!(ones, ["1", "2"]);
    assert_eq!(headers["x-bytes"].as_bytes(), b"\xe4\xf6\t");
    assert_eq!(headers["idempotency-key"], KEY);
    let ours = headers["user-agent"].to_str().unwrap();
    assert!(ours.starts_with("hookbay/"), "{ours}");
    assert_eq!(headers["accept-encoding"], "identity");
    assert_eq!(headers.len(), 6);
    let own = with_headers(vec![plain("User-Agent", "mine")]);
    assert_eq!(request(&own).unwrap().headers()["user-agent"], "mine");
}

#[test]
fn headers_that_are_not_the_guests_are_refused() {
    for name in [
        "Accept-Encoding",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Proxy-Authorization",
        "PROXY-CONNECTION",
    ] {
        let given = with_headers(vec![plain(name, "x")]);
        check_refused(&given, "invalid", "is the host's to set");
        let asked_for = Fetch {
            idempotency_header: Some(name.to_owned()),
            ..fetch()
        };
        check_refused(&asked_for, "invalid", "is the host's to set");
    }
    let twice = Fetch {
        idempotency_header: Some("x-key".to_owned()),
        ..with_headers(vec![plain("X-Key", "mine")])
    };
    check_refused(&twice, "invalid", "`x-key` is given");
}

#[test]
fn headers_that_are_none_are_refused() {
    for name in ["", "a b", "a:b", "a\r\nb", "ä", "a\0"] {
        check_refused(&with_headers(vec![plain(name, "x")]), "invalid", "name");
    }
    for value in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\u{7f}"] {
        let headers = vec![plain("x-a", value)];
        check_refused(&with_headers(headers), "invalid", "header `x-a`");
    }
    let many = vec![plain("a", "b"); 101];
    check_refused(&with_headers(many), "too_large", "number of headers");
    let long = vec![plain("a", "b".repeat(40 << 10)); 2];
    check_refused(&with_headers(long), "too_large", "request's headers");
}

#[test]
fn secrets_are_filled_in_where_they_are_granted() {
    let base64 = "Basic dXNlcjpodW50ZXIyLWh1bnRlcjI=";
    for (header, expected) in [
        (bearer("TOKEN"), "Bearer hunter2-hunter2;v=1"),
        (basic(text("user"), secret("TOKEN")), base64),
        // As Stripe and others want it: the secret, and no password.
        (
            basic(secret("TOKEN"), text("")),
            "Basic aHVudGVyMi1odW50ZXIyOg==",
        ),
    ] {
        let request = request(&with_headers(vec![header])).unwrap();
        let value = &request.headers()["authorization"];
        assert_eq!(value, expected);
        assert!(value.is_sensitive() && !format!("{request:?}").contains("hunter2"));
    }
}

#[test]
fn secrets_are_not_filled_in_elsewhere() {
    // Not granted to the endpoint, not to the plugin, and one that the endpoint names only.
    for name in ["OTHER", "NONE", "GONE", "token"] {
        for header in [
            bearer(name),
            basic(text("user"), secret(name)),
            basic(secret(name), text("")),
        ] {
            let says = format!("secret `{name}` is not granted to this endpoint");
            check_refused(&with_headers(vec![header]), "denied", &says);
        }
    }
}

#[test]
fn secrets_that_would_break_a_header_are_refused() {
    for header in [
        bearer("BROKEN"),
        basic(text("user"), secret("BROKEN")),
        basic(text("us:er"), secret("TOKEN")),
        basic(text("us\ner"), secret("TOKEN")),
    ] {
        check_refused(&with_headers(vec![header]), "invalid", "control character");
    }
}

#[test]
fn a_part_of_an_answer_is_not_asked_for_where_secrets_go() {
    let part = with_headers(vec![plain("Range", "bytes=0-3")]);
    check_refused(&part, "denied", "answers as a whole");
    let without_secrets = EndpointGrant {
        origin: "https://api.example".parse().unwrap(),
        secrets: [].into(),
        private: false,
    };
    let made = super::request(&part, &without_secrets, &Secrets::default(), KEY).unwrap();
    assert_eq!(made.headers()["range"], "bytes=0-3");
}

#[test]
fn bodies_have_a_bound() {
    let with_body = |size| Fetch {
        body: Some(Blob(vec![b'x'; size])),
        ..fetch()
    };
    assert!(request(&with_body(HTTP_REQUEST_BODY_MAX)).is_ok());
    let over = with_body(HTTP_REQUEST_BODY_MAX + 1);
    check_refused(&over, "too_large", "the request's body");
}
