//! What authors rely on when a plugin reaches outside: requests, signatures and
//! follow-up events, each on the fake host.

use std::time::Duration;

use hookbay_plugin::{
    Event, Failure, Manifest, Plugin, Run, Success, config, crypto, events,
    http::{self, Credential, HeaderValue},
    kv, manifest,
    testing::{self, Answer},
};
use serde_json::{Value, json};

/// Makes one attempt of a plugin that wants `shop`, `KEY` and `USER`, and whose
/// `handle` has this body.
macro_rules! attempt {
    ($host:expr, $body:block) => {{
        struct Probe;
        impl Plugin for Probe {
            fn manifest() -> Manifest {
                manifest!()
                    .endpoint("shop", "https://shop.example", "the shop")
                    .secret("KEY", "the shop's key")
                    .secret("USER", "the shop's user")
            }
            fn handle(_event: &Event, _run: &Run) -> Result<Success, Failure> {
                $body;
                Ok(Success::new("ok"))
            }
        }
        $host.handle::<Probe>(&testing::event("shop", "asked", "{}"))
    }};
}

#[test]
fn a_request_arrives_as_it_was_put_together() {
    let mut host = testing::Host::new();
    host.answer("shop", "PATCH", "/orders/a%2Fb", [Answer::new(204)]);

    let attempt = attempt!(host, {
        let path = format!("/orders/{}", http::encode("a/b"));
        let response = http::patch("shop", &path)
            .query("dry run", "é&1")
            .query("n", "2")
            .header("X-Text", "text")
            .header("X-Bytes", vec![0xff])
            .secret_header("X-Key", "key=", "KEY")
            .bearer("KEY")
            .idempotency_key("Idempotency-Key")
            .timeout(Duration::from_micros(1_500))
            .json(&json!({"n": 7}))?
            .send()?;
        assert!(response.is_success());
    });

    assert_eq!(attempt.summary(), "ok");
    let request = &attempt.requests[0];
    assert_eq!(
        request.to_string(),
        "PATCH shop /orders/a%2Fb?dry%20run=%C3%A9%261&n=2"
    );
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        headers,
        [
            ("X-Text", "text"),
            ("X-Bytes", "\u{fffd}"),
            ("X-Key", "key=[secret KEY]"),
            ("Authorization", "Bearer [secret KEY]"),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "event-1:plugin"),
        ]
    );
    assert_eq!(request.json::<Value>(), json!({"n": 7}));
    assert_eq!(request.timeout, Some(Duration::from_millis(2)));
}

#[test]
fn secrets_go_where_basic_wants_them() {
    let mut host = testing::Host::new();
    host.on("shop", "GET", "/", |_| Answer::new(200));

    let attempt = attempt!(host, {
        http::get("shop", "/").basic("mona", "KEY").send()?;
        let value = HeaderValue::Basic {
            user: Credential::Secret("USER".to_owned()),
            password: Credential::Text(String::new()),
        };
        http::get("shop", "/")
            .header("Authorization", value)
            .send()?;
    });

    let sent = attempt.requests.iter();
    let sent: Vec<_> = sent
        .map(|request| request.header("authorization"))
        .collect();
    assert_eq!(
        sent,
        [
            Some("Basic mona:[secret KEY]"),
            Some("Basic [secret USER]:")
        ]
    );
}

