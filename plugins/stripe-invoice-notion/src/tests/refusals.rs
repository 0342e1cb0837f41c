//! What goes wrong at Notion, and which failure that is.

use std::time::Duration;

use hookbay_plugin::testing::Answer;
use hookbay_plugin::{Failure, testing};
use hookbay_stand_in::Service;
use hookbay_stand_in::notion::{Kind, Options};

use super::{StripeInvoiceNotion, World, answer, carry_out, event, invoice};

/// The failure where Notion answers requests of this method and to such a path so.
#[track_caller]
fn failure(method: &'static str, path: &'static str, given: fn() -> Answer) -> Failure {
    let mut world = World::new();
    world.serve(move |request, notion| {
        match request.method == method && request.path.starts_with(path) {
            true => given(),
            false => carry_out(request, notion),
        }
    });
    let attempt = world.handle("invoice.paid", &invoice());
    assert_eq!(world.pages(), [""; 0]);
    attempt.failure().clone()
}

fn notion(status: u16) -> Answer {
    answer(hookbay_stand_in::notion::Notion::default().refusal(status))
}

#[test]
fn what_goes_away_by_itself_is_tried_again() {
    let limited = failure("POST", "/v1/data_sources", || {
        notion(429).header("Retry-After", "30")
    });
    let reason = "Notion: You have been rate limited. Please try again in a few minutes. \
                  (429 rate_limited)";
    assert_eq!(
        limited,
        Failure::retry(reason).after(Duration::from_secs(30))
    );
    let conflict = failure("POST", "/v1/pages", || notion(409));
    let reason = "Notion: Conflict occurred while saving. Please try again. (409 conflict_error)";
    assert_eq!(conflict, Failure::retry(reason));
    let broken = failure("GET", "/v1/databases", || notion(503));
    let reason = "Notion: Notion is currently unavailable. (503 service_unavailable)";
    assert_eq!(broken, Failure::retry(reason));
    let away = failure("GET", "/v1/databases", Answer::unavailable);
    assert!(matches!(away, Failure::Retry { after: None, .. }));
}

/// The page may be there, and a search does not see it at once.
#[test]
fn a_page_that_may_have_been_made_is_given_time_to_be_found() {
    for given in [Answer::timeout, Answer::unavailable, || notion(502)] {
        let doubtful = failure("POST", "/v1/pages", given);
        let reason = doubtful.reason();
        assert!(
            reason.ends_with("; the page may have been made"),
            "{reason}"
        );
        let after = Some(Duration::from_secs(10));
        assert!(matches!(doubtful, Failure::Retry { after: is, .. } if is == after));
    }
    let asked = failure("POST", "/v1/pages", || {
        notion(503).header("retry-after", "60")
    });
    let after = Some(Duration::from_secs(60));
    assert!(matches!(asked, Failure::Retry { after: is, .. } if is == after));
}

#[test]
fn what_a_person_must_mend_fails_for_good() {
    for (status, reason) in [
        (401, "Notion: API token is invalid. (401 unauthorized)"),
        (
            403,
            "Notion: Insufficient permissions for this endpoint. (403 restricted_resource)",
        ),
        (
            404,
            "Notion: Could not find the object. (404 object_not_found)",
        ),
    ] {
        let mut world = World::new();
        world.serve(move |_, _| notion(status));
        let attempt = world.handle("invoice.paid", &invoice());
        assert_eq!(attempt.failure(), &Failure::permanent(reason));
    }
    // Not Notion's own words: a proxy's.
    let failure = failure("POST", "/v1/pages", || Answer::new(403).body("blocked"));
    let reason = "POST notion /v1/pages answered 403: blocked";
    assert_eq!(failure, Failure::permanent(reason));
}

#[test]
fn all_columns_that_are_wrong_are_named_at_once() {
    let mut world = World::new();
    let columns = |world: &World, change: fn(&mut Vec<(String, Kind)>)| {
        change(world.notion.borrow_mut().columns_mut());
    };
    columns(&world, |columns| {
        columns.retain(|(name, _)| name != "Amount" && name != "Stripe ID");
        columns[1].1 = Kind::RichText;
    });
    let attempt = world.handle("invoice.paid", &invoice());
    let reason = "columns of the Notion database: `Status` is rich_text, not select \
                  [config.property_status]; `Amount` (number) is missing \
                  [config.property_amount]; `Stripe ID` (rich_text) is missing \
                  [config.property_id]. Add them, or name others";
    assert_eq!(attempt.failure(), &Failure::permanent(reason));
}

#[test]
fn a_data_source_must_be_named_where_there_are_several() {
    let mut world = World::new();
    world.host.on(
        "notion",
        "GET",
        "/v1/databases/5aca1e00d00d4000800000000000db01",
        |_| {
            let sources =
                serde_json::json!([{ "id": "a", "name": "A" }, { "id": "b", "name": "B" }]);
            Answer::json(200, &serde_json::json!({ "data_sources": sources }))
        },
    );
    let attempt = world.handle("invoice.paid", &invoice());
    let reason = "the database has 2 data sources: set config.data_source_id to one of a (A), \
                  b (B)";
    assert_eq!(attempt.failure(), &Failure::permanent(reason));
    let id = hookbay_stand_in::notion::DATA_SOURCE;
    world.host = std::mem::take(&mut world.host).with_config("data_source_id", id);
    assert!(world.handle("invoice.paid", &invoice()).result.is_ok());
}

#[test]
fn a_page_in_the_trash_is_made_anew() {
    let mut world = World::new();
    world.handle("invoice.paid", &invoice());
    world.notion.borrow_mut().trash_all();
    let attempt = world.handle("invoice.paid", &invoice());
    assert_eq!(attempt.summary(), "made ACME-0001 · Acme GmbH: Paid");
    assert_eq!(world.pages().len(), 1);
}

/// As after a move to another Hookbay, whose kv is empty.
#[test]
fn a_page_that_is_not_remembered_is_found() {
    let mut world = World::new();
    world.handle("invoice.created", &super::draft());
    let mut elsewhere = World::new();
    std::mem::swap(&mut elsewhere.notion, &mut world.notion);
    elsewhere.serve(carry_out);
    let attempt = elsewhere.handle("invoice.paid", &invoice());
    assert_eq!(attempt.summary(), "updated ACME-0001 · Acme GmbH: Paid");
    assert_eq!(elsewhere.pages().len(), 1);
}

/// The host was killed after the page was made and before that was committed, and searches
/// do not see the page yet.
#[test]
fn an_attempt_after_another_looks_twice() {
    let mut world = World::with(Options {
        lag_queries: 1,
        ..Options::quick()
    });
    let event = event("invoice.paid", 1_772_439_292, &invoice());
    let before = Vec::from_iter(world.host.all_stored()).len();
    assert_eq!(before, 0);
    world.host.handle::<StripeInvoiceNotion>(&event);
    let mut restarted = World::new();
    std::mem::swap(&mut restarted.notion, &mut world.notion);
    restarted.serve(carry_out);
    let second = restarted
        .host
        .attempt::<StripeInvoiceNotion>(&event, &testing::run(2));
    assert_eq!(
        second.summary(),
        "nothing new on ACME-0001 · Acme GmbH: Paid"
    );
    assert_eq!(restarted.pages().len(), 1);
}
