//! What is not taken: forged, broken, too large. Each is one changed thing away from a genuine
//! request, and leaves nothing behind.

use std::net::SocketAddr;

use crate::harness::{Host, SECRET, push_body};
use crate::http::raw;
use crate::signing::{Headers, github_headers, hmac_sha256, with, without};

const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"
path = "/hooks/old-address"

[sources.small]
provider = "generic"
secret = "small-secret"
max_body = "64KiB"
"#;

/// One request to `github`, and what is expected of it.
#[derive(Clone)]
struct Row {
    what: &'static str,
    headers: Headers,
    body: Vec<u8>,
    status: u16,
    title: &'static str,
}

fn signed(body: &[u8]) -> Headers {
    github_headers(SECRET, "push", "0b989ba4-242f-11e5-81e1-c7b6966d2516", body)
}

fn forged(what: &'static str, headers: Headers, body: &[u8]) -> Row {
    let body = body.to_vec();
    Row {
        what,
        headers,
        body,
        status: 401,
        title: "not verified",
    }
}

/// A genuine push whose signature header reads otherwise.
fn forged_signatures() -> Vec<Row> {
    let body = push_body("Codertocat/Hello-World", 3);
    let digits = hmac_sha256(SECRET, &body);
    let reads = |what, value: &str| {
        forged(
            what,
            with(signed(&body), "x-hub-signature-256", value),
            &body,
        )
    };
    let unsigned = without(signed(&body), "x-hub-signature-256");
    // Its value does not matter where the other header is missing.
    let sha1 = "sha1=26c9dbd8ae2ba3d7a4e6a1f9e8d7a40b4f8f9b8a";
    vec![
        reads("truncated", &format!("sha256={}", &digits[..63])),
        reads("empty", ""),
        reads("only the prefix", "sha256="),
        reads("no prefix", &digits),
        reads("an upper-case prefix", &format!("SHA256={digits}")),
        reads(
            "upper-case digits",
            &format!("sha256={}", digits.to_uppercase()),
        ),
        reads("a space more", &format!("sha256= {digits}")),
        forged("twice", [signed(&body), signed(&body)].concat(), &body),
        forged("no signature", unsigned.clone(), &body),
        forged("no headers at all", Vec::new(), &body),
        forged(
            "SHA-1 only",
            with(unsigned.clone(), "x-hub-signature", sha1),
            &body,
        ),
        forged(
            "under another name",
            with(unsigned, "x-webhook-signature", &format!("sha256={digits}")),
            &body,
        ),
    ]
}

/// A body under the signature of another.
fn forged_bodies() -> Vec<Row> {
    let body = push_body("Codertocat/Hello-World", 3);
    let mut flipped = body.clone();
    flipped[10] ^= 1;
    let other_secret = github_headers("It's a secret to everybody", "push", "1", &body);
    vec![
        forged("one bit flipped", signed(&body), &flipped),
        forged("a byte less", signed(&body), &body[..body.len() - 1]),
        forged(
            "a newline more",
            signed(&body),
            &[&body[..], b"\n"].concat(),
        ),
        forged("nothing", signed(&body), b""),
        forged("signed with another secret", other_secret, &body),
        forged(
            "broken, and so neither genuine nor JSON",
            signed(&body),
            br#"{"ref": "refs/heads/main""#,
        ),
    ]
}

fn broken_bodies() -> Vec<Row> {
    let row = |what, body: &[u8]| Row {
        what,
        headers: signed(body),
        body: body.to_vec(),
        status: 400,
        title: "not JSON",
    };
    vec![
        row(
            "a body that ends early, signed",
            br#"{"ref": "refs/heads/main""#,
        ),
        row("two values", b"{}{}"),
        row("nothing, signed", b""),
        row("a form", b"payload=%7B%7D"),
        row("text that is not UTF-8", b"{\"ref\": \"\xff\"}"),
        // GitHub's own vector: genuine, and refused only for not being JSON.
        Row {
            headers: with(
                signed(b""),
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
            ..row("GitHub's documented example", b"Hello, World!")
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_genuine_is_refused_and_leaves_nothing() {
    let host = Host::start(SOURCES, &["github-push"]).await;
    for row in [forged_signatures(), forged_bodies(), broken_bodies()].concat() {
        let answer = host.send_signed("github", &row.headers, row.body).await;
        assert_eq!(answer.status, row.status, "{}: {}", row.what, answer.text());
        assert_eq!(answer.json()["title"], row.title, "{}", row.what);
        assert!(
            !answer.text().contains(&hmac_sha256(SECRET, b"")[..16]),
            "{}",
            row.what
        );
    }
    assert!(host.items("events").await.is_empty());
    assert!(host.items("runs").await.is_empty());
    // No key was burnt: the delivery id that all of them claimed is still new.
    let genuine = host
        .push("0b989ba4-242f-11e5-81e1-c7b6966d2516", &push_body("a/b", 1))
        .await;
    assert_eq!(genuine.word(), (202, "accepted".into()));
}

/// A request to the source `small`, whose limit is 64 KiB, as it stands on the wire.
fn to_small(host: SocketAddr, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /webhooks/small HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_are_refused_however_they_come() {
    let host = Host::start(SOURCES, &[]).await;
    let public = host.public;
    let signature =
        |body: &[u8]| format!("x-webhook-signature: {}", hmac_sha256("small-secret", body));
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let fits = vec![b'a'; 64 << 10];
    let over = vec![b'a'; (64 << 10) + 1];
    let chunked = |body: &[u8]| {
        let chunks: Vec<u8> = body.chunks(10_000).flat_map(chunk).collect();
        to_small(
            public,
            &format!("transfer-encoding: chunked\r\n{}", signature(body)),
            &[&chunks[..], b"0\r\n\r\n"].concat(),
        )
    };
    let sized = |body: &[u8]| {
        to_small(
            public,
            &format!("content-length: {}\r\n{}", body.len(), signature(body)),
            body,
        )
    };
    let expects = |bytes: usize| {
        to_small(
            public,
            &format!("content-length: {bytes}\r\nexpect: 100-continue"),
            b"",
        )
    };
    for (what, request, status) in [
        ("at the limit, with a length", sized(&fits), "202"),
        ("at the limit, in chunks", chunked(&fits), "202"),
        ("one byte over, with a length", sized(&over), "413"),
        ("one byte over, in chunks", chunked(&over), "413"),
        (
            "unsigned and over: size comes before the signature",
            to_small(public, "content-length: 65537", &over),
            "413",
        ),
        ("asks before it sends", expects(over.len()), "413"),
        ("asks before it sends terabytes", expects(1 << 40), "413"),
    ] {
        let answer = raw(public, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {answer}"
        );
    }
    assert_eq!(host.items("events").await.len(), 2);
}
