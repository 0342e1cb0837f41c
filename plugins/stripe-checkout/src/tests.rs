//! What each checkout reads like, on the fake host.

use hookbay_plugin::Failure;
use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use serde_json::{Value, json};

use super::StripeCheckout;

fn told(end: &str, is_live: bool, changes: &Value) -> Attempt {
    let mut session = json!({
        "id": "cs_1", "amount_total": 8490, "currency": "eur", "payment_status": "paid",
        "customer_details": {"name": "Nour <Haddad>", "email": "nour@example.com"},
        "payment_intent": "pi_1", "subscription": null, "client_reference_id": "ord_20417",
    });
    let changes = changes.as_object().expect("changes are an object").clone();
    session.as_object_mut().expect("it is one").extend(changes);
    let kind = format!("checkout.session.{end}");
    let body = json!({
        "id": "evt_1", "type": kind, "created": 1_760_000_000, "livemode": is_live,
        "data": {"object": session},
    });
    let mut host = Host::new().with_config("channel", "C1");
    let yes = json!({"ok": true, "channel": "C1", "ts": "1.0"});
    host.answer(
        "slack",
        "POST",
        "/api/chat.postMessage",
        [Answer::json(200, &yes)],
    );
    host.handle::<StripeCheckout>(&testing::json_event("stripe", &kind, &body))
}

#[test]
fn each_checkout_has_a_headline() {
    for (end, changes, headline) in [
        ("completed", json!({}), "Nour <Haddad> paid 84.90 EUR"),
        (
            "completed",
            json!({"currency": "jpy"}),
            "Nour <Haddad> paid 8490 JPY",
        ),
        (
            "completed",
            json!({"payment_status": "unpaid", "customer_details": {"email": "n@example.com"}}),
            "n@example.com ordered for 84.90 EUR, the payment is on its way",
        ),
        (
            "completed",
            json!({"payment_status": "no_payment_required", "customer_details": null}),
            "Somebody checked out, nothing to pay",
        ),
        (
            "async_payment_succeeded",
            json!({}),
            "Nour <Haddad> paid 84.90 EUR",
        ),
        (
            "async_payment_failed",
            json!({"payment_status": "unpaid"}),
            "Payment of 84.90 EUR by Nour <Haddad> failed",
        ),
        (
            "async_payment_failed",
            json!({"amount_total": null}),
            "Payment of nothing by Nour <Haddad> failed",
        ),
    ] {
        let attempt = told(end, true, &changes);
        assert_eq!(
            attempt.summary(),
            format!("posted: {headline}"),
            "{changes}"
        );
    }
}

#[test]
fn the_message_links_to_the_dashboard() {
    let headline = "Nour &lt;Haddad&gt; paid 84.90 EUR";
    let subscribed = json!({"payment_intent": null, "subscription": "sub_1"});
    let free = json!({"payment_intent": null});
    for (is_live, changes, page) in [
        (true, json!({}), Some("payments/pi_1")),
        (false, json!({}), Some("test/payments/pi_1")),
        (false, subscribed, Some("test/subscriptions/sub_1")),
        (true, free, None),
    ] {
        let attempt = told("completed", is_live, &changes);
        let sent: Value = attempt.requests[0].json();
        let expected = match page {
            Some(page) => format!("*<https://dashboard.stripe.com/{page}|{headline}>*"),
            None => format!("*{headline}*"),
        };
        assert_eq!(sent["blocks"][0]["text"]["text"], expected);
        assert_eq!(sent["blocks"][1]["elements"][0]["text"], "ord_20417");
    }
}

#[test]
fn another_body_fails_for_good() {
    let event = testing::event("stripe", "checkout.session.completed", "{}");
    let attempt = Host::new().handle::<StripeCheckout>(&event);
    assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
}
