//! Invoices: <https://docs.stripe.com/api/invoices/object>.

use serde::Deserialize;

use crate::{Amount, Status};

/// An invoice.
#[derive(Clone, Debug, Deserialize)]
pub struct Invoice {
    /// Its id, `in_…`.
    pub id: String,
    /// What people call it; none before it is finalized.
    pub number: Option<String>,
    /// The currency's code, as Stripe writes it: `eur`.
    pub currency: String,
    /// When it is due, in seconds since 1970.
    pub due_date: Option<i64>,
    /// Where its customer sees and pays it; none before it is finalized.
    pub hosted_invoice_url: Option<String>,
    #[serde(rename = "status")]
    stated: Option<String>,
    total: Option<i64>,
    amount_paid: Option<i64>,
    customer: Option<String>,
    customer_name: Option<String>,
    customer_email: Option<String>,
}

impl Invoice {
    /// How far it has come, told by what happened to it, such as `invoice.paid`, and by what it
    /// says itself: when the event was written, more can have happened than its kind says.
    #[must_use]
    pub fn status(&self, kind: &str) -> Status {
        let of_kind = match kind {
            "invoice.created" => Status::Draft,
            "invoice.payment_failed" => Status::PaymentFailed,
            "invoice.paid" => Status::Paid,
            "invoice.voided" => Status::Void,
            "invoice.marked_uncollectible" => Status::Uncollectible,
            _ => Status::Open,
        };
        let stated = self.stated.as_deref().and_then(Status::stated);
        of_kind.max(stated.unwrap_or(of_kind))
    }

    /// What it is for.
    #[must_use]
    pub fn total(&self) -> Option<Amount> {
        Some(Amount::new(self.total?, &self.currency))
    }

    /// What of that has been paid.
    #[must_use]
    pub fn amount_paid(&self) -> Option<Amount> {
        Some(Amount::new(self.amount_paid?, &self.currency))
    }

    /// Whose it is: the customer's name, else the address, else the id.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        let name = self.customer_name.as_ref().or(self.customer_email.as_ref());
        name.or(self.customer.as_ref()).map(String::as_str)
    }
}
