//! How far an invoice or a payment has come.

/// An invoice's status, from the lowest rank to the highest. A paid invoice can neither fail
/// nor be voided, and a void one is never paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Draft,
    Open,
    PaymentFailed,
    /// A payment has succeeded, which need not be the whole sum.
    PaymentReceived,
    Uncollectible,
    Paid,
    PartiallyRefunded,
    Refunded,
    Void,
}

impl Status {
    pub(crate) const ALL: [Self; 9] = [
        Self::Draft,
        Self::Open,
        Self::PaymentFailed,
        Self::PaymentReceived,
        Self::Uncollectible,
        Self::Paid,
        Self::PartiallyRefunded,
        Self::Refunded,
        Self::Void,
    ];

    /// As the page shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Open => "Open",
            Self::PaymentFailed => "Payment failed",
            Self::PaymentReceived => "Payment received",
            Self::Uncollectible => "Uncollectible",
            Self::Paid => "Paid",
            Self::PartiallyRefunded => "Partially refunded",
            Self::Refunded => "Refunded",
            Self::Void => "Void",
        }
    }

    /// What a page shows.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// What stands in an invoice.
    pub(super) fn stated(status: &str) -> Option<Self> {
        match status {
            "draft" => Some(Self::Draft),
            "open" => Some(Self::Open),
            "uncollectible" => Some(Self::Uncollectible),
            "paid" => Some(Self::Paid),
            "void" => Some(Self::Void),
            _ => None,
        }
    }
}
