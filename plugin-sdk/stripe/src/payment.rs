//! Payments and what goes back of them.
//!
//! Payloads have two shapes. Up to API version 2025-03-31 a PaymentIntent and a Charge name
//! their invoice in `invoice`. Later ones do not
//! (<https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices>);
//! there a PaymentIntent that pays an invoice has its id in `payment_details.order_reference`.

use serde::Deserialize;

use crate::{Amount, Status};

/// A payment: <https://docs.stripe.com/api/payment_intents/object>.
#[derive(Clone, Debug, Deserialize)]
pub struct PaymentIntent {
    /// Its id, `pi_…`.
    pub id: String,
    /// The currency's code, as Stripe writes it: `eur`.
    pub currency: String,
    amount_received: Option<i64>,
    customer: Option<String>,
    receipt_email: Option<String>,
    invoice: Option<String>,
    payment_details: Option<PaymentDetails>,
}

#[derive(Clone, Debug, Deserialize)]
struct PaymentDetails {
    order_reference: Option<String>,
}

/// One try to move the money of a payment, and what of it has gone back:
/// <https://docs.stripe.com/api/charges/object>.
#[derive(Clone, Debug, Deserialize)]
pub struct Charge {
    /// Its id, `ch_…`.
    pub id: String,
    /// The currency's code, as Stripe writes it: `eur`.
    pub currency: String,
    /// The invoice that it is for; never since API version 2025-03-31.
    pub invoice: Option<String>,
    /// Where its receipt is.
    pub receipt_url: Option<String>,
    amount: Option<i64>,
    amount_refunded: Option<i64>,
    refunded: bool,
    customer: Option<String>,
    receipt_email: Option<String>,
    payment_intent: Option<String>,
}

impl PaymentIntent {
    /// The id of the invoice that it is for, in either shape.
    #[must_use]
    pub fn invoice(&self) -> Option<&str> {
        let details = self.payment_details.as_ref();
        let reference = details.and_then(|details| details.order_reference.as_deref());
        // Merchants put references of their own there too.
        let reference = reference.filter(|reference| reference.starts_with("in_"));
        self.invoice.as_deref().or(reference)
    }

    /// What has arrived.
    #[must_use]
    pub fn amount_received(&self) -> Option<Amount> {
        Some(Amount::new(self.amount_received?, &self.currency))
    }

    /// Whose it is: where the receipt goes, else the customer's id.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        self.receipt_email.as_deref().or(self.customer.as_deref())
    }
}

impl Charge {
    /// The id of the payment that it is a part of; its own if it is older than payments.
    #[must_use]
    pub fn payment(&self) -> &str {
        self.payment_intent.as_ref().unwrap_or(&self.id)
    }

    /// Whether all of it has gone back, or a part.
    #[must_use]
    pub fn refund_status(&self) -> Status {
        match self.refunded {
            true => Status::Refunded,
            false => Status::PartiallyRefunded,
        }
    }

    /// What it was for.
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        Some(Amount::new(self.amount?, &self.currency))
    }

    /// What of that has gone back.
    #[must_use]
    pub fn amount_refunded(&self) -> Option<Amount> {
        Some(Amount::new(self.amount_refunded?, &self.currency))
    }

    /// Whose it is: where the receipt goes, else the customer's id.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        self.receipt_email.as_deref().or(self.customer.as_deref())
    }
}
