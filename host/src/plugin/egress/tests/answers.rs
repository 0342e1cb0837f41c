//! What comes back: bounded in size and time, whole or not at all, and without secrets.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::Fetcher as _;
use super::server::{Server, Step};
use super::{
    Answers, EndpointGrant, Fetch, FetchError, Fetched, HeaderValue, Secrets, TOKEN, egress_to,
    egress_with, fetch, get, grant, text,
};
use crate::plugin::egress::Credential;
use crate::plugin::limits::HTTP_RESPONSE_BODY_MAX;

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

/// What a call to a server with these steps ends with.
async fn answer(steps: Vec<Step>) -> Result<Fetched, FetchError> {
    let server = Server::start(move |_| steps.clone()).await;
    fetch(&egress_to(&server), &get("api")).await
}

fn head(headers: &str) -> Step {
    Step::send(&format!("{HEAD}{headers}\r\n"))
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16)).into_bytes();
    let huge = head("content-length: 1000000000000\r\n");
    for steps in [
        vec![
            head("transfer-encoding: chunked\r\n"),
            Step::SendForever(chunk),
        ],
        vec![huge, Step::SendForever(vec![b'x'; 1 << 16])],
        vec![
            head("connection: close\r\n"),
            Step::SendForever(vec![b'x'; 1 << 16]),
        ],
        // A head that does not end, and one of many headers.
        vec![
            Step::send(HEAD),
            Step::SendForever(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec()),
        ],
        vec![Step::send(HEAD), Step::SendForever(vec![b'x'; 1 << 10])],
        vec![head(&"a: b\r\n".repeat(101)), Step::Stay],
    ] {
        let refused = answer(steps).await.unwrap_err();
        assert_eq!(refused.code(), "too_large", "{refused}");
    }
    for (size, is_taken) in [
        (HTTP_RESPONSE_BODY_MAX, true),
        (HTTP_RESPONSE_BODY_MAX + 1, false),
    ] {
        let answer = answer(vec![Step::ok(&"x".repeat(size))]).await;
        assert_eq!(answer.is_ok_and(|a| a.body.0.len() == size), is_taken);
    }
}

#[tokio::test]
async fn an_answer_is_not_unpacked_and_not_shown_where_it_may_hide_a_secret() {
    for (encoding, length, is_shown) in [
        ("gzip", 3, false),
        ("GZIP, identity", 3, false),
        ("br", 3, false),
        ("identity", 3, true),
        // Nothing is packed in nothing.
        ("gzip", 0, true),
    ] {
        let bytes = [0x1f, 0x8b, 0];
        let headers = format!("content-encoding: {encoding}\r\ncontent-length: {length}\r\n");
        let packed = vec![head(&headers), Step::Send(bytes[..length].to_vec())];
        let server = Server::start(move |_| packed.clone()).await;
        match fetch(&egress_to(&server), &get("api")).await {
            Ok(answer) => assert!(is_shown && answer.body.0 == bytes[..length], "{encoding}"),
            Err(error) => {
                assert!(
                    !is_shown && error.code() == "unavailable",
                    "{encoding}: {error}"
                );
                assert!(error.to_string().contains(encoding), "{error}");
            }
        }
        let api = grant(&format!("http://{}", server.address), true);
        let without_secrets = EndpointGrant {
            secrets: [].into(),
            ..api
        };
        let egress = egress_with(
            &[("api", without_secrets)],
            Secrets::default(),
            Answers::of(&[]),
        );
        let answer = fetch(&egress, &get("api")).await.unwrap();
        assert_eq!(answer.body.0, bytes[..length]);
    }
}

#[tokio::test]
async fn a_slow_server_is_not_waited_for() {
    let silent = vec![Step::Stay];
    let half = vec![
        head("content-length: 9\r\n"),
        Step::send("half"),
        Step::Stay,
    ];
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(3600));
    for steps in [silent, half] {
        let server = Server::start(move |_| steps.clone()).await;
        let egress = egress_to(&server);
        for (own, most) in [(Some(short), long), (Some(long), short), (None, short)] {
            let call = Fetch {
                timeout: own,
                ..get("api")
            };
            let late = egress.fetch(&call, "key", most).await.unwrap_err();
            let says = "endpoint `api`: the answer had not ended after 20 ms";
            assert_eq!(late, FetchError::Timeout(says.to_owned()));
        }
        // What was given up is not kept.
        server.all_closed().await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let closed = vec![Step::Close];
    let half = vec![
        head("content-length: 9\r\n"),
        Step::send("half"),
        Step::Close,
    ];
    let half_chunked = vec![
        head("transfer-encoding: chunked\r\n"),
        Step::send("4\r\nhalf\r\n"),
        Step::Close,
    ];
    let half_head = vec![Step::send("HTTP/1.1 200 OK\r\ncontent-"), Step::Close];
    let not_http = vec![Step::send("SSH-2.0-OpenSSH_9.9\r\n"), Step::Stay];
    let two_lengths = vec![
        head("content-length: 1\r\ncontent-length: 2\r\n"),
        Step::Stay,
    ];
    for steps in [closed, half, half_chunked, half_head, not_http, two_lengths] {
        let failed = answer(steps).await.unwrap_err();
        assert_eq!(failed.code(), "unavailable", "{failed}");
        assert!(
            failed.to_string().starts_with("endpoint `api`: "),
            "{failed}"
        );
    }
    // Nobody listens there any more.
    let server = Server::start(|_| Vec::new()).await;
    let egress = egress_to(&server);
    let says = format!("cannot connect to `{}`", server.address.ip());
    drop(server);
    let failed = fetch(&egress, &get("api")).await.unwrap_err();
    assert_eq!(failed.code(), "unavailable");
    assert!(failed.to_string().contains(&says), "{failed}");
}

