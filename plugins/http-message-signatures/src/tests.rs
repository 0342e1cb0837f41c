//! The signatures here were made by others: RFC 9421's own, and Python's `hmac`.

use hookbay_plugin::{
    testing::{self, Secrets},
    verifier::{Reason, Request},
};

use super::HttpMessageSignatures;

/// `an example key of 32 bytes ......`
const KEY: &str = "YW4gZXhhbXBsZSBrZXkgb2YgMzIgYnl0ZXMgLi4uLi4u";
const BODY: &str = r#"{"hello": "world"}"#;
const DIGEST: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
/// A signature that covers what it must.
const GENUINE: (&str, &str) = (
    r#"("@method" "@target-uri" "content-digest");created=1700000000;nonce="n-1""#,
    "cDEMY2TZEJEVm+wMT7Ckn6TF0uSuhwTWwdOso96xMEE=",
);

fn secrets() -> Secrets {
    Secrets::new([""; 0]).with_table(&[("hmac", KEY)])
}

/// A request signed by `key`, an `("input", "signature")` under the label `s`.
fn signed((input, signature): (&str, &str)) -> Request {
    let url = "https://hooks.example.com/webhooks/acme?a=b";
    let mut request = testing::request("POST", url, BODY);
    request.set_header("Content-Digest", DIGEST);
    request.set_header("X-Two", "1, 2");
    request.set_header("Signature-Input", format!("s={input}"));
    request.set_header("Signature", format!("s=:{signature}:"));
    request
}

fn reason(request: &Request) -> Reason {
    let said = secrets().verify::<HttpMessageSignatures>(request);
    said.unwrap_err().reason
}

#[test]
fn genuine_requests_are_taken() {
    let said = secrets().verify::<HttpMessageSignatures>(&signed(GENUINE));
    let verified = said.unwrap();
    assert_eq!(verified.signed_at_ms, Some(1_700_000_000_000));
    assert_eq!(verified.delivery_id.as_deref(), Some("n-1"));
    for other in [
        (
            r#"("@method" "@target-uri" "content-digest");created=1700000000;alg="hmac-sha256""#,
            "xO65sR8cvvjWMfzehFDXAq39N+PA2K2DzL6H1xLMRnw=",
        ),
        (
            r#"("@method" "@authority" "@scheme" "@path" "@query" "x-two" "content-digest");created=1700000000"#,
            "0CtZabmNf8gVw0DF9lEjQLsksp14Dxj7D4JqQWIZcec=",
        ),
    ] {
        let said = secrets().verify::<HttpMessageSignatures>(&signed(other));
        assert!(said.is_ok(), "{other:?}: {said:?}");
    }
    // While keys are rotated there are two, and a sender may sign with both.
    let rotated = Secrets::new(["text"]).with_table(&[("hmac", "AAAA")]);
    let rotated = rotated.with_table(&[("hmac", KEY)]);
    let mut request = signed(GENUINE);
    request.set_header(
        "Signature-Input",
        format!("old=(\"@method\"), s={}", GENUINE.0),
    );
    request.set_header("Signature", format!("old=:AAAA:, s=:{}:", GENUINE.1));
    assert!(rotated.verify::<HttpMessageSignatures>(&request).is_ok());
}

#[test]
fn what_was_changed_on_the_way_is_refused() {
    type Change = fn(&mut Request);
    let changes: [(Change, Reason); 8] = [
        (|request| request.body.push(b' '), Reason::AlteredBody),
        (
            |request| request.method = "PUT".to_owned(),
            Reason::WrongSignature,
        ),
        (|request| request.url.push('c'), Reason::WrongSignature),
        (
            |request| request.set_header("content-digest", "sha-256=:AAAA:"),
            Reason::WrongSignature,
        ),
        (
            |request| {
                request
                    .headers
                    .retain(|header| header.name != "content-digest")
            },
            Reason::MissingField,
        ),
        (
            |request| request.headers.retain(|header| header.name != "signature"),
            Reason::MissingSignature,
        ),
        (
            |request| request.set_header("signature", "other=:AAAA:"),
            Reason::MissingSignature,
        ),
        (
            |request| request.set_header("signature", "s=:AAAA:"),
            Reason::WrongSignature,
        ),
    ];
    for (at, (change, expected)) in changes.into_iter().enumerate() {
        let mut request = signed(GENUINE);
        change(&mut request);
        assert_eq!(reason(&request), expected, "change {at}");
    }
    let mut url_unknown = signed(GENUINE);
    url_unknown.url = "/webhooks/acme?a=b".to_owned();
    assert_eq!(reason(&url_unknown), Reason::MissingField);
}

