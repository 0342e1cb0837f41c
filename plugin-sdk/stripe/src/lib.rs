//! What plugins for Stripe share: the [`StripeEvent`] around every object, and the
//! [`Amount`] of money in a currency's smallest unit.
//!
//! ```
//! use hookbay_stripe::{Amount, StripeEvent};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Charge {
//!     amount: i64,
//!     currency: String,
//! }
//!
//! let body = r#"{
//!     "id": "evt_1", "type": "charge.succeeded", "created": 1760000000, "livemode": true,
//!     "data": {"object": {"amount": 1099, "currency": "eur"}}
//! }"#;
//! let event: StripeEvent<Charge> = serde_json::from_str(body)?;
//! let charge = &event.data.object;
//! assert_eq!(Amount::new(charge.amount, &charge.currency).to_string(), "10.99 EUR");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! The objects themselves are each plugin's. Nothing here knows of Hookbay.

use std::fmt;

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

/// An amount of money as Stripe counts it: in the currency's smallest unit.
///
/// Most currencies have two decimals. Stripe keeps two for ISK and UGX, which have lost
/// theirs: <https://docs.stripe.com/currencies#minor-units>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    minor: i64,
    /// In capitals.
    currency: String,
}

impl Amount {
    /// So many of the smallest unit of a currency, such as `eur`.
    #[must_use]
    pub fn new(minor: i64, currency: &str) -> Self {
        Self {
            minor,
            currency: currency.to_ascii_uppercase(),
        }
    }

    /// How many decimals the currency has at Stripe.
    #[must_use]
    pub fn decimals(&self) -> u32 {
        match self.currency.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF"
            | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }

    /// The number alone: `10.99`, `-0.50`, `500`.
    #[must_use]
    pub fn number(&self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let (minor, decimals) = (self.minor.unsigned_abs(), self.decimals());
        let unit = 10_u64.pow(decimals);
        let (whole, rest) = (minor / unit, minor % unit);
        match decimals {
            0 => format!("{sign}{whole}"),
            decimals => format!("{sign}{whole}.{rest:0width$}", width = decimals as usize),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_currencys_decimals() {
        for (minor, currency, expected) in [
            (1099, "eur", "10.99 EUR"),
            (5, "usd", "0.05 USD"),
            (-50, "usd", "-0.50 USD"),
            (500, "JPY", "500 JPY"),
            (1_234_560, "kwd", "1234.560 KWD"),
            (7, "bhd", "0.007 BHD"),
            (500, "ugx", "5.00 UGX"),
            (500, "isk", "5.00 ISK"),
            (0, "clp", "0 CLP"),
            (i64::MIN, "eur", "-92233720368547758.08 EUR"),
        ] {
            assert_eq!(Amount::new(minor, currency).to_string(), expected);
        }
    }
}
