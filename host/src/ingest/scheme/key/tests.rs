//! Which credentials are keys, and of what they are made.

use std::collections::BTreeMap;

use super::{Credential, Key, KeyError, KeyForm, KeyShape, Keyring};
use crate::config::Secret;

fn text(text: &str) -> Credential {
    Credential::Text(Secret::new(text))
}

fn named(values: &[(&str, Credential)]) -> Credential {
    let values = values.iter().cloned();
    Credential::Named(
        values
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

#[test]
fn forms_are_read() {
    for (form, secret, expected) in [
        (KeyForm::Text, " whsec_YQ== ", Some(" whsec_YQ== ")),
        (KeyForm::Text, "", None),
        (KeyForm::Base64, "YWI=", Some("ab")),
        (KeyForm::Base64, "YWI", Some("ab")),
        (KeyForm::Base64, "YWJ", Some("ab")),
        (KeyForm::Base64, "YWI=\n", None),
        (KeyForm::Base64, "Y!", None),
        (KeyForm::Whsec, "whsec_YWI=", Some("ab")),
        (KeyForm::Whsec, "YWI", Some("ab")),
        (KeyForm::Whsec, "v1,whsec_YWI=", Some("ab")),
        (KeyForm::Whsec, "whsec_?", None),
        (KeyForm::Whsec, "whsec_", None),
        (KeyForm::WhsecOrText, "whsec_", None),
        (KeyForm::Base64, "=", None),
        (KeyForm::WhsecOrText, "whsec_YWI=", Some("ab")),
        (KeyForm::WhsecOrText, "YWI=", Some("YWI=")),
        (KeyForm::Hex, "6162", Some("ab")),
        (KeyForm::Hex, "6A6b", Some("jk")),
        (KeyForm::Hex, "616", None),
        (KeyForm::TextOrHex, "6162", Some("6162")),
        (KeyForm::TextOrHex, "616", Some("616")),
        (KeyForm::AfterColon, "app.key:secret:x", Some("secret:x")),
        (KeyForm::AfterColon, "secret", Some("secret")),
        (KeyForm::AfterColon, "app.key:", None),
        (KeyForm::Nfkd, "\u{e9}\u{fb01}", Some("e\u{301}fi")),
        (KeyForm::PemOrText, "a secret", Some("a secret")),
        (KeyForm::PemOrText, "-----BEGIN PUBLIC KEY-----", None),
        (KeyForm::Ed25519Hex, "00", None),
        (KeyForm::Spki, "AAAA", None),
    ] {
        let keys = Keyring::new(&KeyShape::plain(form), &[text(secret)]);
        let shared = keys.as_ref().ok().and_then(|keys| keys.keys()[0].shared());
        assert_eq!(shared, expected.map(str::as_bytes), "{form:?} {secret}");
        assert_eq!(keys.is_ok(), expected.is_some(), "{form:?} {secret}");
    }
    let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    let keys = Keyring::new(&KeyShape::plain(KeyForm::Ed25519Base64), &[text(public)]);
    assert!(keys.unwrap().keys()[0].public().is_some());
}

/// Nobody can tell which is meant: both are tried.
#[test]
fn a_text_may_mean_two_keys() {
    for (secret, expected) in [
        ("6162", vec!["6162", "ab"]),
        ("616", vec!["616"]),
        ("secret", vec!["secret"]),
    ] {
        let keys = Keyring::new(&KeyShape::plain(KeyForm::TextOrHex), &[text(secret)]).unwrap();
        let all: Vec<&[u8]> = keys.keys()[0].all_shared().collect();
        let expected: Vec<&[u8]> = expected.into_iter().map(str::as_bytes).collect();
        assert_eq!(all, expected);
    }
}

#[test]
fn tables_hold_what_the_scheme_names() {
    let shape = KeyShape {
        main: "private_key",
        id: Some(("public_key", true)),
        has_verify_token: true,
        ..KeyShape::plain(KeyForm::Text)
    };
    let whole = named(&[("private_key", text("p")), ("public_key", text("id"))]);
    let keys = Keyring::new(&shape, std::slice::from_ref(&whole)).unwrap();
    let Key {
        id, verify_token, ..
    } = &keys.keys()[0];
    assert_eq!((id.as_deref(), verify_token), (Some("id"), &None));
    let mut more = whole.clone();
    if let Credential::Named(values) = &mut more {
        values.insert("token".into(), text("t"));
    }
    for (credential, expected) in [
        (
            text("p"),
            KeyError::NotNamed("`private_key`, `public_key`, `verify_token`".into()),
        ),
        (
            named(&[("private_key", text("p"))]),
            KeyError::Missing("public_key"),
        ),
        (
            named(&[("public_key", text("p"))]),
            KeyError::Missing("private_key"),
        ),
        (
            named(&[("private_key", named(&[]))]),
            KeyError::Type("private_key".into()),
        ),
        (
            more,
            KeyError::Unknown {
                given: "token".into(),
                known: "`private_key`, `public_key`, `verify_token`".into(),
            },
        ),
    ] {
        let refused = Keyring::new(&shape, &[whole.clone(), credential]);
        assert_eq!(refused, Err((1, expected)));
    }
}

#[test]
fn certificates_must_be_certificates() {
    let shape = KeyShape {
        main: "webhook_id",
        has_certificates: true,
        ..KeyShape::plain(KeyForm::Text)
    };
    for certificates in [text("x"), named(&[("https://a/b", text("x"))])] {
        let credential = named(&[("webhook_id", text("w")), ("certs", certificates)]);
        assert!(Keyring::new(&shape, &[credential]).is_err());
    }
    let keys = Keyring::new(&shape, &[text("w")]).unwrap();
    assert!(keys.certificate("https://a/b").is_none());
    assert_eq!(named(&[]), Credential::Named(BTreeMap::new()));
}

#[test]
fn keys_do_not_show_themselves() {
    let keys = Keyring::new(&KeyShape::plain(KeyForm::Text), &[text("hunter2")]).unwrap();
    let shown = format!("{keys:?} {:?}", text("hunter2"));
    assert!(
        !shown.contains("hunter2") && !shown.contains("104"),
        "{shown}"
    );
}
