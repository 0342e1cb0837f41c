//! Verification on requests whose signatures were made by other programs.
//!
//! Signatures here were computed with Python's `hmac` module, except GitHub's
//! own vector (docs.github.com, "Validating webhook deliveries").

use super::{Headers, Proof, Secret, Timestamp, verify};
use crate::ingest::scheme::{Algorithm, Encoding, HmacScheme, TimestampRule};

const BODY: &[u8] = b"{\"id\":\"o-1\",\"total\":1250}\n";
const SECRET: &str = "a secret of the tests";
const NOW: Timestamp = Timestamp::from_millis(1_700_000_100_000);

fn scheme(algorithm: Algorithm, encoding: Encoding, prefix: &str) -> HmacScheme {
    HmacScheme {
        signature_header: "x-signature".into(),
        algorithm,
        encoding,
        prefix: prefix.into(),
        timestamp: None,
        signed: "{body}".parse().unwrap(),
    }
}

fn timed() -> HmacScheme {
    let rule = TimestampRule {
        header: "x-timestamp".into(),
        tolerance: std::time::Duration::from_mins(5),
    };
    HmacScheme {
        timestamp: Some(rule),
        signed: "{timestamp}.{body}".parse().unwrap(),
        ..scheme(Algorithm::Sha256, Encoding::Hex, "")
    }
}

/// `genuine by N` or the code of the rejection.
fn verdict(
    scheme: HmacScheme,
    secrets: &[&str],
    headers: &[(&str, &str)],
    body: &[u8],
    now: Timestamp,
) -> String {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    match verify(
        &Proof::Hmac(scheme),
        &secrets,
        &Headers::new(headers.collect()),
        body,
        now,
    ) {
        Ok(verified) => format!("genuine by {}", verified.secret.unwrap()),
        Err(rejection) => rejection.code().to_owned(),
    }
}

#[test]
fn each_algorithm_and_encoding() {
    use Algorithm::{Sha1, Sha256, Sha384, Sha512};
    use Encoding::{Base64, Hex};
    for (algorithm, encoding, signature) in [
        (Sha1, Hex, "1f2406b9c9d17fb0c7e7ad9340ac132601de823d"),
        (Sha1, Base64, "HyQGucnRf7DH562TQKwTJgHegj0="),
        (
            Sha256,
            Hex,
            "5db9b75e780b0bcbcd235dd4386baa7bfd1e5289529ab14e22f3e2e8165d375c",
        ),
        (
            Sha256,
            Base64,
            "Xbm3XngLC8vNI13UOGuqe/0eUolSmrFOIvPi6BZdN1w=",
        ),
        (
            Sha384,
            Hex,
            "e85b7ae467fbd6d7a0782b9938ee7f1cd35826def298a02c98bd9e26a6fb1c25219942674322e05cd8e86e864a2ba6c0",
        ),
        (
            Sha512,
            Base64,
            "fmQlC43UZM3lasSR04/1iEjgFIxbmVdVQCgYJX/OaEAcWreRM8WWjDR7qhYJBwInhpllkWpLLU340/wzLFMlxg==",
        ),
    ] {
        let scheme = scheme(algorithm, encoding, "v1=");
        let given = format!("v1={signature}");
        assert_eq!(
            verdict(scheme, &[SECRET], &[("x-signature", &given)], BODY, NOW),
            "genuine by 0",
            "{given}"
        );
    }
}

