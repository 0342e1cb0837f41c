//! What an event of Stripe says about an invoice or a payment.
//!
//! Payloads have two shapes. Up to API version 2025-03-31 a PaymentIntent and a Charge name
//! their invoice in `invoice`. Later ones do not
//! (<https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices>);
//! there a PaymentIntent that pays an invoice has its id in `payment_details.order_reference`.

mod payload;
mod status;

use hookbay_plugin::{Event, Failure};
use hookbay_stripe::{Amount, StripeEvent};
use serde::de::DeserializeOwned;

pub(crate) use status::Status;

use crate::calendar;
use crate::notion::Value;
use payload::{Charge, Invoice, PaymentIntent};

/// What an event says.
pub(crate) struct Change {
    /// The invoice, where one is named.
    pub(crate) invoice: Option<String>,
    /// The payment, where it is about one.
    pub(crate) payment: Option<String>,
    pub(crate) status: Status,
    /// When it happened.
    pub(crate) at: String,
    /// Whether its details replace others; else they only stand in where there are none.
    pub(crate) is_final: bool,
    /// What a person calls the invoice, once it has a number.
    name: Option<String>,
    /// What a payment adds to whatever page it is on.
    sums: Details,
    /// What is true of the invoice, or of a payment that has a page of its own.
    own: Details,
}

/// Values by property; none where Stripe says nothing.
type Details = Vec<(&'static str, Option<Value>)>;

/// Sums over a life, of which the largest counts.
pub(crate) const GROWING: [&str; 2] = ["paid", "refunded"];

impl Change {
    /// What an event says.
    ///
    /// # Errors
    ///
    /// Permanent, if its body is not what Stripe sends, or it is about something else.
    pub(crate) fn read(event: &Event) -> Result<Self, Failure> {
        match event.kind.split('.').next() {
            Some("invoice") => read(event, Self::of_invoice),
            Some("payment_intent") => read(event, Self::of_payment),
            Some("charge") => read(event, Self::of_charge),
            _ => Err(Failure::permanent(format!(
                "{} is about neither invoices nor payments",
                event.kind
            ))),
        }
    }

    /// The id that its page carries: of the invoice, or else of the payment.
    pub(crate) fn key(&self) -> &str {
        let of = self.invoice.as_ref().or(self.payment.as_ref());
        of.map_or("", String::as_str)
    }

    /// What its page is called.
    pub(crate) fn title(&self) -> String {
        match (&self.name, &self.invoice) {
            (Some(name), _) => name.clone(),
            (None, Some(invoice)) => format!("Invoice {invoice}"),
            (None, None) => format!("Payment {}", self.key()),
        }
    }

    /// What it says beside the status, by property.
    pub(crate) fn details(&self) -> impl Iterator<Item = (&'static str, Value)> {
        // The invoice's own events know the invoice better than its payments do.
        let is_beside = self.payment.is_some() && self.invoice.is_some();
        let own = self.own.iter().filter(move |_| !is_beside);
        let title = ("title", Value::text(&self.title()));
        let said = self.sums.iter().chain(own).cloned();
        std::iter::once(title).chain(said.filter_map(|(name, value)| Some((name, value?))))
    }

    fn of_invoice(kind: &str, at: String, invoice: Invoice) -> Self {
        let of_kind = match kind {
            "invoice.created" => Status::Draft,
            "invoice.payment_failed" => Status::PaymentFailed,
            "invoice.paid" => Status::Paid,
            "invoice.voided" => Status::Void,
            "invoice.marked_uncollectible" => Status::Uncollectible,
            _ => Status::Open,
        };
        // What the invoice was when the event was written can be further on than its kind.
        let stated = invoice.status.as_deref().and_then(Status::stated);
        let status = of_kind.max(stated.unwrap_or(of_kind));
        let money = |amount| number(amount, &invoice.currency);
        let customer = invoice.customer_name.or(invoice.customer_email);
        let customer = customer.or(invoice.customer);
        let name = invoice.number.as_ref().map(|number| match &customer {
            Some(customer) => format!("{number} · {customer}"),
            None => number.clone(),
        });
        Self {
            status,
            at,
            is_final: status != Status::Draft,
            name,
            sums: vec![("paid", money(invoice.amount_paid))],
            own: vec![
                ("amount", money(invoice.total)),
                ("currency", currency(&invoice.currency)),
                ("customer", customer.as_deref().map(Value::text)),
                ("number", invoice.number.as_deref().map(Value::text)),
                (
                    "due",
                    invoice.due_date.map(|at| Value::text(&calendar::date(at))),
                ),
                (
                    "link",
                    invoice.hosted_invoice_url.as_deref().map(Value::text),
                ),
            ],
            invoice: Some(invoice.id),
            payment: None,
        }
    }

    fn of_payment(_kind: &str, at: String, payment: PaymentIntent) -> Self {
        let referred = payment.payment_details.and_then(|of| of.order_reference);
        // Merchants put references of their own there too.
        let referred = referred.filter(|reference| reference.starts_with("in_"));
        let invoice = payment.invoice.or(referred);
        let received = number(payment.amount_received, &payment.currency);
        let customer = payment.receipt_email.or(payment.customer);
        Self {
            status: match invoice {
                Some(_) => Status::PaymentReceived,
                None => Status::Paid,
            },
            at,
            is_final: invoice.is_none(),
            name: None,
            sums: vec![
                ("paid", received.clone()),
                ("currency", currency(&payment.currency)),
            ],
            own: vec![
                ("amount", received),
                ("customer", customer.as_deref().map(Value::text)),
            ],
            invoice,
            payment: Some(payment.id),
        }
    }

    fn of_charge(_kind: &str, at: String, charge: Charge) -> Self {
        let money = |amount| number(amount, &charge.currency);
        let customer = charge.receipt_email.or(charge.customer);
        Self {
            status: match charge.refunded {
                true => Status::Refunded,
                false => Status::PartiallyRefunded,
            },
            at,
            is_final: false,
            name: None,
            sums: vec![
                ("refunded", money(charge.amount_refunded)),
                ("currency", currency(&charge.currency)),
            ],
            own: vec![
                ("amount", money(charge.amount)),
                ("customer", customer.as_deref().map(Value::text)),
                ("link", charge.receipt_url.as_deref().map(Value::text)),
            ],
            invoice: charge.invoice,
            payment: Some(charge.payment_intent.unwrap_or(charge.id)),
        }
    }
}

/// The event's object, and with its kind and time what it says.
fn read<T: DeserializeOwned>(
    event: &Event,
    change: impl FnOnce(&str, String, T) -> Change,
) -> Result<Change, Failure> {
    let StripeEvent { created, data, .. } = event.json::<StripeEvent<T>>()?;
    let at = calendar::time(u64::try_from(created).map_err(Failure::permanent)?);
    Ok(change(&event.kind, at, data.object))
}

/// In the currency itself: 10.99 for 1099 of `usd`. One division gives the number nearest to
/// the decimal fraction, and that is what JSON writes.
fn number(amount: Option<i64>, currency: &str) -> Option<Value> {
    let amount = amount?;
    let units = 10_u32.pow(Amount::new(amount, currency).decimals());
    Some(Value::Number(amount as f64 / f64::from(units)))
}

fn currency(currency: &str) -> Option<Value> {
    Some(Value::text(&currency.to_ascii_uppercase()))
}
