//! What is read of the objects that events are about; the rest is skipped.

use serde::Deserialize;

/// <https://docs.stripe.com/api/invoices/object>
#[derive(Deserialize)]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) number: Option<String>,
    pub(super) status: Option<String>,
    pub(super) currency: String,
    pub(super) total: Option<i64>,
    pub(super) amount_paid: Option<i64>,
    pub(super) customer: Option<String>,
    pub(super) customer_name: Option<String>,
    pub(super) customer_email: Option<String>,
    pub(super) due_date: Option<u64>,
    pub(super) hosted_invoice_url: Option<String>,
}

/// <https://docs.stripe.com/api/payment_intents/object>
#[derive(Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) amount_received: Option<i64>,
    pub(super) currency: String,
    pub(super) customer: Option<String>,
    pub(super) receipt_email: Option<String>,
    pub(super) invoice: Option<String>,
    pub(super) payment_details: Option<PaymentDetails>,
}

#[derive(Deserialize)]
pub(super) struct PaymentDetails {
    pub(super) order_reference: Option<String>,
}

/// <https://docs.stripe.com/api/charges/object>
#[derive(Deserialize)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) amount: Option<i64>,
    pub(super) amount_refunded: Option<i64>,
    pub(super) refunded: bool,
    pub(super) currency: String,
    pub(super) customer: Option<String>,
    pub(super) receipt_email: Option<String>,
    pub(super) receipt_url: Option<String>,
    pub(super) invoice: Option<String>,
    pub(super) payment_intent: Option<String>,
}
