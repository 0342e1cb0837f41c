//! Money: <https://docs.stripe.com/currencies>.

use std::fmt;

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

    /// In the currency itself: 10.99 for 1099 of `usd`. One division gives the number nearest
    /// to the decimal fraction, so that it is written as that.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.minor as f64 / f64::from(10_u32.pow(self.decimals()))
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

    #[test]
    fn numbers_are_written_as_the_decimal_fraction() {
        for (minor, currency, expected) in [
            (1099, "usd", "10.99"),
            (0, "eur", "0"),
            (-500, "eur", "-5"),
            (1099, "jpy", "1099"),
            (5_124, "kwd", "5.124"),
            (500, "isk", "5"),
            (99_999_999_999_999, "usd", "999999999999.99"),
        ] {
            assert_eq!(Amount::new(minor, currency).to_f64().to_string(), expected);
        }
    }
}
