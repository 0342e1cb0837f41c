//! What a payload becomes.

use serde_json::{Value, json};

use super::{World, changed, charge, draft, invoice, payment};
use hookbay_stripe::Status;

/// Handles one event on an empty database: the summary, and the page.
#[track_caller]
fn check(kind: &str, object: Value, summary: &str, page: &str) {
    let mut world = World::new();
    let attempt = world.handle(kind, &object);
    assert_eq!(attempt.summary(), summary);
    assert_eq!(world.pages(), [page]);
}

#[test]
fn an_invoice_is_told_by_its_kind_and_its_own_status() {
    let details = "119 | EUR | 0 | Acme GmbH | ACME-0001 | 2026-03-16 \
                   | https://invoice.stripe.com/i/1 | 2026-03-02T08:14:00.000+00:00";
    for (kind, stated, status) in [
        ("invoice.finalized", "open", "Open"),
        ("invoice.payment_failed", "open", "Payment failed"),
        ("invoice.paid", "paid", "Paid"),
        ("invoice.voided", "void", "Void"),
        (
            "invoice.marked_uncollectible",
            "uncollectible",
            "Uncollectible",
        ),
        // Written when more had happened already.
        ("invoice.created", "open", "Open"),
        ("invoice.finalized", "paid", "Paid"),
        ("invoice.payment_failed", "void", "Void"),
        // A status that does not exist yet says nothing.
        ("invoice.paid", "settled", "Paid"),
    ] {
        check(
            kind,
            changed(invoice(), json!({ "status": stated })),
            &format!("made ACME-0001 · Acme GmbH: {status}"),
            &format!("in_1: ACME-0001 · Acme GmbH | {status} | {details}"),
        );
    }
}

#[test]
fn a_draft_has_no_number() {
    check(
        "invoice.created",
        draft(),
        "made Invoice in_1: Draft",
        "in_1: Invoice in_1 | Draft | 99 | EUR | 0 | Acme GmbH | 2026-03-02T08:14:00.000+00:00",
    );
}

#[test]
fn what_stripe_leaves_out_stays_empty() {
    check(
        "invoice.paid",
        json!({ "id": "in_1", "currency": "usd", "customer": "cus_1", "number": "1" }),
        "made 1 · cus_1: Paid",
        "in_1: 1 · cus_1 | Paid | USD | cus_1 | 1 | 2026-03-02T08:14:00.000+00:00",
    );
}

#[test]
fn a_payment_is_on_its_invoices_page_in_both_shapes() {
    for reference in [
        json!({ "invoice": "in_1" }),
        json!({ "payment_details": { "customer_reference": null, "order_reference": "in_1" } }),
    ] {
        check(
            "payment_intent.succeeded",
            changed(payment(), reference),
            "made Invoice in_1: Payment received",
            "in_1: Invoice in_1 | Payment received | EUR | 119 | 2026-03-02T08:14:00.000+00:00",
        );
    }
    check(
        "charge.refunded",
        changed(charge(), json!({ "invoice": "in_1" })),
        "made Invoice in_1: Refunded",
        "in_1: Invoice in_1 | Refunded | EUR | 119 | 2026-03-02T08:14:00.000+00:00",
    );
}

#[test]
fn a_payment_without_invoice_has_a_page_of_its_own() {
    for other in [
        json!({}),
        json!({ "invoice": null, "payment_details": null }),
        json!({ "payment_details": { "order_reference": "order 7 of the shop" } }),
    ] {
        let mut world = World::new();
        let paid = world.handle("payment_intent.succeeded", &changed(payment(), other));
        assert_eq!(paid.summary(), "made Payment pi_1: Paid");
        let refunded = world.handle("charge.refunded", &charge());
        assert_eq!(refunded.summary(), "updated Payment pi_1: Refunded");
        assert_eq!(
            world.pages(),
            [
                "pi_1: Payment pi_1 | Refunded | 119 | EUR | 119 | 119 | cus_1 \
                 | https://pay.stripe.com/receipts/1 | 2026-03-02T08:14:00.000+00:00"
            ]
        );
    }
    check(
        "charge.refunded",
        changed(charge(), json!({ "payment_intent": null })),
        "made Payment ch_1: Refunded",
        "ch_1: Payment ch_1 | Refunded | 119 | EUR | 119 | cus_1 \
         | https://pay.stripe.com/receipts/1 | 2026-03-02T08:14:00.000+00:00",
    );
}

/// Since 2025 a charge names no invoice; its payment did.
#[test]
fn a_refund_finds_the_invoice_through_its_payment() {
    let mut world = World::new();
    let details = json!({ "payment_details": { "order_reference": "in_1" } });
    world.handle("invoice.paid", &invoice());
    world.handle("payment_intent.succeeded", &changed(payment(), details));
    let partly = json!({ "refunded": false, "amount_refunded": 2_000 });
    let partly = world.handle("charge.refunded", &changed(charge(), partly));
    assert_eq!(
        partly.summary(),
        "updated ACME-0001 · Acme GmbH: Partially refunded"
    );
    world.handle("charge.refunded", &charge());
    let pages = world.pages();
    assert_eq!(pages.len(), 1, "{pages:?}");
    let begins = "in_1: ACME-0001 · Acme GmbH | Refunded | 119 | EUR | 119 | 119 | Acme GmbH |";
    assert!(pages[0].starts_with(begins), "{pages:?}");
}

#[test]
fn amounts_have_the_places_of_their_currency() {
    for (amount, currency, expected) in [
        (1_099, "usd", "10.99 | USD"),
        (0, "eur", "0 | EUR"),
        (-500, "eur", "-5 | EUR"),
        (1_099, "jpy", "1099 | JPY"),
        (5_124, "kwd", "5.124 | KWD"),
        // Two places for the sake of old code, always 0.
        (500, "isk", "5 | ISK"),
        (500, "ugx", "5 | UGX"),
        (99_999_999_999_999_i64, "usd", "999999999999.99 | USD"),
    ] {
        check(
            "invoice.paid",
            json!({ "id": "in_1", "currency": currency, "total": amount }),
            "made Invoice in_1: Paid",
            &format!("in_1: Invoice in_1 | Paid | {expected} | 2026-03-02T08:14:00.000+00:00"),
        );
    }
}

#[test]
fn every_status_can_be_read_back() {
    for status in Status::ALL {
        assert_eq!(Status::named(status.name()), Some(status));
    }
    assert!(Status::ALL.is_sorted());
}

#[test]
fn columns_can_have_other_names() {
    let mut world = World::new();
    world.notion.borrow_mut().columns_mut()[1].0 = "Zustand".to_owned();
    world.host = std::mem::take(&mut world.host).with_config("property_status", "Zustand");
    world.handle("invoice.paid", &invoice());
    let notion = world.notion.borrow();
    let pages: Vec<String> = notion.pages().map(|page| page.text("Zustand")).collect();
    assert_eq!(pages, ["Paid"]);
}

#[test]
fn other_bodies_fail_for_good() {
    let failed = World::new().handle("invoice.paid", &json!({ "id": 7 }));
    let reason = failed.failure().reason();
    assert!(
        reason.starts_with("body of the invoice.paid event: "),
        "{reason}"
    );
    let failed = World::new().handle("customer.created", &json!({}));
    assert_eq!(
        failed.failure().reason(),
        "customer.created is about neither invoices nor payments"
    );
}
