//! What each event says of its bill.

use hookbay_stripe::{Amount, Bill, Charge, Invoice, PaymentIntent, Status, StripeEvent};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn event<T: DeserializeOwned>(kind: &str, object: &Value) -> StripeEvent<T> {
    let event = json!({
        "id": "evt_1", "object": "event", "type": kind, "created": 1_772_439_292,
        "livemode": false, "data": { "object": object },
    });
    serde_json::from_value(event).expect("it is what Stripe sends")
}

fn amount(minor: i64) -> Option<Amount> {
    Some(Amount::new(minor, "eur"))
}

/// What no event says, or each says in the same way.
fn bill(id: &str, payment: Option<&str>, status: Status) -> Bill {
    Bill {
        id: id.to_owned(),
        payment: payment.map(str::to_owned),
        status,
        at: 1_772_439_292,
        currency: "EUR".to_owned(),
        total: None,
        paid: None,
        refunded: None,
        customer: None,
        number: None,
        due: None,
        link: None,
    }
}

#[test]
fn an_invoice_says_all_of_it() {
    let said = event::<Invoice>(
        "invoice.paid",
        &json!({
            "id": "in_1", "number": "ACME-0001", "status": "paid", "currency": "eur",
            "total": 11_900, "amount_paid": 11_000, "customer": "cus_1",
            "customer_name": "Acme GmbH", "due_date": 1_773_648_000,
            "hosted_invoice_url": "https://invoice.stripe.com/i/1",
        }),
    );
    let said = Bill::from(said);
    let expected = Bill {
        total: amount(11_900),
        paid: amount(11_000),
        customer: Some("Acme GmbH".to_owned()),
        number: Some("ACME-0001".to_owned()),
        due: Some(1_773_648_000),
        link: Some("https://invoice.stripe.com/i/1".to_owned()),
        ..bill("in_1", None, Status::Paid)
    };
    assert_eq!(said, expected);
    assert!(said.is_invoice());
}

#[test]
fn a_payment_is_of_its_invoice_or_by_itself() {
    for (invoice, id, status) in [
        (json!("in_1"), "in_1", Status::PaymentReceived),
        (Value::Null, "pi_1", Status::Paid),
    ] {
        let said = event::<PaymentIntent>(
            "payment_intent.succeeded",
            &json!({
                "id": "pi_1", "amount_received": 11_900, "currency": "eur",
                "customer": "cus_1", "invoice": invoice,
            }),
        );
        let said = Bill::from(said);
        let expected = Bill {
            total: amount(11_900),
            paid: amount(11_900),
            customer: Some("cus_1".to_owned()),
            ..bill(id, Some("pi_1"), status)
        };
        assert_eq!(said, expected);
        assert_eq!(said.is_invoice(), id == "in_1");
    }
}

#[test]
fn a_refund_is_of_the_invoice_the_payment_or_the_charge() {
    for (invoice, payment, id, of) in [
        (json!("in_1"), json!("pi_1"), "in_1", "pi_1"),
        (Value::Null, json!("pi_1"), "pi_1", "pi_1"),
        (Value::Null, Value::Null, "ch_1", "ch_1"),
    ] {
        let said = event::<Charge>(
            "charge.refunded",
            &json!({
                "id": "ch_1", "amount": 11_900, "amount_refunded": 2_000, "refunded": false,
                "currency": "eur", "receipt_email": "a@acme.example", "invoice": invoice,
                "payment_intent": payment, "receipt_url": "https://pay.stripe.com/receipts/1",
            }),
        );
        let said = Bill::from(said);
        let expected = Bill {
            total: amount(11_900),
            refunded: amount(2_000),
            customer: Some("a@acme.example".to_owned()),
            link: Some("https://pay.stripe.com/receipts/1".to_owned()),
            ..bill(id, Some(of), Status::PartiallyRefunded)
        };
        assert_eq!(said, expected);
        assert_eq!(said.is_invoice(), id == "in_1");
    }
}

#[test]
fn a_bill_is_called_by_what_is_known() {
    let called = |number: Option<&str>, customer: Option<&str>| Bill {
        number: number.map(str::to_owned),
        customer: customer.map(str::to_owned),
        ..bill("in_1", None, Status::Open)
    };
    for (bill, expected) in [
        (called(Some("A-1"), Some("Acme")), "A-1 · Acme"),
        (called(Some("A-1"), None), "A-1"),
        (called(None, Some("Acme")), "Invoice in_1"),
        (
            bill("in_1", Some("pi_1"), Status::PaymentReceived),
            "Invoice in_1",
        ),
        (bill("pi_1", Some("pi_1"), Status::Paid), "Payment pi_1"),
    ] {
        assert_eq!(bill.to_string(), expected);
    }
}
