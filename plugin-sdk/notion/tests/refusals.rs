//! Which failure each refusal of Notion's is.

use std::time::Duration;

use hookbay_notion::{Column, Pages, Value};
use hookbay_plugin::testing::{self, Answer, Host};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, manifest};
use serde_json::json;

const ORDERS: Pages = Pages::new(
    &[Column::title("title", "Name")],
    Column::text("id", "Order ID"),
);

const QUERY: &str = "/v1/data_sources/d1/query";

/// Keeps the page of order 7.
struct Probe;

impl Plugin for Probe {
    fn manifest() -> Manifest {
        ORDERS.wants(manifest!())
    }

    fn handle(_event: &Event, run: &Run) -> Result<Success, Failure> {
        let says = |_: &_| vec![("title", Value::text("Order 7"))];
        let (kept, _) = ORDERS.open().keep("7", run, says)?;
        Ok(Success::new(kept.to_string()))
    }
}

/// A Notion with that database and no page.
fn host() -> Host {
    let mut host = Host::new().with_config("database_id", "db1");
    host.on("notion", "GET", "/v1/databases/db1", |_| {
        let sources = json!([{ "id": "d1", "name": "Orders" }]);
        Answer::json(200, &json!({ "data_sources": sources }))
    });
    host.on("notion", "POST", QUERY, |_| {
        Answer::json(200, &json!({ "results": [] }))
    });
    host.on("notion", "POST", "/v1/pages", |_| {
        Answer::json(
            200,
            &json!({ "id": "p1", "url": "https://www.notion.so/p1" }),
        )
    });
    host
}

/// The failure where Notion answers such requests so.
#[track_caller]
fn failure(method: &str, path: &str, answer: Answer) -> Failure {
    let mut host = host();
    host.answer("notion", method, path, [answer]);
    let attempt = host.handle::<Probe>(&testing::event("shop", "order", "{}"));
    assert_eq!(host.stored("page/7"), None);
    attempt.failure().clone()
}

/// A refusal as Notion words it.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "object": "error", "status": status, "code": code, "message": message });
    Answer::json(status, &body)
}

#[test]
fn what_may_pass_is_tried_again_when_notion_says() {
    for (status, code, retry_after) in [
        (429, "rate_limited", Some(30)),
        (429, "rate_limited", None),
        (409, "conflict_error", None),
        (500, "internal_server_error", None),
        (503, "service_unavailable", Some(7)),
        (504, "gateway_timeout", None),
    ] {
        for (method, path) in [("GET", "/v1/databases/db1"), ("POST", QUERY)] {
            let answer = refusal(status, code, "Later.");
            let expected = Failure::retry(format!("Notion: Later. ({status} {code})"));
            let (answer, expected) = match retry_after {
                None => (answer, expected),
                Some(seconds) => (
                    answer.header("Retry-After", seconds.to_string()),
                    expected.after(Duration::from_secs(seconds)),
                ),
            };
            assert_eq!(failure(method, path, answer), expected, "{method} {path}");
        }
    }
    let away = failure("POST", QUERY, Answer::unavailable());
    assert!(
        matches!(away, Failure::Retry { after: None, .. }),
        "{away:?}"
    );
}

#[test]
fn what_a_person_must_mend_fails_for_good() {
    for (status, code) in [
        (400, "validation_error"),
        (401, "unauthorized"),
        (403, "restricted_resource"),
        (404, "object_not_found"),
    ] {
        for (method, path) in [
            ("GET", "/v1/databases/db1"),
            ("POST", QUERY),
            ("POST", "/v1/pages"),
        ] {
            let mut host = host();
            host.answer("notion", method, path, [refusal(status, code, "No.")]);
            // Asked why after 400: the columns are as they should be.
            host.on("notion", "GET", "/v1/data_sources/d1", |_| {
                let properties =
                    json!({ "Name": { "type": "title" }, "Order ID": { "type": "rich_text" } });
                Answer::json(200, &json!({ "properties": properties }))
            });
            let attempt = host.handle::<Probe>(&testing::event("shop", "order", "{}"));
            let expected = Failure::permanent(format!("Notion: No. ({status} {code})"));
            assert_eq!(attempt.failure(), &expected, "{method} {path}");
        }
    }
    // Not Notion's own words: a proxy's.
    let blocked = failure("POST", QUERY, Answer::new(403).body("blocked"));
    let reason = format!("POST notion {QUERY} answered 403: blocked");
    assert_eq!(blocked, Failure::permanent(reason));
}

/// The page may be there, and a search does not see it at once.
#[test]
fn a_page_that_may_have_been_made_is_given_time_to_be_found() {
    let asked_for = |seconds| {
        let answer = refusal(503, "service_unavailable", "Later.");
        answer.header("Retry-After", seconds)
    };
    for (answer, seconds) in [
        (Answer::timeout(), 10),
        (Answer::unavailable(), 10),
        (Answer::new(502), 10),
        (Answer::new(200), 10),
        (asked_for("3"), 10),
        (asked_for("60"), 60),
    ] {
        let doubtful = failure("POST", "/v1/pages", answer);
        let reason = doubtful.reason();
        assert!(
            reason.ends_with("; the page may have been made"),
            "{reason}"
        );
        let expected = Failure::retry(reason).after(Duration::from_secs(seconds));
        assert_eq!(doubtful, expected);
    }
    // Refused, so it was not made.
    let limited = failure("POST", "/v1/pages", refusal(429, "rate_limited", "Later."));
    let expected = Failure::retry("Notion: Later. (429 rate_limited)");
    assert_eq!(limited, expected);
}

#[test]
fn a_data_source_must_be_named_where_there_is_not_one() {
    for (sources, reason) in [
        (
            json!([]),
            "the database has 0 data sources: set config.data_source_id to one of ",
        ),
        (
            json!([{ "id": "a", "name": "A" }, { "id": "b", "name": "B" }]),
            "the database has 2 data sources: set config.data_source_id to one of a (A), b (B)",
        ),
    ] {
        let answer = Answer::json(200, &json!({ "data_sources": sources }));
        let failed = failure("GET", "/v1/databases/db1", answer);
        assert_eq!(failed, Failure::permanent(reason));
    }
    let mut named = host().with_config("data_source_id", "d1");
    named.answer("notion", "GET", "/v1/databases/db1", []);
    let attempt = named.handle::<Probe>(&testing::event("shop", "order", "{}"));
    assert_eq!(attempt.summary(), "made");
    assert_eq!(named.stored("page/7"), Some("\"p1\""));
}
