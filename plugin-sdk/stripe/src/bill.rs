//! What an event says of a bill, whichever of Stripe's objects it is about.

use std::fmt;

use crate::{Amount, Charge, Invoice, PaymentIntent, Status, StripeEvent};

/// What an event says of an invoice, or of a payment that is for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The invoice's id, or that of a payment that names none.
    pub id: String,
    /// The id of the payment, where the event is about one.
    pub payment: Option<String>,
    /// How far it has come.
    pub status: Status,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The currency's code, in capitals.
    pub currency: String,
    /// What it is for.
    pub total: Option<Amount>,
    /// What has arrived, over its life or by this payment.
    pub paid: Option<Amount>,
    /// What has gone back of a payment.
    pub refunded: Option<Amount>,
    /// Whose it is: a name, else an address, else the customer's id.
    pub customer: Option<String>,
    /// What people call it; none before it is finalized.
    pub number: Option<String>,
    /// When it is due, in seconds since 1970.
    pub due: Option<i64>,
    /// Where its customer sees it, or its receipt.
    pub link: Option<String>,
}

impl Bill {
    /// Whether it is an invoice, and not a payment by itself.
    #[must_use]
    pub fn is_invoice(&self) -> bool {
        self.payment.as_ref() != Some(&self.id)
    }
}

/// What people call it: by its number and customer once it has a number.
impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.number, &self.customer) {
            (Some(number), Some(customer)) => write!(f, "{number} · {customer}"),
            (Some(number), None) => f.write_str(number),
            (None, _) if self.is_invoice() => write!(f, "Invoice {}", self.id),
            (None, _) => write!(f, "Payment {}", self.id),
        }
    }
}

impl From<StripeEvent<Invoice>> for Bill {
    fn from(event: StripeEvent<Invoice>) -> Self {
        let invoice = event.data.object;
        Self {
            payment: None,
            status: invoice.status(&event.kind),
            at: event.created,
            currency: invoice.currency.to_ascii_uppercase(),
            total: invoice.total(),
            paid: invoice.amount_paid(),
            refunded: None,
            customer: invoice.customer().map(str::to_owned),
            number: invoice.number,
            due: invoice.due_date,
            link: invoice.hosted_invoice_url,
            id: invoice.id,
        }
    }
}

/// Of a payment that has succeeded.
impl From<StripeEvent<PaymentIntent>> for Bill {
    fn from(event: StripeEvent<PaymentIntent>) -> Self {
        let payment = event.data.object;
        Self {
            id: payment.invoice().unwrap_or(&payment.id).to_owned(),
            status: match payment.invoice() {
                Some(_) => Status::PaymentReceived,
                None => Status::Paid,
            },
            at: event.created,
            currency: payment.currency.to_ascii_uppercase(),
            total: payment.amount_received(),
            paid: payment.amount_received(),
            refunded: None,
            customer: payment.customer().map(str::to_owned),
            number: None,
            due: None,
            link: None,
            payment: Some(payment.id),
        }
    }
}

/// Of a charge that has been refunded.
impl From<StripeEvent<Charge>> for Bill {
    fn from(event: StripeEvent<Charge>) -> Self {
        let charge = event.data.object;
        let payment = charge.payment().to_owned();
        Self {
            status: charge.refund_status(),
            at: event.created,
            currency: charge.currency.to_ascii_uppercase(),
            total: charge.amount(),
            paid: None,
            refunded: charge.amount_refunded(),
            customer: charge.customer().map(str::to_owned),
            number: None,
            due: None,
            link: charge.receipt_url,
            id: charge.invoice.unwrap_or_else(|| payment.clone()),
            payment: Some(payment),
        }
    }
}
