//! What is read of invoices, payments and charges, in the shapes that Stripe sends.

use hookbay_stripe::{Amount, Charge, Invoice, PaymentIntent, Status, StripeEvent};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(object: Value) -> T {
    let event = json!({
        "id": "evt_1", "object": "event", "type": "any", "created": 1_772_439_292,
        "livemode": false, "data": { "object": object },
    });
    let event: StripeEvent<T> = serde_json::from_value(event).expect("it is what Stripe sends");
    event.data.object
}

#[test]
fn an_invoices_status_is_told_by_kind_and_by_itself() {
    for (kind, stated, expected) in [
        ("created", "draft", Status::Draft),
        ("finalized", "open", Status::Open),
        ("payment_failed", "open", Status::PaymentFailed),
        ("paid", "paid", Status::Paid),
        ("voided", "void", Status::Void),
        (
            "marked_uncollectible",
            "uncollectible",
            Status::Uncollectible,
        ),
        // Written when more had happened already.
        ("created", "open", Status::Open),
        ("finalized", "paid", Status::Paid),
        ("payment_failed", "void", Status::Void),
        // A status that does not exist yet says nothing.
        ("paid", "settled", Status::Paid),
    ] {
        let invoice: Invoice = read(json!({ "id": "in_1", "currency": "eur", "status": stated }));
        let status = invoice.status(&format!("invoice.{kind}"));
        assert_eq!(status, expected, "{kind}, {stated}");
    }
    let silent: Invoice = read(json!({ "id": "in_1", "currency": "eur" }));
    assert_eq!(silent.status("invoice.finalized"), Status::Open);
}

#[test]
fn every_status_has_its_name_and_rank() {
    for status in Status::ALL {
        assert_eq!(Status::named(status.name()), Some(status));
    }
    assert!(Status::ALL.is_sorted());
    assert_eq!(Status::named("paid"), None);
}

#[test]
fn a_payment_names_its_invoice_in_both_shapes() {
    for (more, expected) in [
        (json!({ "invoice": "in_1" }), Some("in_1")),
        (
            json!({ "payment_details": { "order_reference": "in_1" } }),
            Some("in_1"),
        ),
        (
            json!({ "invoice": "in_1", "payment_details": { "order_reference": "in_2" } }),
            Some("in_1"),
        ),
        (json!({ "invoice": null, "payment_details": null }), None),
        (
            json!({ "payment_details": { "order_reference": null } }),
            None,
        ),
        (
            json!({ "payment_details": { "order_reference": "order 7 of the shop" } }),
            None,
        ),
    ] {
        let mut object = json!({ "id": "pi_1", "currency": "eur", "amount_received": 1_099 });
        let more = more.as_object().expect("it is an object").clone();
        object.as_object_mut().expect("it is one").extend(more);
        let payment: PaymentIntent = read(object.clone());
        assert_eq!(payment.invoice(), expected, "{object}");
        assert_eq!(payment.amount_received(), Some(Amount::new(1_099, "eur")));
    }
}

#[test]
fn a_charge_says_what_has_gone_back() {
    for (payment, is_whole, of, status) in [
        (json!("pi_1"), true, "pi_1", Status::Refunded),
        (json!("pi_1"), false, "pi_1", Status::PartiallyRefunded),
        (Value::Null, true, "ch_1", Status::Refunded),
    ] {
        let charge: Charge = read(json!({
            "id": "ch_1", "amount": 1_099, "amount_refunded": 99, "refunded": is_whole,
            "currency": "jpy", "payment_intent": payment,
        }));
        assert_eq!((charge.payment(), charge.refund_status()), (of, status));
        assert_eq!(charge.amount(), Some(Amount::new(1_099, "jpy")));
        assert_eq!(charge.amount_refunded(), Some(Amount::new(99, "jpy")));
    }
}

#[test]
fn a_customer_is_called_by_what_is_known() {
    let with = |fields: [(&str, &str); 3]| {
        let mut object = json!({ "id": "x_1", "currency": "eur", "refunded": false });
        for (name, value) in fields {
            if !value.is_empty() {
                object[name] = json!(value);
            }
        }
        object
    };
    for (name, email, id, expected) in [
        ("Acme", "a@acme.example", "cus_1", Some("Acme")),
        ("", "a@acme.example", "cus_1", Some("a@acme.example")),
        ("", "", "cus_1", Some("cus_1")),
        ("", "", "", None),
    ] {
        let object = with([
            ("customer_name", name),
            ("customer_email", email),
            ("customer", id),
        ]);
        assert_eq!(read::<Invoice>(object).customer(), expected);
    }
    for (email, id, expected) in [
        ("a@acme.example", "cus_1", Some("a@acme.example")),
        ("", "cus_1", Some("cus_1")),
        ("", "", None),
    ] {
        let object = with([("receipt_email", email), ("customer", id), ("", "")]);
        assert_eq!(read::<PaymentIntent>(object.clone()).customer(), expected);
        assert_eq!(read::<Charge>(object).customer(), expected);
    }
}

/// Nothing but ids and currencies is there for certain.
#[test]
fn what_stripe_leaves_out_is_none() {
    let invoice: Invoice = read(json!({ "id": "in_1", "currency": "eur", "new": [1] }));
    assert_eq!((invoice.total(), invoice.amount_paid()), (None, None));
    let payment: PaymentIntent = read(json!({ "id": "pi_1", "currency": "eur" }));
    assert_eq!((payment.amount_received(), payment.invoice()), (None, None));
    for wrong in [
        json!({ "id": 7, "currency": "eur" }),
        json!({ "id": "in_1" }),
    ] {
        assert!(serde_json::from_value::<Invoice>(wrong).is_err());
    }
}