#[tokio::test]
async fn a_server_leaves_nothing_behind() {
    let cookie = head("set-cookie: id=1\r\ncontent-length: 0\r\n");
    let server = Server::start(move |_| vec![cookie.clone()]).await;
    let egress = egress_to(&server);
    for _ in 0..2 {
        let answer = fetch(&egress, &get("api")).await.unwrap();
        let expected = ("set-cookie".to_owned(), b"id=1".to_vec().into());
        assert!(answer.headers.contains(&expected));
    }
    let requests = server.requests();
    assert_eq!(requests[0], requests[1]);
    let names: Vec<&str> = requests[0]
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    assert_eq!(names, ["user-agent", "accept-encoding", "host"]);
}

/// A call that sends the secret in a header and in a Basic pair.
fn with_secrets() -> Fetch {
    let bare = HeaderValue::Secret {
        name: "TOKEN".to_owned(),
        prefix: String::new(),
        suffix: String::new(),
    };
    let basic = HeaderValue::Basic {
        user: Credential::Text("user".to_owned()),
        password: Credential::Secret("TOKEN".to_owned()),
    };
    Fetch {
        headers: vec![
            ("x-key".to_owned(), bare),
            ("authorization".to_owned(), basic),
        ],
        ..get("api")
    }
}

/// The value of a header of a request.
fn sent<'a>(request: &'a str, name: &str) -> &'a str {
    let mut lines = request.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap()
}

/// What a server does with the secret that it was sent, before it sends it back.
type Encode = fn(&str) -> String;

const ENCODINGS: [(&str, Encode); 9] = [
    ("plain", str::to_owned),
    ("base64", |secret| STANDARD.encode(secret)),
    ("base64 of a pair", |secret| {
        STANDARD.encode(format!("me:{secret}@host"))
    }),
    ("percent", |secret| {
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect()
    }),
    ("json", |secret| secret.replace('/', "\\/")),
    ("json in ascii", |secret| {
        secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect()
    }),
    ("html", |secret| {
        secret.replace('/', "&#x2F;").replace('?', "&#063;")
    }),
    ("hex", |secret| hex::encode(secret)),
    ("HEX", |secret| hex::encode_upper(secret)),
];

#[tokio::test]
async fn a_secret_that_comes_back_is_not_shown() {
    for (name, encode) in ENCODINGS {
        let server = Server::start(move |request| {
            assert_eq!(sent(request, "x-key"), TOKEN);
            let echo = encode(sent(request, "x-key"));
            // Split in the middle of the secret, in two chunks and two segments.
            let (one, two) = echo.split_at(echo.len() / 2);
            vec![
                head(&format!(
                    "x-echo: <{echo}>\r\ntransfer-encoding: chunked\r\n"
                )),
                Step::send(&format!("{:x}\r\n<{one}\r\n", one.len() + 1)),
                Step::send(&format!("{:x}\r\n{two}>\r\n0\r\n\r\n", two.len() + 1)),
            ]
        })
        .await;
        let answer = fetch(&egress_to(&server), &with_secrets()).await.unwrap();
        let (_, echo) = answer
            .headers
            .iter()
            .find(|(name, _)| name == "x-echo")
            .unwrap();
        for shown in [text(&answer.body.0), text(&echo.0)] {
            let inner = shown.strip_prefix('<').and_then(|s| s.strip_suffix('>'));
            let is_scrubbed = match name {
                // What stands around it in the pair stays.
                "base64 of a pair" => inner.is_some_and(|inner| inner.contains("[secret TOKEN]")),
                _ => inner == Some("[secret TOKEN]"),
            };
            assert!(is_scrubbed, "{name}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_basic_pair_that_comes_back_is_not_shown() {
    let server = Server::start(|request| {
        let echo = sent(request, "authorization");
        vec![Step::ok(echo)]
    })
    .await;
    let answer = fetch(&egress_to(&server), &with_secrets()).await.unwrap();
    let sent_pair = STANDARD.encode(format!("user:{TOKEN}"));
    assert!(server.requests()[0].contains(&format!("authorization: Basic {sent_pair}\r\n")));
    // `user` in base64, and not one character that has a bit of the secret.
    assert_eq!(text(&answer.body.0), "Basic dXNlcj[secret TOKEN]");
}
