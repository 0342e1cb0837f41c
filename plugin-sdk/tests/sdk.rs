//! What authors rely on, each through a plugin of a few lines on the fake host.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use hookbay_plugin::{
    ConfigWant, EndpointWant, Event, Failure, Header, Manifest, Origin, Plugin, Run, SecretWant,
    Success, Trigger, clock, config, kv, log, manifest, testing,
};
use serde::{Deserialize, Serialize};

/// Makes one attempt of a plugin whose `handle` has this body.
macro_rules! attempt {
    ($host:expr, |$event:pat_param, $run:pat_param| $body:block) => {{
        struct Probe;
        impl Plugin for Probe {
            fn manifest() -> Manifest {
                manifest!()
            }
            fn handle($event: &Event, $run: &Run) -> Result<Success, Failure> {
                $body
            }
        }
        $host.attempt::<Probe>(&event(r#"{"n": 7}"#), &testing::run(2))
    }};
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Order {
    n: u32,
}

fn event(body: &str) -> Event {
    testing::event("shop", "order.paid", body)
}

fn ok() -> Result<Success, Failure> {
    Ok(Success::new("ok"))
}

#[test]
fn a_manifest_is_built_up_from_the_package() {
    let manifest = manifest!()
        .trigger(Trigger::provider("github", "push"))
        .trigger(Trigger::source("shop", "order.*").ordered_by("/customer/id"))
        .endpoint("books", "https://books.example", "the books")
        .custom_endpoint("crm", "the customers")
        .secret("BOOKS_TOKEN", "may write")
        .requires_config("currency", "three letters")
        .reads_config("note", "any text");

    assert_eq!(manifest.name, "hookbay-plugin");
    assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
    assert!(manifest.description.starts_with("Write Hookbay plugins"));
    assert_eq!(
        manifest.triggers[0].origin,
        Origin::Provider("github".to_owned())
    );
    assert_eq!(manifest.triggers[0].ordering_key, None);
    assert_eq!(
        manifest.triggers[1].origin,
        Origin::Source("shop".to_owned())
    );
    assert_eq!(
        manifest.triggers[1].ordering_key.as_deref(),
        Some("/customer/id")
    );
    let endpoint = |name: &str, origin: Option<&str>, doc: &str| EndpointWant {
        name: name.to_owned(),
        default_origin: origin.map(str::to_owned),
        doc: doc.to_owned(),
    };
    assert_eq!(
        manifest.endpoints,
        [
            endpoint("books", Some("https://books.example"), "the books"),
            endpoint("crm", None, "the customers"),
        ]
    );
    let secret = SecretWant {
        name: "BOOKS_TOKEN".to_owned(),
        doc: "may write".to_owned(),
    };
    assert_eq!(manifest.secrets, [secret]);
    let want = |name: &str, is_required, doc: &str| ConfigWant {
        name: name.to_owned(),
        is_required,
        doc: doc.to_owned(),
    };
    assert_eq!(
        manifest.config,
        [
            want("currency", true, "three letters"),
            want("note", false, "any text")
        ]
    );
}

#[test]
fn a_body_of_another_shape_fails_for_good_and_says_where() {
    assert_eq!(event(r#"{"n": 7}"#).json(), Ok(Order { n: 7 }));

    for (body, reason) in [
        (
            "{\n  \"n\": \"x\"}",
            "invalid type: string \"x\", expected u32 at line 2 column 10",
        ),
        ("{}", "missing field `n` at line 1 column 2"),
        ("", "EOF while parsing a value at line 1 column 0"),
    ] {
        let reason = format!("body of the order.paid event: {reason}");
        assert_eq!(
            event(body).json::<Order>(),
            Err(Failure::Permanent { reason })
        );
    }
}

#[test]
fn headers_are_found_whatever_their_case() {
    let mut event = event("");
    event.headers = vec![
        Header {
            name: "X-Shop-Topic".to_owned(),
            value: b"orders".to_vec(),
        },
        Header {
            name: "x-shop-topic".to_owned(),
            value: b"second".to_vec(),
        },
        Header {
            name: "X-Bytes".to_owned(),
            value: vec![0xff],
        },
    ];
    assert_eq!(event.header("x-sHOP-topic"), Some("orders"));
    assert_eq!(event.header("x-bytes"), None);
    assert_eq!(event.header("x-shop"), None);
}

#[test]
fn failures_say_whether_and_when_to_try_again() {
    let delay = Duration::from_secs(30);
    let reason = "busy".to_owned();
    assert_eq!(
        Failure::retry("busy").after(delay),
        Failure::Retry {
            reason: reason.clone(),
            after: Some(delay)
        }
    );
    assert_eq!(
        Failure::permanent("busy").after(delay),
        Failure::Permanent { reason }
    );
    assert_eq!(Failure::retry("busy").to_string(), "busy");
}

#[test]
fn data_without_a_json_form_fails_for_good() {
    let data = BTreeMap::from([((1, 2), "a pair is no key")]);
    let failure = Success::new("ok")
        .with_data(&data)
        .expect_err("a pair is no key");
    assert_eq!(
        failure,
        Failure::permanent("data has no JSON form: key must be a string")
    );
}

#[test]
fn log_lines_take_arguments_and_fields() {
    let attempt = attempt!(testing::Host::new(), |event, run| {
        let order: Order = event.json()?;
        log::debug!("plain");
        log::info!("order {} of attempt {}", order.n, run.attempt);
        let n = order.n;
        log::warn!("order {n:>2}"; kind = event.kind, attempt = run.attempt);
        log::error!("{} left", 0,; why = "none",);
        ok()
    });
    assert_eq!(
        attempt.log(),
        [
            "debug: plain",
            "info: order 7 of attempt 2",
            "warn: order  7 kind=order.paid attempt=2",
            "error: 0 left why=none",
        ]
    );
}

#[test]
fn configuration_is_read_and_its_absence_is_permanent() {
    let mut host = testing::Host::new().with_config("currency", "EUR");
    let attempt = attempt!(host, |_, _| {
        assert_eq!(config::get("note"), None);
        Ok(Success::new(config::require("currency")?))
    });
    assert_eq!(attempt.summary(), "EUR");

    let attempt = attempt!(host, |_, _| { Ok(Success::new(config::require("note")?)) });
    assert_eq!(
        attempt.failure(),
        &Failure::permanent("config.note is not set")
    );
}

#[test]
fn own_writes_are_visible_and_committed_with_success() {
    let mut host = testing::Host::new()
        .with_stored("b", "old")
        .with_stored("n", "41");
    attempt!(host, |_, _| {
        kv::set("a", "new")?;
        kv::set_json("c", &Order { n: 1 })?;
        kv::delete("b")?;
        kv::increment("n", 2)?;
        kv::increment("n", -1)?;
        assert_eq!(kv::get("a")?.as_deref(), Some(&b"new"[..]));
        assert_eq!(kv::get("b")?, None);
        assert_eq!(kv::get_json("c")?, Some(Order { n: 1 }));
        assert_eq!(kv::get_counter("n")?, 42);
        assert_eq!(kv::get_counter("never")?, 0);
        assert_eq!(kv::list("", 2)?, ["a", "c"]);
        assert_eq!(kv::list("n", 1_000)?, ["n"]);
        ok()
    });
    let stored: Vec<_> = host.all_stored().collect();
    assert_eq!(
        stored,
        [("a", &b"new"[..]), ("c", br#"{"n":1}"#), ("n", b"42")]
    );
}

#[test]
fn a_failed_attempt_leaves_no_writes() {
    let mut host = testing::Host::new().with_stored("a", "old");
    let attempt = attempt!(host, |_, _| {
        kv::set("a", "new")?;
        Err(Failure::retry("busy"))
    });
    assert_eq!(attempt.failure().reason(), "busy");
    assert_eq!(host.stored("a"), Some("old"));
}

#[test]
fn kv_errors_become_the_failure_that_fits() {
    let mut host = testing::Host::new().with_stored("text", "many");

    let attempt = attempt!(host, |_, _| {
        kv::increment("text", 1)?;
        ok()
    });
    assert_eq!(attempt.failure(), &Failure::permanent("kv counter: `text`"));

    let attempt = attempt!(host, |_, _| {
        kv::get_json::<Order>("text")?;
        ok()
    });
    let reason = "kv json: value of `text`: expected value at line 1 column 1";
    assert_eq!(attempt.failure(), &Failure::permanent(reason));

    let attempt = attempt!(host, |_, _| {
        kv::list("", 0)?;
        ok()
    });
    let reason = "kv limit: list of 0 keys, allowed are 1 to 1,000";
    assert_eq!(attempt.failure(), &Failure::permanent(reason));

    let attempt = attempt!(host.with_kv_unavailable(), |_, _| {
        kv::get("text")?;
        ok()
    });
    assert_eq!(
        attempt.failure(),
        &Failure::retry("kv unavailable: the test made it so")
    );
}

#[test]
fn each_request_of_a_run_has_a_uuid_of_its_own() {
    let run = testing::run(1);
    // Computed by another implementation.
    assert_eq!(run.uuid("page"), "98ab09bf-a643-80cd-8428-1e03ef7f5b85");
    assert_eq!(run.uuid("page"), testing::run(2).uuid("page"));
    assert_ne!(run.uuid("page"), run.uuid("line"));
}

#[test]
fn the_clock_moves_only_while_the_plugin_sleeps() {
    fn since_1970() -> Duration {
        let since = clock::now().duration_since(UNIX_EPOCH);
        since.expect("the clock shows a time after 1970")
    }
    let mut host = testing::Host::new().with_now_ms(5_000);
    attempt!(host, |_, _| {
        assert_eq!(since_1970(), Duration::from_secs(5));
        clock::sleep(Duration::from_millis(1_500));
        assert_eq!(since_1970(), Duration::from_millis(6_500));
        ok()
    });
    attempt!(host, |_, _| {
        assert_eq!(since_1970(), Duration::from_millis(6_500));
        ok()
    });
}

#[test]
#[should_panic(expected = "kv::get was called outside of `handle`")]
fn imports_need_a_host() {
    kv::get("a").expect("never answered");
}