#[test]
fn what_is_not_exact_is_refused() {
    let good = "sha256=5db9b75e780b0bcbcd235dd4386baa7bfd1e5289529ab14e22f3e2e8165d375c";
    let check = |headers: &[(&str, &str)], body: &[u8]| {
        verdict(
            scheme(Algorithm::Sha256, Encoding::Hex, "sha256="),
            &[SECRET],
            headers,
            body,
            NOW,
        )
    };
    assert_eq!(check(&[("x-signature", good)], BODY), "genuine by 0");
    for (signature, expected) in [
        ("", "malformed_signature"),
        ("sha256=", "wrong_signature"),
        (&good[7..], "malformed_signature"),
        (&good[..good.len() - 1], "wrong_signature"),
        (&good[..15], "wrong_signature"),
        (&good.replace("sha256", "SHA256"), "malformed_signature"),
        (&good.replace("5db9", "5DB9"), "wrong_signature"),
        (&good.replace("5db9", "5db8"), "wrong_signature"),
        (&format!("{good}0"), "wrong_signature"),
        (
            &format!("{good}{}", "0".repeat(5000)),
            "malformed_signature",
        ),
    ] {
        assert_eq!(
            check(&[("x-signature", signature)], BODY),
            expected,
            "{signature:.80}"
        );
    }
    assert_eq!(check(&[], BODY), "missing_signature");
    assert_eq!(check(&[("x-other", good)], BODY), "missing_signature");
    assert_eq!(
        check(&[("x-signature", good), ("x-signature", good)], BODY),
        "repeated_signature"
    );
    assert_eq!(
        check(
            &[("x-signature", good), ("x-other", "a"), ("x-other", "b")],
            BODY
        ),
        "genuine by 0"
    );
    assert_eq!(
        check(&[("x-signature", good)], &BODY[..BODY.len() - 1]),
        "wrong_signature"
    );
    for flipped in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[flipped] ^= 1;
        assert_eq!(
            check(&[("x-signature", good)], &body),
            "wrong_signature",
            "byte {flipped}"
        );
    }
}

#[test]
fn any_of_several_secrets_may_match() {
    let plain = || scheme(Algorithm::Sha256, Encoding::Hex, "");
    let old = [(
        "x-signature",
        "d02a1517cac3ca1e13fa0145593d56ed2143c67679dc07ed4bcd01f4c7635325",
    )];
    assert_eq!(
        verdict(plain(), &[SECRET, "old secret"], &old, BODY, NOW),
        "genuine by 1"
    );
    assert_eq!(
        verdict(plain(), &[SECRET], &old, BODY, NOW),
        "wrong_signature"
    );
    assert_eq!(verdict(plain(), &[], &old, BODY, NOW), "wrong_signature");
}

#[test]
fn signed_times_must_be_near() {
    let signature = "cbe4338f68e6b2817ba0e1cfb110be8a9c0dd38805368cda249875145c6268e2";
    let check = |timestamp: &str, now_s: i64| {
        let headers = [("x-signature", signature), ("x-timestamp", timestamp)];
        verdict(
            timed(),
            &[SECRET],
            &headers,
            BODY,
            Timestamp::from_millis(now_s * 1000),
        )
    };
    for (timestamp, now_s, expected) in [
        ("1700000000", 1_700_000_000, "genuine by 0"),
        ("1700000000", 1_700_000_300, "genuine by 0"),
        ("1700000000", 1_700_000_301, "stale_timestamp"),
        ("1700000000", 1_699_999_700, "genuine by 0"),
        ("1700000000", 1_699_999_699, "future_timestamp"),
        ("1700000001", 1_700_000_000, "wrong_signature"),
        (" 1700000000", 1_700_000_000, "malformed_timestamp"),
        ("soon", 1_700_000_000, "malformed_timestamp"),
        ("9223372036854775807", 1_700_000_000, "future_timestamp"),
        ("-9223372036854775808", 1_700_000_000, "stale_timestamp"),
    ] {
        assert_eq!(check(timestamp, now_s), expected, "{timestamp} at {now_s}");
    }
    assert_eq!(
        verdict(timed(), &[SECRET], &[("x-signature", signature)], BODY, NOW),
        "missing_timestamp"
    );
}

#[test]
fn githubs_published_vector() {
    let scheme = HmacScheme {
        signature_header: "x-hub-signature-256".into(),
        ..scheme(Algorithm::Sha256, Encoding::Hex, "sha256=")
    };
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-hub-signature-256", signature)];
    let secret = "It's a Secret to Everybody";
    assert_eq!(
        verdict(scheme, &[secret], &headers, b"Hello, World!", NOW),
        "genuine by 0"
    );
}