#[test]
fn a_content_type_of_ones_own_stays() {
    let mut host = testing::Host::new();
    host.on("shop", "POST", "/", |_| Answer::new(200));

    let attempt = attempt!(host, {
        http::post("shop", "/")
            .header("content-type", "application/vnd.shop+json")
            .json(&1)?
            .send()?;
        http::post("shop", "/")
            .form([("a b", "c&d"), ("e", "")])
            .send()?;
    });

    let [json, form] = &attempt.requests[..] else {
        panic!("two requests were sent");
    };
    assert_eq!(
        json.header("content-type"),
        Some("application/vnd.shop+json")
    );
    assert_eq!(json.headers.len(), 1);
    assert_eq!(
        form.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(form.body, b"a%20b=c%26d&e=");
}

#[test]
fn what_the_manifest_does_not_want_is_denied() {
    let mut host = testing::Host::new();
    let attempt = attempt!(host, {
        let denied = |what: &str| Err(http::Error::Denied(what.to_owned()));
        let sent = http::get("bank", "/").send();
        assert_eq!(
            sent,
            denied("GET bank /: endpoint `bank` is not in the manifest")
        );
        for request in [
            http::get("shop", "/").bearer("OTHER"),
            http::get("shop", "/").basic("mona", "OTHER"),
        ] {
            let expected = denied("GET shop /: secret `OTHER` is not in the manifest");
            assert_eq!(request.send(), expected);
        }
        assert_eq!(
            crypto::hmac_sha256("OTHER", crypto::KeyEncoding::Text, ""),
            Err(crypto::Error::Denied(
                "secret `OTHER` is not in the manifest".to_owned()
            ))
        );
        for request in [
            http::get("shop", "orders"),
            http::request("get", "shop", "/"),
            http::request("", "shop", "/"),
        ] {
            assert!(matches!(request.send(), Err(http::Error::Invalid(_))));
        }
    });
    assert_eq!(attempt.summary(), "ok");
    assert!(attempt.requests.is_empty(), "{:?}", attempt.requests);
}

#[test]
#[should_panic(expected = "the plugin sent a request that nothing answers:
  GET shop /orders?page=2
the test answers:
  POST shop /orders
  GET shop /orders (each answer was given once)
  GET shop /orders?page=1
add `host.on(\"shop\", \"GET\", \"/orders?page=2\", |request| …)`")]
fn a_request_that_nothing_answers_fails_the_test() {
    let mut host = testing::Host::new();
    host.on("shop", "POST", "/orders", |_| Answer::new(201));
    host.answer("shop", "GET", "/orders", [Answer::new(200)]);
    host.on("shop", "GET", "/orders?page=1", |_| Answer::new(200));
    attempt!(host, {
        http::get("shop", "/orders").query("page", "1").send()?;
        http::get("shop", "/orders").query("page", "2").send()?;
        http::get("shop", "/orders").query("page", "2").send()?;
    });
}

#[test]
fn what_was_said_last_answers_until_it_is_used_up() {
    let mut host = testing::Host::new();
    let mut n = 0;
    host.on("shop", "GET", "/n", move |_| {
        n += 1;
        Answer::json(200, &n)
    });
    host.answer("shop", "GET", "/n", [Answer::json(200, &100)]);
    for expected in [100, 1, 2] {
        let attempt = attempt!(host, {
            let n: i32 = http::get("shop", "/n").send()?.json()?;
            kv::set_json("n", &n)?;
        });
        assert_eq!(attempt.summary(), "ok");
        assert_eq!(host.stored("n"), Some(expected.to_string().as_str()));
    }
}

#[test]
fn signatures_are_those_of_the_host() {
    // RFC 4231, test case 2, with its key `Jefe` in each encoding.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    for (value, encoding, is_valid) in [
        ("Jefe", "text", true),
        ("SmVmZQ==", "base64", true),
        ("4a656665", "hex", true),
        ("whsec_SmVmZQ==", "whsec", true),
        ("Jefe!", "base64", false),
        ("Jefe", "hex", false),
        ("SmVmZQ==", "whsec", false),
    ] {
        let mut host = testing::Host::new()
            .with_secret("KEY", value)
            .with_config("encoding", encoding);
        let attempt = attempt!(host, {
            let encoding = match config::require("encoding")?.as_str() {
                "base64" => crypto::KeyEncoding::Base64,
                "hex" => crypto::KeyEncoding::Hex,
                "whsec" => crypto::KeyEncoding::Whsec,
                _ => crypto::KeyEncoding::Text,
            };
            let message = "what do ya want for nothing?";
            kv::set("signature", crypto::hmac_sha256("KEY", encoding, message)?)?;
        });
        if is_valid {
            assert_eq!(attempt.summary(), "ok");
            let stored = host
                .all_stored()
                .map(|(_, signature)| hex::encode(signature));
            assert_eq!(stored.collect::<Vec<_>>(), [expected]);
        } else {
            let reason = attempt.failure().reason();
            assert!(
                reason.starts_with("crypto invalid key: secret `KEY` is not"),
                "{reason}"
            );
            assert!(!reason.contains(value), "{reason}");
        }
    }
}

#[test]
#[should_panic(expected = "the test gives `KEY` no value: use `Host::with_secret`")]
fn a_signature_needs_a_secret() {
    attempt!(testing::Host::new(), {
        crypto::hmac_sha256("KEY", crypto::KeyEncoding::Text, "")?;
    });
}

#[test]
fn events_are_emitted_with_a_success_only() {
    let mut host = testing::Host::new();
    let attempt = attempt!(host, {
        events::emit("a", "bytes")?;
        events::emit_json("order.line-1.added_2", &json!({"n": 1}))?;
    });
    let emitted: Vec<_> = attempt
        .emitted
        .iter()
        .map(|event| (event.kind.as_str(), event.body.as_slice()))
        .collect();
    assert_eq!(
        emitted,
        [
            ("a", &b"bytes"[..]),
            ("order.line-1.added_2", br#"{"n":1}"#)
        ]
    );

    for kind in ["", ".", "a.", "a..b", "a b", "a.*", "ü"] {
        let attempt = attempt!(testing::Host::new().with_config("kind", kind), {
            events::emit("before", "")?;
            events::emit(&config::require("kind")?, "")?;
        });
        let reason = attempt.failure().reason();
        assert!(reason.starts_with("events invalid: kind"), "{reason}");
        assert!(attempt.emitted.is_empty());
    }

    let attempt = attempt!(host.with_full_chain(), { events::emit("a", "")? });
    assert_eq!(
        attempt.failure(),
        &Failure::permanent("events too deep: the test made it so")
    );
}
