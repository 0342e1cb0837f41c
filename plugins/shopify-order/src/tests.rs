//! What each order and refund reads like, on the fake host.

use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use hookbay_plugin::{Failure, Header};
use serde_json::{Value, json};

use super::ShopifyOrder;

fn told(kind: &str, body: &Value, shop: Option<&str>) -> Attempt {
    let mut host = Host::new().with_config("channel", "C1");
    let yes = json!({"ok": true, "channel": "C1", "ts": "1.0"});
    host.answer(
        "slack",
        "POST",
        "/api/chat.postMessage",
        [Answer::json(200, &yes)],
    );
    let mut event = testing::json_event("shopify", kind, body);
    event.headers.extend(shop.map(|shop| Header {
        name: "x-shopify-shop-domain".to_owned(),
        value: shop.as_bytes().to_vec(),
    }));
    host.handle::<ShopifyOrder>(&event)
}

fn order(changes: Value) -> Value {
    let mut order = json!({
        "id": 820, "name": "#1001", "total_price": "84.90", "currency": "EUR",
        "customer": {"first_name": "Nour", "last_name": "Haddad"}, "cancel_reason": null,
        "line_items": [{"title": "Rope <12mm>", "quantity": 2}, {"title": "Fender", "quantity": 1}],
    });
    let changes = changes.as_object().expect("changes are an object").clone();
    order.as_object_mut().expect("it is one").extend(changes);
    order
}

#[track_caller]
fn check(kind: &str, body: &Value, headline: &str) {
    let attempt = told(kind, body, None);
    assert_eq!(attempt.summary(), format!("posted: {headline}"));
}

#[test]
fn orders_and_refunds_have_a_headline() {
    let guest = order(json!({"customer": null}));
    let nameless = order(json!({"customer": {}}));
    let cancelled = order(json!({"cancel_reason": "inventory"}));
    check(
        "orders/create",
        &order(json!({})),
        "New order #1001: 84.90 EUR by Nour Haddad",
    );
    check(
        "orders/paid",
        &guest,
        "Order #1001 paid: 84.90 EUR by a guest",
    );
    check(
        "orders/paid",
        &nameless,
        "Order #1001 paid: 84.90 EUR by a customer",
    );
    check(
        "orders/cancelled",
        &cancelled,
        "Order #1001 of Nour Haddad cancelled (inventory)",
    );
    let part = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let refund =
        |parts: Vec<Value>| json!({"order_id": 820, "note": "torn", "transactions": parts});
    check(
        "refunds/create",
        &refund(vec![part("10.00"), part("5.00")]),
        "Refunded 10.00 EUR and 5.00 EUR",
    );
    check(
        "refunds/create",
        &refund(vec![]),
        "Refund without a payment",
    );
}

#[test]
fn the_message_links_to_the_shops_admin() {
    let attempt = told(
        "orders/create",
        &order(json!({})),
        Some("harbor.myshopify.com"),
    );
    let sent: Value = attempt.requests[0].json();
    assert_eq!(
        sent["blocks"][0]["text"]["text"],
        "*<https://harbor.myshopify.com/admin/orders/820|New order #1001: 84.90 EUR by Nour Haddad>*\n\
         2 × Rope &lt;12mm&gt;\n1 × Fender"
    );
    assert_eq!(
        sent["blocks"][1]["elements"][0]["text"],
        "harbor.myshopify.com"
    );
}

#[test]
fn another_body_fails_for_good() {
    for kind in ["orders/create", "refunds/create"] {
        let attempt = told(kind, &json!({"id": "x"}), None);
        assert!(matches!(attempt.failure(), Failure::Permanent { .. }));
        assert!(attempt.requests.is_empty());
    }
}