#[test]
fn a_right_signature_over_too_little_is_refused() {
    for (signature, expected) in [
        (
            (
                r#"("@method" "@target-uri");created=1700000000"#,
                "ICF7X0LvQx1TCmT3CA8mN64OMSy+A9q4sOFQAfH0zp0=",
            ),
            Reason::UnmetRequirement,
        ),
        (
            (
                r#"("@target-uri" "content-digest");created=1700000000"#,
                "EYjX8UzRxkOGMT1qCjvFCZseBIMjd1x7d8gFAbA0028=",
            ),
            Reason::UnmetRequirement,
        ),
        (
            (
                r#"("@method" "content-digest");created=1700000000"#,
                "xnlhS5KID5FrC8yqNzxKKcbw81ptOqI6vfm766keD5s=",
            ),
            Reason::UnmetRequirement,
        ),
        (
            (
                r#"("@method" "@target-uri" "content-digest");keyid="k""#,
                "mtHWS4vxt+gRihex40w7v5KEWo0r4E5u+OKEJNgpZdk=",
            ),
            Reason::MissingTimestamp,
        ),
        (
            (
                r#"("@method" "@target-uri" "content-digest");created=1699999000;expires=1700000000"#,
                "9n1680qV7v6JgaDxn3tmbZErNe3/AkdnMIdOO3hUoCA=",
            ),
            Reason::StaleTimestamp,
        ),
    ] {
        assert_eq!(reason(&signed(signature)), expected, "{signature:?}");
    }
}

/// Everybody knows a public key: it must not be taken for one of an HMAC.
#[test]
fn the_operator_says_which_sort_a_key_is() {
    let public = Secrets::new([KEY]).with_table(&[("public_key", KEY)]);
    let said = public.verify::<HttpMessageSignatures>(&signed(GENUINE));
    assert_eq!(said.unwrap_err().reason, Reason::WrongSignature);
    let hmac = r#"("@method" "@target-uri" "content-digest");created=1700000000;alg="hmac-sha256""#;
    let said = public.verify::<HttpMessageSignatures>(&signed((hmac, GENUINE.1)));
    assert_eq!(said.unwrap_err().reason, Reason::UnknownKey);
}

#[test]
fn nonsense_is_malformed() {
    for input in [
        "",
        "s",
        "s=",
        "s=(",
        "s=(\"@method\"",
        "s=(\"@method\";sf)",
        "s=(\"@method\"\"@path\")",
        "s=(\"@method\" \"@method\")",
        "s=();created=1.5",
        "s=();created=1234567890123456",
        "s=();created=1;created=1",
        "s=(), s=()",
        "s=() t=()",
        "s=(),",
        "S=()",
    ] {
        let mut request = signed(GENUINE);
        request.set_header("signature-input", input);
        assert_eq!(reason(&request), Reason::MalformedSignature, "{input}");
    }
    for input in ["s=();created", "s=();created=soon", "s=();created=\"1\""] {
        let mut request = signed(GENUINE);
        request.set_header("signature-input", input);
        assert_eq!(reason(&request), Reason::MalformedTimestamp, "{input}");
    }
}

/// RFC 9421 appendix B.2.3: what is signed is what the RFC prints.
#[test]
fn the_signature_base_is_the_rfcs() {
    let digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let parameters = r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
    let base = format!(
        r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": {digest}
"content-length": 18
"@signature-params": {parameters}"#
    );
    let url = "https://Example.com:443/foo?param=Value&Pet=dog";
    let mut request = testing::request("POST", url, BODY);
    for (name, value) in [
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", digest),
        ("Content-Length", "18"),
        ("Signature", "sig-b23=:AQID:"),
    ] {
        request.set_header(name, value);
    }
    request.set_header("Signature-Input", format!("sig-b23={parameters}"));
    let secrets = Secrets::new([""; 0])
        .with_table(&[("public_key", "PEM")])
        .with_signature("PEM", base, [1, 2, 3]);
    let verified = secrets.verify::<HttpMessageSignatures>(&request).unwrap();
    assert_eq!(verified.signed_at_ms, Some(1_618_884_473_000));
}
