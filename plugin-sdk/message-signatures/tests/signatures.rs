//! What is read of a request, and what of it is signed.

use hookbay_message_signatures::{check_content_digest, signatures};
use hookbay_plugin::testing;
use hookbay_plugin::verifier::{Reason, Request};

fn request(input: &str, signature: &str) -> Request {
    let url = "https://Hooks.example.com:443/acme?a=b";
    let mut request = testing::request("POST", url, r#"{"hello": "world"}"#);
    request.set_header("Signature-Input", input);
    request.set_header("Signature", signature);
    request.set_header("X-Two", " 1, 2 ");
    request
}

#[test]
fn signatures_are_those_with_bytes_in_their_order() {
    for (input, signature, expected) in [
        ("a=()", "a=:AQ==:", vec![vec![1]]),
        (
            "a=();x=1, b=()",
            "b=:Ag==:;y, a=:AQ==:",
            vec![vec![1], vec![2]],
        ),
        ("a=(), b=()", "b=:Ag==:, c=:Aw==:", vec![vec![2]]),
        ("a=()", "b=:Ag==:", vec![]),
        // The first four are looked at.
        (
            "a=(), b=(), c=(), d=(), e=()",
            "e=:AQ==:, d=:BA==:",
            vec![vec![4]],
        ),
    ] {
        let request = request(input, signature);
        let found = signatures(&request).unwrap();
        let found: Vec<&[u8]> = found.iter().map(|found| found.bytes()).collect();
        assert_eq!(found, expected, "{input}");
    }
}

#[test]
fn what_is_not_written_so_is_malformed() {
    for (input, signature) in [
        ("", "s=:AQ==:"),
        ("s", "s=:AQ==:"),
        ("s=(\"@method\"", "s=:AQ==:"),
        ("s=(\"@method\";sf)", "s=:AQ==:"),
        ("s=(\"@method\" \"@method\")", "s=:AQ==:"),
        ("s=();created=1.5", "s=:AQ==:"),
        ("s=();created=1;created=1", "s=:AQ==:"),
        ("s=(), s=()", "s=:AQ==:"),
        ("s=()", "s=AQ=="),
        ("s=()", "s=:A:"),
        ("s=()", "s=:AQ==:, s=:AQ==:"),
    ] {
        let request = request(input, signature);
        let why = signatures(&request).unwrap_err();
        assert_eq!(why.reason, Reason::MalformedSignature, "{input}");
    }
    let mut without = request("s=()", "s=:AQ==:");
    without.headers.retain(|header| header.name != "signature");
    let why = signatures(&without).unwrap_err();
    assert_eq!(why.reason, Reason::MissingSignature);
}

#[test]
fn parameters_are_times_or_texts() {
    let request = request(r#"s=();created=7;alg="hmac-sha256";tag=token"#, "s=:AQ==:");
    let found = signatures(&request).unwrap();
    let signature = &found[0];
    assert_eq!(signature.time_ms("created").unwrap(), Some(7_000));
    assert_eq!(signature.text("alg").unwrap(), Some("hmac-sha256"));
    assert_eq!(signature.time_ms("expires").unwrap(), None);
    assert_eq!(signature.text("nonce").unwrap(), None);
    for name in ["alg", "tag"] {
        let why = signature.time_ms(name).unwrap_err();
        assert_eq!(why.reason, Reason::MalformedTimestamp);
    }
    for name in ["created", "tag"] {
        let why = signature.text(name).unwrap_err();
        assert_eq!(why.reason, Reason::MalformedSignature);
    }
}

#[test]
fn each_component_is_a_line_of_the_base() {
    for (component, value) in [
        ("@method", "POST"),
        ("@target-uri", "https://Hooks.example.com:443/acme?a=b"),
        ("@authority", "hooks.example.com"),
        ("@scheme", "https"),
        ("@request-target", "/acme?a=b"),
        ("@path", "/acme"),
        ("@query", "?a=b"),
        ("x-two", "1, 2"),
    ] {
        let request = request(&format!("s=(\"{component}\")"), "s=:AQ==:");
        let signature = &signatures(&request).unwrap()[0];
        let expected =
            format!("\"{component}\": {value}\n\"@signature-params\": (\"{component}\")");
        assert_eq!(signature.base(&request).unwrap(), expected);
        assert!(signature.covers(component) && !signature.covers("@other"));
    }
    for component in ["@status", "x-three"] {
        let request = request(&format!("s=(\"{component}\")"), "s=:AQ==:");
        let why = signatures(&request).unwrap()[0].base(&request).unwrap_err();
        assert_eq!(why.reason, Reason::MissingField, "{component}");
    }
}

#[test]
fn the_body_is_the_one_that_its_digest_names() {
    let genuine = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    for (digest, expected) in [
        (genuine.to_owned(), None),
        (format!("md5=:AQ==:, {genuine}"), None),
        (
            format!("{genuine}, sha-512=:AQ==:"),
            Some(Reason::AlteredBody),
        ),
        ("sha-256=:AQ==:".to_owned(), Some(Reason::AlteredBody)),
        ("md5=:AQ==:".to_owned(), Some(Reason::UnmetRequirement)),
        ("sha-256=AQ==".to_owned(), Some(Reason::MalformedSignature)),
    ] {
        let mut request = request("s=()", "s=:AQ==:");
        request.set_header("Content-Digest", &digest);
        let why = check_content_digest(&request).err().map(|why| why.reason);
        assert_eq!(why, expected, "{digest}");
    }
    let why = check_content_digest(&request("s=()", "s=:AQ==:")).unwrap_err();
    assert_eq!(why.reason, Reason::MissingSignature);
}
