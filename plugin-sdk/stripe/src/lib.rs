//! What plugins for Stripe share: the [`StripeEvent`] around every object, the [`Amount`] of
//! money in a currency's smallest unit, and what an event about an [`Invoice`], a payment or a
//! refund says of the [`Bill`]: how far it has come ([`Status`]), and what of it is paid.
//!
//! ```
//! use hookbay_stripe::{Bill, Invoice, Status, StripeEvent};
//!
//! let body = r#"{
//!     "id": "evt_1", "type": "invoice.paid", "created": 1760000000, "livemode": true,
//!     "data": {"object": {"id": "in_1", "currency": "eur", "total": 1099, "status": "paid"}}
//! }"#;
//! let event: StripeEvent<Invoice> = serde_json::from_str(body)?;
//! let bill = Bill::from(event);
//! assert_eq!(bill.status, Status::Paid);
//! assert_eq!(bill.total.map(|total| total.to_string()).as_deref(), Some("10.99 EUR"));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! An object that is not here is a plugin's own: a struct with what it reads, in a
//! [`StripeEvent`]. Nothing here knows of Hookbay.

mod amount;
mod bill;
mod invoice;
mod payment;
mod status;

pub use amount::Amount;
pub use bill::Bill;
pub use invoice::Invoice;
pub use payment::{Charge, PaymentIntent};
pub use status::Status;

use serde::Deserialize;

/// What Stripe sends: <https://docs.stripe.com/api/events/object>.
#[derive(Clone, Debug, Deserialize)]
pub struct StripeEvent<T> {
    /// Its id, `evt_…`.
    pub id: String,
    /// What happened, such as `invoice.paid`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// Whether it is about real money.
    pub livemode: bool,
    /// What it happened to.
    pub data: Data<T>,
}

/// What an event is about.
#[derive(Clone, Debug, Deserialize)]
pub struct Data<T> {
    /// The object as it was then.
    pub object: T,
}
