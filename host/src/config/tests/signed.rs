//! What a source may say of how its sender signs, and what is refused of it.

use super::read;

fn generic(keys: &str) -> String {
    format!("[sources.a]\nprovider = 'generic'\nsecret = 's'\n{keys}")
}

/// The one problem of a source with these keys.
#[track_caller]
fn check_refused(keys: &str, expected: &str) {
    let error = read(&generic(keys), &[]).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{keys}\n{error}");
    let problem = &error.problems[0];
    assert!(
        problem.starts_with(expected),
        "`{problem}` does not say `{expected}`"
    );
}

#[test]
fn each_word_of_a_scheme_is_refused_once() {
    for (keys, expected) in [
        (
            "algorithm = 'SHA-256'",
            "sources.a.algorithm: `SHA-256` is not an algorithm: use `sha1`, `sha256`",
        ),
        (
            "encoding = 'base32'",
            "sources.a.encoding: `base32` is not an encoding: use `hex`",
        ),
        (
            "secret_form = 'hexed'",
            "sources.a.secret_form: `hexed` is not a form of a secret",
        ),
        (
            "timestamp_header = 't'\ntimestamp_format = 'ns'",
            "sources.a.timestamp_format: `ns` is not how a time is written",
        ),
        (
            "signature_header = 'a b'",
            "sources.a.signature_header: `a b` is not the name of a header",
        ),
        (
            "signed = '{ts}.{body}'",
            "sources.a.signed: `{ts}` in what is signed is not known: use `{timestamp}`",
        ),
        (
            "signed = '{body'",
            "sources.a.signed: `{body` in what is signed is not known",
        ),
        (
            "signed = '{id}.{body}'",
            "sources.a.signed: has `{id}`, which needs `id_header`",
        ),
        (
            "signed = '{id}.{body}'\nid_pointer = '/id'",
            "sources.a.signed: has `{id}`, which needs `id_header`",
        ),
        (
            "signed = 'x'",
            "sources.a.signed: must contain `{body}`, or anything would pass",
        ),
    ] {
        check_refused(keys, expected);
    }
}

#[test]
fn what_does_not_fit_together_is_refused_once() {
    for (keys, expected) in [
        (
            "signed_or = 'x'",
            "sources.a.signed_or: must have body, time, address, secret, headers and parameters where `signed` has them",
        ),
        (
            "signed = '{header:A}{body}'\nsigned_or = '{header:B}{body}'",
            "sources.a.signed_or: must have body, time, address, secret, headers and parameters where `signed` has them",
        ),
        (
            "signed_or = '{nonce}{body}'",
            "sources.a.signed_or: `{nonce}` in what is signed is not known",
        ),
        (
            "proof = 'rsa'\nsignature_header = 'x'\nalgorithm = 'md5'",
            "sources.a.algorithm: `md5` is not taken from RSA keys",
        ),
        (
            "proof = 'rsa'\nsignature_header = 'x'",
            "sources.a.secret: is not a public key: SubjectPublicKeyInfo in PEM or base64",
        ),
        (
            "proof = 'jws'\nsignature_header = 'x'\nalgorithms = ['HS256']\ncovers_body = true",
            "sources.a.covers_body: needs `body_claim`",
        ),
        (
            "proof = 'jws'\nsignature_header = 'x'\nalgorithms = ['HS256']\ncovers_body = false\nbody_claim = 'c'",
            "sources.a.covers_body: is `true` with `body_claim`",
        ),
    ] {
        check_refused(keys, expected);
    }
}

#[test]
fn what_is_signed_is_told_in_the_senders_order() {
    use crate::ingest::scheme::Proof;
    for (keys, expected, expected_or) in [
        ("", "{body}", None),
        ("timestamp_header = 't'", "{timestamp}.{body}", None),
        (
            "timestamp_header = 't'\nid_header = 'X-Id'\nsigned = '{timestamp}.{id}.{body}'",
            "{timestamp}.{header:X-Id}.{body}",
            None,
        ),
        (
            "signed = '{query:a}{body}'\nsigned_or = '{query-lower:a}{body}'",
            "{query:a}{body}",
            Some("{query-lower:a}{body}"),
        ),
    ] {
        let config = read(&generic(keys), &[]).unwrap();
        let Proof::Signature(scheme) = &config.sources[0].provider.proof else {
            panic!("{keys} is no signature");
        };
        assert_eq!(scheme.signed.to_string(), expected);
        let signed_or = scheme.signed_or.as_ref().map(ToString::to_string);
        assert_eq!(signed_or.as_deref(), expected_or);
    }
}

#[test]
fn a_tolerance_of_one_side_leaves_the_other_as_it_is() {
    use std::time::Duration;

    use crate::ingest::scheme::Proof;
    const MINUTE: Duration = Duration::from_secs(60);
    for (keys, expected) in [
        ("", Some((5 * MINUTE, 5 * MINUTE))),
        ("tolerance = '2m'", Some((2 * MINUTE, 2 * MINUTE))),
        ("tolerance_future = '1m'", Some((5 * MINUTE, MINUTE))),
        (
            "tolerance = '2m'\ntolerance_future = '1m'",
            Some((2 * MINUTE, MINUTE)),
        ),
        ("tolerance = 'none'", None),
    ] {
        let keys = format!("timestamp_header = 't'\n{keys}");
        let config = read(&generic(&keys), &[]).unwrap();
        let Proof::Signature(scheme) = &config.sources[0].provider.proof else {
            panic!("{keys} is no signature");
        };
        let rule = scheme.timestamp.as_ref().unwrap();
        let tolerance = rule.tolerance.map(|both| (both.past, both.future));
        assert_eq!(tolerance, expected, "{keys}");
    }
}

/// A source that tells what is signed tells all of it.
#[test]
fn what_a_source_signs_replaces_both_of_its_providers() {
    use crate::ingest::scheme::Proof;
    let text = "public_url = 'https://h'\n[sources.a]\nprovider = 'hubspot-v3'\nsecret = 's'\n\
                signed = '{timestamp}{url}{body}'";
    let config = read(text, &[]).unwrap();
    let Proof::Signature(scheme) = &config.sources[0].provider.proof else {
        panic!("hubspot-v3 is signed");
    };
    assert_eq!(scheme.signed.to_string(), "{timestamp}{url}{body}");
    assert_eq!(scheme.signed_or, None);
}
